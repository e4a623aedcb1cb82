import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.evaluation import Evaluation, evaluate
from em_core.schema import prepare_reference, prepare_source

SHARES = ("precision", "recall", "suggestion_accuracy", "none_precision", "none_recall")


def values(evaluation):
    return {name: getattr(evaluation, name).value for name in SHARES}


def test_eight_wrong_identifiers_give_precision_0(tables):
    found = evaluate(*tables([("auto_match", "X", f"E{row}", 0.99) for row in range(8)]))
    assert (found.precision.value, found.recall.value, found.suggestion_accuracy.value) == (0, 0, 0)
    assert (found.precision.total, found.error_counts["wrong_match"]) == (8, 8)


def test_right_nones_do_not_whitewash_wrong_identifiers(tables):
    records = [("auto_match", "X", f"E{row}", 0.99) for row in range(8)] + [("no_match", None, None, 0.1)] * 2
    found = evaluate(*tables(records))
    assert values(found) == {
        "precision": 0, "recall": 0, "suggestion_accuracy": 0, "none_precision": 1, "none_recall": 1
    }  # fmt: skip
    assert [point.recall for point in found.operating_points] == [0, 0]


def test_every_figure_of_a_small_feed_by_hand(tables):
    found = evaluate(
        *tables(
            [
                ("auto_match", "E1", "E1", 0.99),  # right
                ("auto_match", "E2", "E2", 0.98),  # right
                ("auto_match", "X", "E3", 0.97),  # wrong entity
                ("auto_match", "X", None, 0.96),  # invented
                ("review", "E5", "E5", 0.80),  # right suggestion
                ("review", "X", "E6", 0.70),  # wrong suggestion
                ("review", "X", None, 0.60),  # nothing to find
                ("review", None, "E8", None),  # conflict without a suggestion
                ("no_match", None, "E9", 0.30),  # missed
                ("no_match", None, None, 0.10),  # rightly none
                ("auto_match", "E1", "?", 0.99),  # no truth
            ]
        )
    )
    counts = found.counts
    assert (counts.records, counts.labelled, counts.known, counts.unseen) == (11, 10, 7, 3)
    assert values(found) == {
        "precision": 2 / 4, "recall": 2 / 7, "suggestion_accuracy": 3 / 7, "none_precision": 1 / 2, "none_recall": 1 / 3
    }  # fmt: skip
    assert found.review_share == 4 / 11
    table = {
        o.decision: (o.records, o.labelled, o.right, o.wrong, o.invented, o.missed, o.truly_none)
        for o in found.outcomes
    }
    assert table == {
        "auto_match": (5, 4, 2, 1, 1, 0, 0),
        "review": (4, 4, 1, 1, 1, 1, 0),
        "no_match": (2, 2, 0, 0, 0, 1, 1),
    }
    assert [(p.target, p.recall, p.threshold) for p in found.operating_points] == [
        (0.99, 2 / 7, 0.98),
        (0.95, 2 / 7, 0.98),
    ]
    assert found.error_counts == {"wrong_match": 1, "match_of_unseen": 1, "missed": 2, "wrong_suggestion": 1}
    assert [e.source_id for e in found.errors] == ["S2", "S3", "S8", "S7", "S5"]
    assert found.calibration.count == 7  # every labelled identifier with a confidence
    assert sum(found.histogram.unlabelled) == 1
    assert found.promise.status == "broken"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            [("auto_match", "E1", "E1", 0.9)] * 3,
            {"precision": 1, "recall": 1, "suggestion_accuracy": 1, "none_precision": None, "none_recall": None},
            id="all known, all right",
        ),
        pytest.param(
            [("no_match", None, None, 0.2)] * 3,
            {"precision": None, "recall": None, "suggestion_accuracy": None, "none_precision": 1, "none_recall": 1},
            id="none known, none matched",
        ),
        pytest.param(
            [("no_match", None, "E1", 0.2)] * 3,
            {"precision": None, "recall": 0, "suggestion_accuracy": 0, "none_precision": 0, "none_recall": None},
            id="all known, none matched",
        ),
        pytest.param(
            [("auto_match", "X", None, 0.9)] * 3,
            {"precision": 0, "recall": None, "suggestion_accuracy": None, "none_precision": None, "none_recall": 0},
            id="none known, all matched",
        ),
        pytest.param([("auto_match", "E1", "?", 0.9)], dict.fromkeys(SHARES), id="no truth"),
    ],
)
def test_one_class_only(tables, records, expected):
    assert values(evaluate(*tables(records))) == expected


@pytest.mark.parametrize("blank", [None, np.nan, "", pd.NA])
def test_every_kind_of_missing_truth_means_truly_none(tables, blank):
    results, truth = tables([("no_match", None, "E1", 0.1), ("no_match", None, "E2", 0.1)])
    found = evaluate(results, truth.assign(entity_id=["E1", blank]))
    assert (found.counts.known, found.counts.unseen) == (1, 1)
    assert found.none_precision.value == 0.5


def test_truth_of_numbers_joins_text_keys(tables):
    results, _ = tables([("auto_match", "10", "?", 0.9), ("auto_match", "11", "?", 0.9)], source_id=["1", "2"])
    truth = pd.DataFrame({"source_id": [1, 2], "entity_id": [10.0, np.nan]})
    assert evaluate(results, truth).precision.value == 0.5


def test_an_identifier_on_a_no_match_does_not_count(tables):
    found = evaluate(*tables([("no_match", "E1", "E1", 0.4)]))
    assert (found.suggestion_accuracy.value, found.calibration, found.curve) == (0, None, [])


def test_an_automatic_match_without_identifier_is_wrong(tables):
    assert evaluate(*tables([("auto_match", None, "E1", 0.9), ("auto_match", "E2", "E2", 0.9)])).precision.value == 0.5


def test_another_entity_of_the_same_group_is_right(tables):
    results, truth = tables(
        [("auto_match", "A2", "A1", 0.9), ("auto_match", "B1", "A1", 0.9), ("auto_match", "C", "D", 0.9)]
    )
    groups = {"A1": "A", "A2": "A", "B1": "B", "C": None, "D": None}
    assert evaluate(results, truth).precision.value == 0
    assert evaluate(results, truth, equivalent=groups).precision.hits == 1


def test_truth_by_id_alone_needs_ids_that_are_unique_over_systems(tables):
    results, _ = tables(
        [("auto_match", "E1", "?", 0.9)] * 3, source_id=["1", "1", "2"], source_system=["CRM", "ERP", "ERP"]
    )
    clear = pd.DataFrame({"source_id": ["2"], "entity_id": ["E1"]})
    assert evaluate(results, clear).precision.hits == 1
    with pytest.raises(UserError, match=r"source_id '1' occurs in several source systems \(CRM, ERP\)"):
        evaluate(results, pd.DataFrame({"source_id": ["2", "1"], "entity_id": ["E1", "E1"]}))
    both = pd.DataFrame({"source_system": ["ERP", "CRM"], "source_id": ["1", "1"], "entity_id": ["E1", "X"]})
    assert (evaluate(results, both).precision.hits, evaluate(results, both).precision.total) == (1, 2)


def test_a_record_is_not_labelled_twice(tables):
    results, _ = tables([("auto_match", "E1", "?", 0.9)])
    truth = pd.DataFrame({"source_system": ["CRM", None], "source_id": ["S0", "S0"], "entity_id": ["E1", "E2"]})
    with pytest.raises(UserError, match="labelled twice"):
        evaluate(results, truth)


def test_truth_beyond_the_results_is_counted_and_unlabelled_results_left_out(tables):
    results, _ = tables([("auto_match", "E1", "?", 0.9), ("auto_match", "X", "?", 0.9)])
    found = evaluate(results, pd.DataFrame({"source_id": ["S0", "S7", "S8"], "entity_id": ["E1", "E7", None]}))
    assert (found.counts.truth_without_result, found.counts.labelled, found.precision.total) == (2, 1, 1)
    with pytest.raises(UserError, match=r"none of its 1 record\(s\) is in the results"):
        evaluate(results, pd.DataFrame({"source_id": ["other"], "entity_id": ["E1"]}))


def test_bad_tables_are_refused_in_one_sentence(tables):
    results, truth = tables([("auto_match", "E1", "E1", 0.9), ("auto_match", "E2", "E2", 97.0)])
    with pytest.raises(UserError, match="row 2, column 'confidence'"):
        evaluate(results, truth)
    with pytest.raises(UserError, match="no rows"):
        evaluate(results.iloc[:0], truth)
    with pytest.raises(UserError, match="'decision'"):
        evaluate(results.assign(decision="maybe"), truth)


@pytest.mark.parametrize(
    ("right", "wrong", "status"), [(299, 0, "shown"), (298, 0, "open"), (400, 3, "open"), (90, 10, "broken")]
)
def test_promise_says_what_the_labels_prove(tables, right, wrong, status):
    records = [("auto_match", "E", "E", 0.99)] * right + [("auto_match", "X", "E", 0.99)] * wrong
    promise = evaluate(*tables(records)).promise
    assert (promise.status, promise.labels, promise.errors) == (status, right + wrong, wrong)
    assert (promise.labels_needed <= promise.labels) == (status == "shown")


def test_promise_without_labels(tables):
    promise = evaluate(*tables([("auto_match", "E", "?", 0.9)])).promise
    assert (promise.status, promise.lower_bound, promise.labels_needed) == ("unlabelled", None, 299)


def test_breakdown_by_system_stage_method_and_country(tables):
    results, truth = tables(
        [
            ("auto_match", "E1", "E1", 0.9),
            ("auto_match", "X", "E2", 0.9),
            ("review", "E3", "E3", 0.6),
            ("no_match", None, None, 0.1),
        ],
        source_system=["CRM", "CRM", "CRM", "ERP"],
        method=["LEI", "DITTO", "DITTO", "NO_CANDIDATE"],
        reason=["same LEI", "b", "a", "nothing near"],
    )
    source = prepare_source(
        pd.DataFrame(
            {
                "source_system": ["CRM", "CRM", "ERP"],
                "source_id": ["S0", "S1", "S3"],
                "name": list("abc"),
                "country": ["DE", "DE", "FR"],
            }
        )
    )
    groups = evaluate(results, truth, source=source).groups
    crm, erp = groups["source_system"]
    assert (crm.value, crm.records, crm.auto_match, crm.review, crm.precision.value, crm.recall.value) == (
        "CRM",
        3,
        2,
        1,
        0.5,
        1 / 3,
    )
    assert (erp.value, erp.no_match, erp.known, erp.precision.value, erp.recall.value) == ("ERP", 1, 0, None, None)
    assert [g.value for g in groups["country"]] == ["DE", "FR", None]
    assert [g.value for g in groups["method"]] == ["DITTO", "LEI", "NO_CANDIDATE"]
    assert [g.reason for g in groups["method"]] == ["a", "same LEI", "nothing near"]
    assert "country" not in evaluate(results, truth).groups


def test_errors_carry_what_is_needed_to_see_why(tables):
    results, truth = tables(
        [("auto_match", "X1", "E1", 0.91), ("auto_match", "X2", "E2", 0.99), ("review", "X3", "E3", 0.5)],
        runner_up_id=["E1", "X9", None],
        evidence=['{"name": "near"}'] * 3,
    )
    source = prepare_source(pd.DataFrame({"source_system": "CRM", "source_id": ["S0", "S1"], "name": ["one", "two"]}))
    reference = prepare_reference(pd.DataFrame({"entity_id": ["E1", "E3"], "name": ["First Inc", "Third Inc"]}))
    found = evaluate(results, truth, source=source, reference=reference)
    assert [e.source_id for e in found.errors] == ["S1", "S0", "S2"]  # the most confident wrong match first
    second, first, third = found.errors
    assert (first.source_name, first.matched_name, first.truth_entity_id, first.truth_name) == (
        "one",
        "Firm X1",
        "E1",
        "First Inc",
    )
    assert (first.runner_up_right, second.runner_up_right, third.runner_up_right) == (True, False, False)
    assert (second.truth_name, third.source_name, third.kind) == (None, None, "wrong_suggestion")
    assert first.evidence == '{"name": "near"}'
    assert found.counts.truth_not_in_reference == 1


def test_error_list_is_cut_but_its_counts_are_not(tables):
    found = evaluate(*tables([("auto_match", "X", "E", 0.9)] * 12), error_limit=5)
    assert (len(found.errors), found.error_counts["wrong_match"]) == (5, 12)


def test_figures_survive_json(feed):
    found = evaluate(*feed)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert Evaluation.model_validate(json.loads(text)) == found


def test_headline_holds_known_numbers_only(tables, feed):
    headline = evaluate(*feed).headline()
    assert {
        "precision",
        "precision_low",
        "recall",
        "recall_at_p99",
        "recall_at_p95",
        "ece",
        "auto_match",
        "cost_per_1000",
    } <= set(headline)
    assert all(isinstance(value, float) and np.isfinite(value) for value in headline.values())
    assert set(evaluate(*tables([("review", "E", "?", 0.5)])).headline()) == {
        "records", "labelled", "auto_match", "review", "no_match", "review_share"
    }  # fmt: skip


RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["auto_match", "review", "no_match"]),
        st.sampled_from(["E", "X", None]),
        st.sampled_from(["E", None, "?"]),
        st.sampled_from([None, 0.0, 0.4, 0.9, 1.0]),
    ).map(lambda r: (r[0], None, *r[2:]) if r[0] == "no_match" else r),
    min_size=1,
    max_size=25,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, st.integers(0, 2**16))
def test_row_order_changes_no_figure(tables, records, seed):
    results, truth = tables(records)
    generator = np.random.default_rng(seed)
    shuffled = results.iloc[generator.permutation(len(results))]
    other = None if truth is None else truth.iloc[generator.permutation(len(truth))]
    assert evaluate(results, truth) == evaluate(shuffled, other)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_figures_hang_together(tables, records):
    found = evaluate(*tables(records))
    assert sum(o.records for o in found.outcomes) == found.counts.records == len(records)
    for outcome in found.outcomes:
        parts = outcome.right + outcome.wrong + outcome.invented + outcome.missed + outcome.truly_none
        assert parts == outcome.labelled
    for name in SHARES:
        share = getattr(found, name)
        assert (share.value is None) == (share.total == 0)
        assert share.value is None or 0 <= share.low <= share.value <= share.high <= 1
    for groups in found.groups.values():
        assert sum(g.records for g in groups) == len(records)
        assert sum(g.precision.hits for g in groups) == found.precision.hits
    assert sum(found.error_counts.values()) == len(found.errors)
    wrong = next(o for o in found.outcomes if o.decision == "auto_match")
    assert found.error_counts["wrong_match"] + found.error_counts["match_of_unseen"] == wrong.labelled - wrong.right


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_records_without_truth_change_no_metric(tables, records):
    results, truth = tables(records)
    more, _ = tables([*records, *[("auto_match", "Z", "?", 1.0)] * 5])
    if truth is not None:
        one, two = evaluate(results, truth), evaluate(more, truth)
        assert values(one) == values(two)
        assert (one.operating_points, one.calibration, one.thresholds) == (
            two.operating_points,
            two.calibration,
            two.thresholds,
        )
