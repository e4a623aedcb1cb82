"""A Spark job for the tests."""
