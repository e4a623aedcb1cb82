import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.evaluation import TrainingDigests, evaluate
from em_core.evaluation.tables import leaks


def queries(*rows):
    """`(source_id, name, entity_id, origin)` as training queries."""
    frame = pd.DataFrame(rows, columns=["source_id", "name", "entity_id", "origin"], dtype=object)
    return frame.assign(source_system="CRM")


def quoting(*names):
    """Evidence that quotes the record's name, as the matcher writes it."""
    return [json.dumps({"name": {"source": name}}) for name in names]


LEARNED = queries(
    ("S0", "Acme Ltd", "E0", "label"),
    ("L1", "Beta AG", "E1", "label"),
    ("L2", "Nobody GmbH", None, "label"),
    ("L3", "Delta", "E3", "label"),
    ("E4", "Epsilon", "E4", "noise"),
)


@pytest.fixture
def judged(tables):
    """Six labelled records: seen by key, by name, by name as a true none, entity known otherwise, as a noisy copy, never."""
    return tables(
        [
            ("auto_match", "E0", "E0", 0.9),
            ("auto_match", "E1", "E1", 0.9),
            ("no_match", None, None, 0.1),
            ("auto_match", "X", "E3", 0.9),
            ("auto_match", "E4", "E4", 0.9),
            ("auto_match", "X", "E5", 0.9),
        ],
        evidence=quoting("Other spelling", "BETA A.G.", "Nobody GmbH", "Delta Intl", "epsilon", "Zeta"),
    )


def test_seen_records_are_counted_by_what_gave_them_away(judged):
    found = evaluate(*judged, training=TrainingDigests.of(LEARNED)).leaks
    assert (found.labels, found.by_key, found.by_name, found.seen) == (4, 1, 2, 3)
    assert (found.seen_entity, found.copies, found.without_name) == (1, 1, 0)


def test_figures_with_and_without_seen_records(judged):
    found = evaluate(*judged, training=TrainingDigests.of(LEARNED)).leaks
    lines = {
        line.records: (line.labelled, line.known, line.precision.hits, line.precision.total) for line in found.lines
    }
    assert lines == {
        "all labelled records": (6, 5, 3, 5),
        "not seen in training": (3, 3, 1, 3),
        "of entities not seen in training": (2, 2, 1, 2),
        "seen in training": (3, 2, 2, 2),
    }
    assert (
        "it had seen 3: 1 by source system and id, 2 by the same name"
        in leaks(evaluate(*judged, training=TrainingDigests.of(LEARNED))).note
    )


def test_the_same_name_with_another_answer_is_no_leak(tables):
    results, truth = tables([("auto_match", "E9", "E9", 0.9)], source_id=["S9"], evidence=quoting("Acme Ltd"))
    truth["source_id"] = ["S9"]
    assert evaluate(results, truth, training=TrainingDigests.of(LEARNED)).leaks.seen == 0


def test_without_a_name_only_keys_are_compared_and_that_is_said(tables):
    results, truth = tables([("auto_match", "E0", "E0", 0.9), ("auto_match", "E1", "E1", 0.9)])
    evaluation = evaluate(results, truth, training=TrainingDigests.of(LEARNED))
    assert (evaluation.leaks.seen, evaluation.leaks.without_name) == (1, 2)
    assert "The names of 2 are not known here" in leaks(evaluation).note


def test_the_source_table_names_records_better_than_the_evidence(judged):
    results, truth = judged
    source = results[["source_system", "source_id"]].assign(name=["x", "y", "z", "u", "v", "Beta AG"], country=None)
    truth = truth.assign(entity_id=["E0", "E1", None, "E3", "E4", "E1"])
    found = evaluate(results, truth, source=source, training=TrainingDigests.of(LEARNED)).leaks
    assert (found.by_key, found.by_name) == (1, 1)


def test_digests_survive_the_folder_and_hold_no_text(tmp_path):
    made = TrainingDigests.of(LEARNED)
    made.save(tmp_path)
    read = TrainingDigests.load(tmp_path)
    for name in ("keys", "answers", "entities", "copies"):
        np.testing.assert_array_equal(getattr(made, name), getattr(read, name))
    stored = (tmp_path / "training_records.npz").read_bytes().lower()
    assert not any(word in stored for word in (b"acme", b"beta", b"epsilon", b"e0"))
    with pytest.raises(UserError, match="does not say what it learned from"):
        TrainingDigests.load(tmp_path / "absent")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.sampled_from(["E1", "E2", None])), max_size=8))
def test_every_label_is_recognised_whatever_the_order(rows):
    frame = queries(*((f"S{i}", f"{a} {b}", e, "label") for i, (a, b, e) in enumerate(rows)))
    seen = TrainingDigests.of(frame.sample(frac=1, random_state=1)).seen(
        frame, frame["name"].to_numpy(dtype=object), frame["entity_id"].to_numpy(dtype=object)
    )
    assert seen.key.all() and seen.answer.all() and seen.record.all()
    strangers = frame.assign(source_system="ERP", entity_id="E9")
    unseen = TrainingDigests.of(frame).seen(
        strangers, strangers["name"].to_numpy(dtype=object), strangers["entity_id"].to_numpy(dtype=object)
    )
    assert not unseen.record.any() and not unseen.entity.any()
