"""Company entity matching: the right identifier for every messy record, or a trustworthy "none of these"."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("entity-matching")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+source"
