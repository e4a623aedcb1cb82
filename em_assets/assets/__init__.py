"""One module for each group of assets."""

OWNERS = ["team:entity-matching"]
# Where what an asset makes lies, and who may rely on it: select by `tag:layer=gold`.
BRONZE, SILVER, GOLD, MODEL = ({"layer": name} for name in ("bronze", "silver", "gold", "model"))
