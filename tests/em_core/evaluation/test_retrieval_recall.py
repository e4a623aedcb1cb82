import numpy as np
import pandas as pd
import pytest

from em_core.evaluation import rank_of_truth, retrieval_recall


def candidates(*rows):
    return pd.DataFrame(rows, columns=["query", "rank", "entity_id"])


LISTS = candidates((0, 1, "A"), (0, 2, "B"), (1, 1, "C"), (1, 2, "A"), (1, 6, "D"), (3, 1, "Z"))
TRUTH = ["A", "D", "E", None, "B"]  # at rank 1, at rank 6, no candidates at all, truly none, no candidates


def test_recall_counts_known_queries_only():
    found = retrieval_recall(LISTS, TRUTH, ks=(1, 5, 10))
    assert found.known == 4
    assert {k: share.hits for k, share in found.recall_at.items()} == {1: 1, 5: 1, 10: 2}
    assert found.recall_at[10].value == 0.5
    assert found.lost == [2, 4]


def test_rank_of_truth_tells_lost_from_unanswerable():
    np.testing.assert_array_equal(rank_of_truth(LISTS, TRUTH), [1, 6, np.inf, np.nan, np.inf])


def test_row_order_and_repeated_candidates_do_not_matter():
    doubled = pd.concat([LISTS.assign(rank=LISTS["rank"] + 3), LISTS]).sample(frac=1, random_state=1)
    np.testing.assert_array_equal(rank_of_truth(doubled, TRUTH), rank_of_truth(LISTS, TRUTH))


def test_an_equivalent_entity_is_found():
    groups = {"C": "g", "D": "g", "E": "h"}
    assert rank_of_truth(LISTS, TRUTH, groups)[1] == 1
    assert retrieval_recall(LISTS, TRUTH, (1,), equivalent=groups).recall_at[1].hits == 2


def test_recall_grows_with_k():
    generator = np.random.default_rng(3)
    lists = pd.DataFrame(
        {
            "query": np.repeat(np.arange(50), 20),
            "rank": np.tile(np.arange(1, 21), 50),
            "entity_id": generator.integers(0, 60, 1000).astype(str),
        }
    )
    hits = [
        share.hits
        for share in retrieval_recall(lists, [str(n) for n in generator.integers(0, 60, 50)]).recall_at.values()
    ]
    assert hits == sorted(hits)
    assert hits[0] < hits[-1]


def test_no_candidates_and_nothing_known():
    nothing = candidates()
    assert retrieval_recall(nothing, ["A"]).recall_at[1].value == 0
    assert retrieval_recall(nothing, [None, np.nan]).recall_at[1].value is None
    assert retrieval_recall(nothing, []).known == 0


@pytest.mark.parametrize("row", [(5, 1, "A"), (-1, 1, "A"), (0, 0, "A")])
def test_positions_and_ranks_out_of_range_are_refused(row):
    with pytest.raises(ValueError, match=r"positions|ranks"):
        rank_of_truth(candidates(row), TRUTH)
