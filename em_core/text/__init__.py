"""Company knowledge: names, legal forms, identifiers and places."""
