"""Stages, worst groups and costs as the report tells them."""

import pytest

from em_core.evaluation import Costs, evaluate
from em_core.evaluation import tables as words
from em_core.evaluation.figures import Share
from em_core.evaluation.tables import Table


@pytest.fixture
def staged(tables):
    """Two exact matches (one wrong), three of the scorer (one wrong, one without truth), a review of Ditto, one without candidates."""
    return evaluate(
        *tables(
            [
                ("auto_match", "E0", "E0", 0.99),
                ("auto_match", "X", "E1", 0.99),
                ("auto_match", "E2", "E2", 0.95),
                ("auto_match", "X", None, 0.95),
                ("auto_match", "E4", "?", 0.95),
                ("review", "E5", "E5", 0.7),
                ("no_match", None, None, 0.0),
            ],
            stage=["exact", "exact", "scorer", "scorer", "scorer", "ditto", "none"],
            method=["LEI", "NAME_COUNTRY", "SCORER", "SCORER", "SCORER", "NEAR_MISS", "NO_CANDIDATE"],
        ),
        costs=Costs(wrong_match=10, review=2, miss=7),
    )


def test_each_stage_adds_to_those_before_it(staged):
    told = [
        (s.stage, s.records, s.auto_match, s.labelled, s.precision.hits, s.total_auto_match,
         s.total_precision.hits, s.total_precision.total)
        for s in staged.stages
    ]  # fmt: skip
    assert told == [
        ("exact", 2, 2, 2, 1, 2, 1, 2),
        ("scorer", 3, 3, 2, 1, 5, 2, 4),
        ("ditto", 1, 0, 0, 0, 5, 2, 4),
        ("none", 1, 0, 0, 0, 5, 2, 4),
    ]
    last = staged.stages[-1]
    assert (last.total_precision, last.total_recall) == (staged.precision, staged.recall)
    assert [s.coverage for s in staged.stages] == [2 / 7, 5 / 7, 5 / 7, 5 / 7]
    assert [m.value for m in staged.stages[0].methods] == ["LEI", "NAME_COUNTRY"]
    assert [row[0] for row in words.stages(staged).rows] == ["exact rules alone", "+ scorer", "+ Ditto"]


def test_an_unknown_stage_is_counted_and_not_dropped(tables):
    found = evaluate(*tables([("auto_match", "E", "E", 0.9)] * 2, stage=["exact", "oracle"]))
    assert [(s.stage, s.total_auto_match) for s in found.stages] == [("exact", 1), ("other", 2)]


def test_costs_of_what_was_decided_and_of_reviewing_everything(staged):
    # Of 6 labelled records 2 are wrong matches and 1 is a review; none is missed.
    assert staged.cost_as_decided == pytest.approx((2 * 10 + 2) / 6 * 1000)
    assert staged.cost_all_review == 2000
    assert all(row.accepted + row.review == 5 for row in staged.thresholds)
    assert "10 for a wrong match, 2 for a review, 7 for a miss" in words.thresholds(staged).note


def test_worst_groups_are_those_surely_below_the_whole(tables):
    good, bad = [("auto_match", "E", "E", 0.9)] * 90, [("auto_match", "X", "E", 0.9)] * 10
    found = evaluate(*tables(good + bad, source_system=["GOOD"] * 89 + ["TINY"] + ["BAD"] * 10))
    rows = words.worst_groups(found).rows
    assert [row[:5] for row in rows] == [("source system", "BAD", "10", "10", "10")]
    assert words.worst_first(found.groups["source_system"])[0].value == "BAD"
    assert not words.worst_groups(evaluate(*tables(good))).rows


def test_markdown_keeps_cells_apart_whatever_they_hold():
    table = Table(
        "t", "how to read", ("a", "b"), [("x|y\nz <b>", Share.of(1, 2, 0.95)), (None, Share(hits=0, total=0))]
    )
    assert table.markdown().splitlines() == [
        "how to read", "", "| a | b |", "|---|---:|", "| x\\|y z &lt;b> | 50.0 % (1.3 to 98.7 %) |", "| – | – |",
    ]  # fmt: skip
    assert len(table.markdown(rows=1).splitlines()) == 5


def test_every_table_of_a_feed_has_rows_of_equal_length(feed):
    evaluation = evaluate(*feed)
    for table in [*words.for_evaluation(evaluation), words.errors(evaluation), words.stage_methods(evaluation)]:
        assert table.rows and all(len(row) == len(table.headers) for row in table.rows)
