"""The demo's data: real reference entities and registrants out of installed packages, feeds with known truth."""
