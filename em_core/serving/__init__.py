"""The whole matcher as one MLflow model: source records in, results out."""
