from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.quantities import MOST, Quantities

_TEXTS = st.lists(st.text(alphabet="0123456789:/.,-$%' abgijmnrsu", max_size=40), min_size=1, max_size=6)


def _compare(left: str, right: str) -> dict[str, float]:
    found = Quantities.read([left, right]).compare(np.array([0]), np.array([1]))
    return {name: float(value[0]) for name, value in found.items()}


@pytest.mark.parametrize(
    ("left", "right", "name", "value"),
    [
        ("autonomy 28-mar-11", "march 28 , 2011 zedd", "days, nearness", 1),
        ("on 30 december 2019", "2020-01-02", "days, nearness", 1 / 4),
        ("3/4/2004", "march 4, 2004", "days, nearness", 1),  # either reading
        ("4.3.2004", "march 4, 2004", "days, nearness", 1),
        ("14-mar,2004", "sept. 14 2004", "days, nearness", 1 / 185),
        ("30 february 2004", "1 march 2004", "days, nearness", np.nan),
        ("1-jan-70", "1 january 1970", "days, nearness", 1),
        ("gone 8:07", "8:07 gone", "seconds, nearness", 1),
        ("3:59", "0:04:01", "seconds, nearness", 1 / 3),
        ("office 2003 $ 20", "2007 office", "years, nearness", 1 / 5),
        ("$ 0.99", "usd 1.32", "price, nearness", 1 / 1.25),
        ("1,299.00 usd", "$1299", "price, nearness", 1),
        ("8 gb of 2 ghz", "16-gigabyte, 2ghz", "measures shared", 1),
        ("8 gb of 2 ghz", "16-gigabyte, 2ghz", "measures that differ", 1),
        ("8 gb", "4 oz", "measures shared", np.nan),
        ("3 in 1 vacuum", "1 in 3", "measures shared", np.nan),
        ("8:07 and 9:10", "no time at all", "seconds, nearness", np.nan),
        ("1.5.2004.1", "1.5.2004", "days, nearness", np.nan),  # a version is no date
    ],
)
def test_values_are_compared_as_what_they_mean(left: str, right: str, name: str, value: float) -> None:
    assert _compare(left, right)[name] == pytest.approx(value, nan_ok=True)


def test_of_several_values_the_nearest_are_compared_and_repeats_count_once() -> None:
    many = " ".join(["1:00"] * (MOST + 1) + ["2:00"])
    assert _compare(many, "2:01 9:59")["seconds, nearness"] == 1 / 2


@given(_TEXTS)
def test_any_text_reads_and_a_pair_is_the_same_in_either_order(texts: list[str]) -> None:
    left, right = np.divmod(np.arange(len(texts) ** 2), len(texts))
    read = Quantities.read(texts)
    there, back = read.compare(left, right), read.compare(right, left)
    for name, values in there.items():
        np.testing.assert_array_equal(values, back[name])
        same = values[left == right]
        if name != "measures shared":
            assert (same[~np.isnan(same)] == name.endswith("nearness")).all()
