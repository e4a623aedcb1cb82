"""What a launcher of several processes (`torchrun`, `accelerate launch`) says by environment. Loads no torch."""

from __future__ import annotations

import os

_NAMES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def launched() -> bool:
    """Whether a launcher started more than one process; clusters set some of these names for other ends."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and all(name in os.environ for name in _NAMES)


def is_main_process() -> bool:
    """Whether this process is the one that writes and logs: always, unless a launcher says that it is a further one."""
    return not launched() or int(os.environ["RANK"]) == 0
