"""The graded name cases: every STRONG one holds, and enough of the others; judged as `benchmarks/name_cases.py` does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from em_core.text.compare import compare_name

PAIR_FLOOR = {"MEDIUM": 0.85, "WEAK": 0.5}
PARSE_FLOOR = {"MEDIUM": 0.85, "WEAK": 0.5}
SELF_SCORE = 0.95


def _load_benchmark() -> ModuleType:
    """Benchmarks are scripts and no package, so this one is loaded by its path."""
    path = Path(__file__).parents[3] / "benchmarks" / "name_cases.py"
    spec = importlib.util.spec_from_file_location("name_cases", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = _load_benchmark()
PAIRS, PARSES = cases.pair_cases(), cases.parse_cases()
NAMES = sorted({n for c in PAIRS for n in (c.left, c.right)} | {c.name for c in PARSES})


def _strong(rows: list[Any], label: Callable[[Any], str]) -> list[Any]:
    return [pytest.param(c, id=label(c)) for c in rows if c.tier == "STRONG"]


@pytest.mark.parametrize("case", _strong(PAIRS, lambda c: f"{c.left} / {c.right}"))
def test_every_strong_pair(case: Any) -> None:
    verdict = cases.judge_pair(case)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("case", _strong(PARSES, lambda c: c.name))
def test_every_strong_parse(case: Any) -> None:
    verdict = cases.judge_parse(case)
    assert verdict.passed, str(verdict)


def _assert_floor(verdicts: list[Any], floor: float) -> None:
    failures = [str(v) for v in verdicts if not v.passed]
    share = 1 - len(failures) / len(verdicts)
    assert share >= floor, f"{share:.3f} of {len(verdicts)} pass, the floor is {floor}:\n" + "\n".join(failures)


@pytest.mark.parametrize("tier", list(PAIR_FLOOR))
def test_enough_of_the_harder_pairs(tier: str) -> None:
    _assert_floor([cases.judge_pair(c) for c in PAIRS if c.tier == tier], PAIR_FLOOR[tier])


@pytest.mark.parametrize("tier", list(PARSE_FLOOR))
def test_enough_of_the_harder_parses(tier: str) -> None:
    _assert_floor([cases.judge_parse(c) for c in PARSES if c.tier == tier], PARSE_FLOOR[tier])


def test_a_comparison_is_symmetric_and_bounded() -> None:
    wrong = []
    for case in PAIRS:
        there, back = compare_name(case.left, case.right), compare_name(case.right, case.left)
        if there != back or not 0 <= there.score <= 1:
            wrong.append(f"{case.left!r} / {case.right!r}: {there} and {back}")
    assert not wrong, "\n".join(wrong)


def test_a_name_is_the_same_as_itself() -> None:
    wrong = []
    for name in NAMES:
        relation, score = compare_name(name, name)
        if any(c.isalnum() for c in name) and (relation != "same" or score < SELF_SCORE):
            wrong.append(f"{name!r}: {relation}, {score:.2f}")
    assert not wrong, "\n".join(wrong)


def test_the_tables_are_well_formed() -> None:
    relations = {"", "same", "form", "group", "acronym", "similar", "different", "unknown"}
    for case in PAIRS:
        assert case.tier in cases.TIERS and case.relation in relations and case.topic, case
        assert case.same or case.relation not in ("same", "acronym"), case
    for case in PARSES:
        assert case.tier in cases.TIERS and case.expected and case.topic, case
    assert len({frozenset((c.left, c.right)) for c in PAIRS}) == len(PAIRS)
