"""Legal forms: which exclude each other, and tables that say one thing about each form."""

from __future__ import annotations

import csv
import os
from importlib.resources import files
from pathlib import Path

import pytest

from em_core.text.compile_forms import curated_forms
from em_core.text.compile_forms import legal_forms as compiled_forms
from em_core.text.fold import fold
from em_core.text.forms import form_agreement
from em_core.text.knowledge import EVERYWHERE, form_details, legal_forms, read_rows
from em_core.text.names import parse_name

SCORES = {1.0, 0.95, 0.75, 0.0}
FORMS = ["", *sorted(form_details()), "no such form"]
KINDS = {
    "", "association", "branch", "coop", "foundation", "fund", "gp", "jsc", "jv", "llc", "llp", "lp", "mil", "rel", "soe", "sole",
}  # fmt: skip
ALPHA2 = {row[0] for row in read_rows("country_names.csv")}


@pytest.mark.parametrize(
    ("left", "right", "score"),
    [
        ("gmbh", "gmbh", 1.0),
        ("", "", 1.0),
        ("gmbh", "", 0.95),
        ("inc", "corp", 0.75),
        ("inc", "ltd", 0.75),
        ("ag", "sa", 0.75),
        ("nv", "sa", 0.75),
        ("oy", "ab", 0.75),
        ("ooo", "llc", 0.75),
        ("ooo", "ltd", 0.75),
        ("kk", "ltd", 0.75),
        ("kk", "inc", 0.75),
        ("pao", "pjsc", 0.75),
        ("pcl", "plc", 0.75),
        ("plc", "ltd", 0.0),
        ("gmbh", "ag", 0.0),
        ("gmbh", "ltd", 0.0),
        ("llc", "inc", 0.0),
        ("llc", "lp", 0.0),
        ("nv", "bv", 0.0),
        ("spa", "srl", 0.0),
        ("kk", "gk", 0.0),
        ("ooo", "pao", 0.0),
        ("ooo", "jsc", 0.0),
        ("kk", "llc", 0.0),
    ],
)
def test_agreement(left: str, right: str, score: float) -> None:
    assert form_agreement(left, right) == form_agreement(right, left) == score


def test_agreement_is_symmetric_reflexive_and_of_four_values() -> None:
    for place, left in enumerate(FORMS):
        assert form_agreement(left, left) == 1.0
        for right in FORMS[:place]:
            score = form_agreement(left, right)
            assert score in SCORES and score < 1 and score == form_agreement(right, left)
            assert (score == 0.95) == (left == "" or right == "")


@pytest.mark.parametrize("table", ["legal_forms.csv", "forms_curated.csv"])
def test_every_row_is_readable(table: str) -> None:
    place = {"legal_forms.csv": (1, 2, 3), "forms_curated.csv": (0, 1, 2)}[table]
    rows = read_rows(table)
    assert rows and {len(row) for row in rows} == {4}
    for row in rows:
        form, kind, where = (row[i] for i in place)
        assert form and form == fold(form).replace(" ", ""), row
        assert kind in KINDS, row
        assert where == EVERYWHERE or set(where.split()) <= ALPHA2, row
        assert where == EVERYWHERE or where == " ".join(where.split()), row


def test_the_spellings_of_the_shipped_table_are_folded_sorted_and_once() -> None:
    spellings = [row[0] for row in read_rows("legal_forms.csv")]
    assert spellings == sorted(set(spellings))
    assert all(spelling and fold(spelling) == spelling for spelling in spellings)
    assert all(form.countries.split() == sorted(set(form.countries.split())) for form in legal_forms().values())


def test_every_curated_spelling_belongs_to_one_form_and_is_shipped() -> None:
    claims: dict[str, set[str]] = {}
    for form, _, _, spellings in read_rows("forms_curated.csv"):
        for spelling in spellings.split(";"):
            assert fold(spelling), (form, spelling)
            claims.setdefault(fold(spelling), set()).add(form)
    assert {spelling: forms for spelling, forms in claims.items() if len(forms) > 1} == {}
    curated = curated_forms()
    assert set(curated) == set(claims)
    shipped = legal_forms()
    for spelling, (form, kind, where) in curated.items():
        assert fold(spelling) == spelling
        assert (shipped[spelling].form, shipped[spelling].kind) == (form, kind), spelling
        assert not where or set(shipped[spelling].countries.split()) == set(where.split()), spelling


def test_a_form_is_one_row_of_the_curated_table() -> None:
    forms = [row[0] for row in read_rows("forms_curated.csv")]
    assert len(forms) == len(set(forms))


def test_a_form_has_one_kind() -> None:
    kinds: dict[str, set[str]] = {}
    for entry in legal_forms().values():
        kinds.setdefault(entry.form, set()).add(entry.kind)
    assert {form: found for form, found in kinds.items() if len(found) > 1} == {}


def test_every_curated_spelling_is_cut_off_a_name() -> None:
    """At the end of a name every spelling is its form; `sicav` is a fund first, which is taken before any form."""
    for spelling, (form, _, _) in curated_forms().items():
        if spelling not in ("sicav", "trust reg"):
            parsed = parse_name(f"Xyzzy Quux {spelling}")
            assert (parsed.core, parsed.form) == ("xyzzy quux", form), spelling
    assert parse_name("Xyzzy Quux SICAV").designators == "fund"


def test_jurisdictions_are_countries() -> None:
    for spelling in legal_forms():
        codes = parse_name(f"Xyzzy Quux {spelling}").jurisdictions.split()
        assert set(codes) <= ALPHA2 and codes == sorted(codes)


def test_the_shipped_table_is_what_its_sources_compile_to() -> None:
    rigour, elf = os.environ.get("EM_RIGOUR"), os.environ.get("EM_ELF")
    if not rigour or not elf:
        pytest.skip("EM_RIGOUR (unpacked wheel of rigour 1.8) and EM_ELF (ISO 20275 as CSV) do not name the sources")
    table = compiled_forms(Path(rigour), Path(elf))
    shipped = (files("em_core.text") / "data" / "legal_forms.csv").read_text(encoding="utf-8").splitlines()
    kept = {row["spelling"]: (row["form"], row["kind"], row["countries"]) for row in csv.DictReader(shipped)}
    assert table == kept
