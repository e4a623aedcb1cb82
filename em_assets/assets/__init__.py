"""One module for each group of assets."""

OWNERS = ["team:entity-matching"]
