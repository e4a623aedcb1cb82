"""Repair: one edit, one candidate, known and valid; otherwise nothing."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10

from em_core.text.identifiers import ENTITY_KINDS, State, check_identifier
from em_core.text.repair import one_edit_repair

ALPHANUMERIC = string.digits + string.ascii_uppercase
APPLE, MICROSOFT = "HWUPKR0MPOU8FGXBT394", "INR2EJN1ERAN0W5ZP974"


def repair(kind: str, value: str, known: set[str]) -> str | None:
    """`one_edit_repair` of a set."""
    return one_edit_repair(kind, value, lambda texts: np.array([text in known for text in texts], dtype=bool))


@pytest.mark.parametrize(
    ("kind", "damaged", "right"),
    [
        ("lei", "HWUPKROMPOU8FGXBT394", APPLE),  # O for 0
        ("lei", "HWUPKR0MPOUBFGXBT394", APPLE),  # B for 8
        ("lei", "INR2EJNIERAN0W5ZP974", MICROSOFT),  # I for 1
        ("lei", "INR2EJN1ERAN0WSZP974", MICROSOFT),  # S for 5
        ("lei", "HWUPKR0MPOU8FGXBT39", APPLE),  # lost
        ("lei", "HWUPKR0MMPOU8FGXBT394", APPLE),  # doubled
        ("lei", "WHUPKR0MPOU8FGXBT394", APPLE),  # swapped
        ("lei", "LEI: hwup-kr0m-pou8-fgxb-t395", APPLE),
        ("isin", "US0378331006", "US0378331005"),
        ("cusip", "O37833100", "037833100"),
        ("sedol", "BH4HKS5", "BH4HKS3"),
        ("figi", "BBG000B9XRY5", "BBG000B9XRY4"),
    ],
)
def test_one_edit(kind: str, damaged: str, right: str) -> None:
    known = {APPLE, MICROSOFT, "US0378331005", "037833100", "BH4HKS3", "BBG000B9XRY4"}
    assert repair(kind, damaged, known) == right


def test_two_edits_are_a_guess() -> None:
    assert repair("lei", "HWUPKR0MPOU8FGXBT3945X", {APPLE}) is None
    assert repair("lei", "WHUPKR0MPOU8FGXBT395", {APPLE}) is None
    assert repair("lei", "", {APPLE}) is None


def test_two_candidates_are_a_guess() -> None:
    damaged = "US0378331006"
    neighbours = [damaged[:i] + c + damaged[i + 1 :] for i in range(12) for c in ALPHANUMERIC]
    first, second, *_ = [n for n in neighbours if check_identifier("isin", n).state is State.VALID]
    assert repair("isin", damaged, {first}) == first
    assert repair("isin", damaged, {second}) == second
    assert repair("isin", damaged, {first, second}) is None


def test_only_what_is_known_and_valid_comes_back() -> None:
    assert repair("lei", "HWUPKR0MPOU8FGXBT395", set()) is None
    assert repair("lei", "HWUPKR0MPOU8FGXBT395", {"HWUPKR0MPOU8FGXBT396"}) is None


@pytest.mark.parametrize("kind", ENTITY_KINDS[1:])
def test_without_check_digit_every_neighbour_is_as_good(kind: str) -> None:
    assert repair(kind, "0000320194", {"0000320193"}) is None


@given(
    st.text(alphabet=ALPHANUMERIC, min_size=18, max_size=18),
    st.integers(0, 19),
    st.sampled_from(ALPHANUMERIC),
    st.data(),
)
def test_any_one_edit_of_a_lone_known_lei_is_repaired(stem: str, place: int, other: str, data: st.DataObject) -> None:
    lei = stem + mod_97_10.calc_check_digits(stem)
    damages = {
        lei[:place] + other + lei[place + 1 :],
        lei[:place] + lei[place + 1 :],
        lei[:place] + other + lei[place:],
        lei[:place] + lei[place + 1 : place + 2] + lei[place] + lei[place + 2 :],
    } - {lei}
    damaged = data.draw(st.sampled_from(sorted(damages)))
    expected = lei if check_identifier("lei", lei).state is State.VALID else None
    assert repair("lei", damaged, {lei, APPLE}) == expected
