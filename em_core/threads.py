"""How many threads this process may use."""

from __future__ import annotations

import os


def threads() -> int:
    """`OMP_NUM_THREADS` where it is a positive number, as Spark sets it for each of its workers; else the CPUs that are ours."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
