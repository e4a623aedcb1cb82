from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.serialise import Record
from em_core.ditto.summarise import Summariser

COMMON = [[("name", f"firm{i}"), ("note", "the maker of good things and services")] for i in range(20)]
word = st.sampled_from("the of acme steel maker good things and services zinc copper 1901 Things".split())
value = st.lists(word, max_size=30).map(" ".join)
record = st.builds(
    lambda name, others: [("name", name), *others], value, st.lists(st.tuples(st.just("note"), value), max_size=3)
)


def _fit(max_length: int) -> Summariser:
    return Summariser.fit(COMMON, max_length, lambda words: [1] * len(words))


def test_a_record_that_fits_stays() -> None:
    fields: Record = [("name", "the acme of the acme"), ("note", "the maker")]
    assert _fit(200)(fields, 2) == fields


def test_the_rarest_words_stay_in_their_order() -> None:
    fields: Record = [("name", "the firm1"), ("note", "zinc good things and copper services maker zinc")]
    assert _fit(24)(fields, 0) == [("name", "firm1"), ("note", "zinc copper")]


def test_frequency_within_the_record_counts() -> None:
    fields: Record = [("name", "firm1"), ("note", "zinc copper copper copper tin")]
    assert _fit(20)(fields, 0) == [("name", "firm1"), ("note", "copper")]


def test_an_attribute_that_loses_all_words_goes() -> None:
    fields: Record = [("name", "zinc"), ("note", "the of and the of and the of and"), ("city", "")]
    assert _fit(10)(fields, 0) == [("name", "zinc")]


def test_a_name_of_stop_words_keeps_one() -> None:
    assert _fit(8)([("name", "The Who"), ("note", "zinc " * 30)], 2)[0] == ("name", "The")


@given(record, st.integers(8, 60))
def test_a_summary_fits_unless_the_name_alone_does_not(fields: Record, max_length: int) -> None:
    summarise = _fit(max_length)
    short = summarise(fields, 0)
    names = sum(summarise._pieces(name) for name, _ in fields)
    pieces = sum(summarise._pieces(w) for _, v in short for w in v.split())
    best = max((summarise._pieces(w) for w in short[0][1].split()), default=0)
    assert short == fields or pieces + names <= summarise.room or pieces <= best
    assert bool(short[0][1]) == bool(fields[0][1])
    assert short[0][0] == "name"
