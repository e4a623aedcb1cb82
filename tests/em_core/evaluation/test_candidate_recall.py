"""Candidate recall of a fit: counts, channels, groups, and the records that are lost."""

import numpy as np
import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.evaluation import CandidateRecall, candidate_recall
from em_core.evaluation.tables import lost_records, recall_by, recall_by_channel

REFERENCE = pd.DataFrame({"entity_id": ["A", "B", "C"], "name": ["Alpha", "Beta", "Gamma"]})
RECORDS = pd.DataFrame(
    {
        "source_system": ["crm", "crm", "erp", "erp"],
        "source_id": ["1", "2", "3", "4"],
        "name": ["Alpha", "A very long name of Beta indeed", "Gama", "Nobody"],
        "country": ["DE", "", "DE", "FR"],
        "entity_id": ["A", "B", "C", None],
    },
    dtype=object,
)
# Record 0 finds A first by letters, second by vectors; record 1 finds B by vectors alone; record 2 finds only A.
LISTS = pd.DataFrame(
    [(0, 0, 0, 0.9, 0.2, "NAME"), (0, 1, 1, 0.1, 0.8, ""), (1, 0, 0, 0.4, 0.1, ""), (1, 1, 1, 0.0, 0.7, ""), (2, 0, 0, 0.3, np.nan, "")],
    columns=["query", "entity", "rank", "lexical", "vector", "key"],
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return candidate_recall(LISTS, RECORDS, REFERENCE, rule=np.array(["", "", "LEI", ""], dtype=object))


def hits(shares):
    return [share.hits for share in shares.values()]


def test_known_records_count_and_each_channel_orders_for_itself(found):
    assert (found.known, found.lost, found.lost_but_found_by_rule) == (3, 1, 1)
    assert {name: hits(shares) for name, shares in found.channels.items()} == {
        "fused": [1, 2, 2, 2], "lexical": [1, 1, 1, 1], "vector": [1, 2, 2, 2], "key": [1, 1, 1, 1],
    }  # fmt: skip
    assert found.fused() == {"@1": 1 / 3, "@5": 2 / 3, "@10": 2 / 3, "@20": 2 / 3}
    share = found.channels["fused"][1]
    assert share.low < share.value < share.high


def test_a_channel_that_proposed_nothing_is_left_out():
    found = candidate_recall(LISTS.assign(vector=np.nan, key=""), RECORDS, REFERENCE)
    assert set(found.channels) == {"fused", "lexical"}


def test_groups_by_system_country_and_length_hold_every_known_record_once(found):
    groups = {name: [(g.value, g.known, g.recall_at[20].hits) for g in lines] for name, lines in found.groups.items()}
    assert groups == {
        "source_system": [("crm", 2, 2), ("erp", 1, 0)],
        "country": [("DE", 2, 1), (None, 1, 1)],
        "name_length": [("1 to 8 characters", 2, 1), ("25 to 40 characters", 1, 1)],
    }


def test_the_lost_are_named_with_their_entity_and_survive_the_folder(found, tmp_path):
    (lost,) = found.lost_records
    assert (lost.source_id, lost.name, lost.entity_id, lost.entity_name, lost.rule) == (
        "3",
        "Gama",
        "C",
        "Gamma",
        "LEI",
    )
    found.save(tmp_path)
    assert CandidateRecall.load(tmp_path) == found
    with pytest.raises(UserError, match="fit the matcher again"):
        CandidateRecall.load(tmp_path / "absent")


def test_the_list_of_the_lost_is_cut_but_its_count_is_not():
    records = pd.concat([RECORDS.iloc[[2]]] * 7, ignore_index=True).assign(source_id=list("gfedcba"))
    found = candidate_recall(LISTS.iloc[:0], records, REFERENCE, listed=3)
    assert (found.lost, [r.source_id for r in found.lost_records]) == (7, ["a", "b", "c"])
    assert "7 in all, 3 shown" in lost_records(found).note


def test_nothing_known():
    found = candidate_recall(LISTS, RECORDS.assign(entity_id=None), REFERENCE)
    assert (found.known, found.lost, found.fused()["@10"]) == (0, 0, None)
    assert recall_by_channel(found).markdown()


def test_tables_put_the_worst_first(found):
    assert [row[0] for row in recall_by(found, "source_system").rows] == ["erp", "crm"]
    assert [row[0] for row in recall_by(found, "name_length").rows] == ["1 to 8 characters", "25 to 40 characters"]
    assert "1 had it nowhere, of which an exact rule finds 1" in recall_by_channel(found).note
