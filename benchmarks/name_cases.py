"""The graded name cases of `tests/cases`: what `compare_name` and `parse_name` get right, by tier, topic and field.

python benchmarks/name_cases.py [--all] [--strict]

STRONG: every matcher worth the name must pass; MEDIUM: a good one does; WEAK: arguable or hard.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from em_core.text.compare import compare_name
from em_core.text.names import parse_name

CASES = Path(__file__).parents[1] / "tests" / "cases"
TIERS = ("STRONG", "MEDIUM", "WEAK")
FIELDS = ("core", "form", "kind", "jurisdictions", "designators", "security", "also", "acronym", "script")
SAME_FROM = 0.5  # a score from here on says "the same legal entity"
_NOTHING = "-"  # the cell of a field that must be empty; an empty cell asserts nothing


class PairCase(NamedTuple):
    """Two names. `same`: one legal entity, if nothing else is known. `relation` is empty where none is asserted."""

    left: str
    right: str
    same: bool
    relation: str
    tier: str
    topic: str
    note: str


class ParseCase(NamedTuple):
    """A name and the fields of its `ParsedName` that are asserted."""

    name: str
    expected: dict[str, object]
    tier: str
    topic: str


class PairVerdict(NamedTuple):
    """What came for a pair."""

    case: PairCase
    relation: str
    score: float

    @property
    def same_right(self) -> bool:
        return (self.score >= SAME_FROM) == self.case.same

    @property
    def relation_right(self) -> bool:
        return self.case.relation in ("", self.relation)

    @property
    def passed(self) -> bool:
        return self.same_right and self.relation_right

    def __str__(self) -> str:
        wanted = ("same" if self.case.same else "not same") + (f", {self.case.relation}" if self.case.relation else "")
        note = f"  # {self.case.note}" if self.case.note else ""
        came = f"{self.score:.2f}, {self.relation}"
        return f"{self.case.left!r} / {self.case.right!r}: expected {wanted}; came {came}{note}"


class ParseVerdict(NamedTuple):
    """What came for a name: `wrong` holds field -> value for the asserted fields that differ."""

    case: ParseCase
    wrong: dict[str, object]

    @property
    def passed(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        fields = "; ".join(f"{f} expected {self.case.expected[f]!r}, came {came!r}" for f, came in self.wrong.items())
        return f"{self.case.name!r}: {fields or 'as expected'}"


Verdict = TypeVar("Verdict", bound=PairVerdict | ParseVerdict)


def _rows(name: str) -> list[dict[str, str]]:
    with (CASES / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def pair_cases() -> list[PairCase]:
    """All of `pairs.csv`."""
    return [PairCase(**{**row, "same": row["same"] == "yes"}) for row in _rows("pairs.csv")]


def _expected(field: str, cell: str) -> object:
    text = "" if cell == _NOTHING else cell
    if field != "also":
        return text
    return tuple(tuple(other.split("=", 1)) for other in text.split("|")) if text else ()


def parse_cases() -> list[ParseCase]:
    """All of `parses.csv`."""
    return [
        ParseCase(row["name"], {f: _expected(f, row[f]) for f in FIELDS if row[f]}, row["tier"], row["topic"])
        for row in _rows("parses.csv")
    ]


def judge_pair(case: PairCase) -> PairVerdict:
    """Compare the two names of `case`."""
    return PairVerdict(case, *compare_name(case.left, case.right))


def judge_parse(case: ParseCase) -> ParseVerdict:
    """Parse the name of `case`."""
    parsed = parse_name(case.name)._asdict()
    return ParseVerdict(case, {f: parsed[f] for f, wanted in case.expected.items() if parsed[f] != wanted})


def _share(right: int, of: int) -> str:
    return f"{right / of:.3f}" if of else "-"


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n{title}\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _groups(verdicts: list[Verdict], key: Callable[[Verdict], str]) -> list[tuple[str, list[Verdict]]]:
    """Verdicts by `key`, in order of appearance."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(key(verdict), []).append(verdict)
    return list(groups.items())


def _pair_row(label: str, verdicts: list[PairVerdict]) -> list[str]:
    said = sum(v.score >= SAME_FROM for v in verdicts)
    true = sum(v.case.same for v in verdicts)
    both = sum(v.case.same and v.same_right for v in verdicts)
    asserted = [v for v in verdicts if v.case.relation]
    return [
        label,
        str(len(verdicts)),
        str(true),
        _share(both, said),
        _share(both, true),
        _share(2 * both, said + true),
        str(len(asserted)),
        _share(sum(v.relation_right for v in asserted), len(asserted)),
        _share(sum(v.passed for v in verdicts), len(verdicts)),
    ]


def _parse_row(label: str, verdicts: list[ParseVerdict]) -> list[str]:
    fields = sum(len(v.case.expected) for v in verdicts)
    wrong = sum(len(v.wrong) for v in verdicts)
    passed = _share(sum(v.passed for v in verdicts), len(verdicts))
    return [label, str(len(verdicts)), passed, str(fields), _share(fields - wrong, fields)]


def _field_row(field: str, verdicts: list[ParseVerdict]) -> list[str]:
    row = [field]
    for tier in TIERS:
        asserted = [v for v in verdicts if v.case.tier == tier and field in v.case.expected]
        row += [str(len(asserted)), _share(sum(field not in v.wrong for v in asserted), len(asserted))]
    return row


def report(pairs: list[PairVerdict], parses: list[ParseVerdict], tiers: Sequence[str]) -> None:
    """Print the tables, then the failures of `tiers`."""
    header = ("pairs", "same", "precision", "recall", "F1", "relations", "right", "passed")
    by_tier = sorted(_groups(pairs, lambda v: v.case.tier), key=lambda group: TIERS.index(group[0]))
    _table("Pairs by tier", ("tier", *header), [_pair_row(*g) for g in [*by_tier, ("all", pairs)]])
    _table("Pairs by topic", ("topic", *header), [_pair_row(*g) for g in _groups(pairs, lambda v: v.case.topic)])
    header = ("names", "passed", "fields", "right")
    by_tier_parsed = sorted(_groups(parses, lambda v: v.case.tier), key=lambda group: TIERS.index(group[0]))
    _table("Parses by tier", ("tier", *header), [_parse_row(*g) for g in [*by_tier_parsed, ("all", parses)]])
    _table("Parses by topic", ("topic", *header), [_parse_row(*g) for g in _groups(parses, lambda v: v.case.topic)])
    columns = [text for tier in TIERS for text in (tier, "right")]
    _table("Parses by field", ("field", *columns), [_field_row(field, parses) for field in FIELDS])
    for tier in tiers:
        failures: list[PairVerdict | ParseVerdict] = [v for v in pairs if v.case.tier == tier and not v.passed]
        failures += [v for v in parses if v.case.tier == tier and not v.passed]
        print(f"\n{tier} failures: {len(failures)}\n")
        for topic, verdicts in _groups(failures, lambda v: v.case.topic):
            print(topic)
            print("\n".join(f"  {verdict}" for verdict in verdicts))


def main() -> int:
    """Print the report; 1 if `--strict` and a STRONG case fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="list the MEDIUM and WEAK failures too")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a STRONG case fails")
    arguments = parser.parse_args()
    pairs = [judge_pair(case) for case in pair_cases()]
    parses = [judge_parse(case) for case in parse_cases()]
    report(pairs, parses, TIERS if arguments.all else TIERS[:1])
    failed = any(v.case.tier == TIERS[0] and not v.passed for v in [*pairs, *parses])
    return int(arguments.strict and failed)


if __name__ == "__main__":
    sys.exit(main())
