from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.prepare import PREPARE, Preparation
from em_core.ditto.serialise import join_record, split_record
from em_core.ditto.settings import TrainSettings
from em_core.errors import UserError

TEXTS = [
    *("COL name VAL Acme Steel Works Ltd COL country VAL Germany COL note VAL the maker of steel",) * 2,
    "COL name VAL Beacon Foods COL note VAL the maker of food since 1901 in New York",
    "Acme Steel Works",
    "",
]
word = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=12)
value = st.lists(word, max_size=20).map(" ".join)
record = st.builds(
    lambda name, others: [("name", name), *others],
    value,
    st.lists(st.tuples(st.sampled_from(["country", "price", "zip", "website", "isin", "note"]), value), max_size=4),
)
choices = st.fixed_dictionaries({
    "knowledge": st.sampled_from(["none", "company", "product", "general"]),
    "markers": st.sampled_from(["classic", "short"]),
    "summarise": st.booleans(),
    "max_length": st.sampled_from([8, 16, 40, 128]),
})  # fmt: skip


def _fitted(texts: list[str] = TEXTS, **changes: Any) -> Preparation:
    return Preparation.fit(TrainSettings.model_validate(changes), texts)


def test_nothing_asked_for_changes_nothing() -> None:
    assert _fitted() == Preparation.identity()
    assert Preparation.identity()(TEXTS) == TEXTS


def test_short_markers_are_the_attribute_alone() -> None:
    prepare = _fitted(markers="short")
    assert prepare(["COL name VAL Acme Ltd COL Brew_Factory_Name VAL X", "plain text", ""]) == [
        "name Acme Ltd Brew Factory Name X",
        "plain text",
        "",
    ]


def test_repeated_texts_come_back_in_order_and_none_is_refused() -> None:
    prepare = _fitted(markers="short")
    assert prepare([TEXTS[3], TEXTS[2], TEXTS[3]]) == [TEXTS[3], prepare([TEXTS[2]])[0], TEXTS[3]]
    assert prepare([]) == []
    with pytest.raises(ValueError, match="None or NaN"):
        prepare(["a", None])  # type: ignore[list-item]


@given(choices, st.lists(record, min_size=1, max_size=5))
def test_any_record_is_prepared_and_keeps_a_name(chosen: dict[str, Any], records: list[list[tuple[str, str]]]) -> None:
    texts = [join_record(fields) for fields in records]
    prepare = _fitted(texts, **chosen)
    prepared = prepare(texts)
    assert prepared == prepare(texts)
    for text, made in zip(texts, prepared, strict=True):
        name = split_record(text)[0][1]
        if chosen["markers"] == "classic":
            assert split_record(made)[0][0] == "name"
            assert bool(split_record(made)[0][1]) == bool(name)
        else:
            assert made.split()[0] == "name"
            assert len(made.split()) > 1 or not name


@given(choices, st.lists(record, min_size=1, max_size=5))
def test_what_is_saved_is_what_is_loaded(chosen: dict[str, Any], records: list[list[tuple[str, str]]]) -> None:
    texts = [join_record(fields) for fields in records]
    prepare = _fitted(texts, **chosen)
    with tempfile.TemporaryDirectory() as folder:
        prepare.save(Path(folder))
        loaded = Preparation.load(Path(folder))
    assert loaded == prepare
    assert loaded([*texts, *TEXTS]) == prepare([*texts, *TEXTS])


def test_a_folder_without_a_preparation_has_the_identity(tmp_path: Path) -> None:
    assert Preparation.load(tmp_path) == Preparation.identity()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"format": 2}', b'{"knowledge": "astrology"}', b'{"x": 1}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PREPARE).write_bytes(content)
    with pytest.raises(UserError, match=PREPARE):
        Preparation.load(tmp_path)


def test_only_training_texts_are_learned_from() -> None:
    prepare = _fitted(summarise=True)
    assert prepare.summary is not None
    assert set(prepare.summary.words) == {"the", "maker", "of", "acme", "steel", "works"}
    json.loads(prepare.model_dump_json())
