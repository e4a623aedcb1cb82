"""How many threads a process takes: what it was told, else what is there."""

from __future__ import annotations

import os

import pytest

from em_core.threads import threads


@pytest.mark.parametrize(("said", "taken"), [("1", 1), ("7", 7)])
def test_what_the_environment_says(said: str, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == taken


@pytest.mark.parametrize("said", ["", "0", "all", "2,3", "²"])
def test_else_the_processors_of_this_process(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == len(os.sched_getaffinity(0))
