"""The key channel: what shares a key is proposed, however different the names look, and never crowds out the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.retrieval.entity_names import entity_names
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.keys import KEYS, KeyTable, names_of_keys
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

# Many names nearer to any query than the entity that shares the key.
OTHERS = [
    f"Quantum Lantern {word}" for word in "one two three four five six seven eight nine ten eleven twelve".split()
]
LIGHT = RetrievalSettings(encoder=None, per_channel=5, candidates=5)


def table(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame([*rows, *({"name": name} for name in OTHERS)]).astype(object)
    frame = frame.where(frame.notna(), None)
    frame.insert(0, "entity_id", [f"E{i}" for i in range(len(frame))])
    return prepare_reference(frame)


def source(**values: str) -> pd.DataFrame:
    return profile(prepare_source(pd.DataFrame([{"source_id": "1", **values}]), system="t"))


@pytest.mark.parametrize(
    ("key", "entity", "record"),
    [
        ("LEI", {"lei": "529900T8BM49AURSDO55"}, {"lei": "529900t8bm49aursdo55"}),
        ("ISIN", {"isin": "US0378331005"}, {"isin": "US0378331005"}),
        ("CUSIP", {"isin": "US0378331005"}, {"cusip": "037833100"}),
        ("CUSIP_ISSUER", {"cusip": "037833100"}, {"cusip": "037833AJ9"}),
        ("CIK", {"cik": "320193"}, {"cik": "0000320193"}),
        ("DOMAIN", {"website": "https://www.acme.co.uk/en"}, {"website": "mail@acme.co.uk"}),
        ("TICKER_EXCHANGE", {"ticker": "ACM", "exchange": "XLON"}, {"ticker": "ACM", "exchange": "XLON"}),
        ("ALIAS", {"aliases": ["Quantum Lantern"]}, {}),
        ("ALIAS", {"name": "Zebra plc formerly Quantum Lantern"}, {}),
        ("ALIAS", {}, {"name": "Quantum Lantern dba Zebra"}),
        ("CORE", {"name": "Zebra plc"}, {"name": "Zebra Ltd"}),
        ("NAME_COUNTRY", {"country": "GB"}, {"name": "Zebra", "country": "GB"}),
        ("ACRONYM", {"name": "Zebra Yak Xylophone Wolf"}, {"name": "ZYXW Ltd"}),
        ("ACRONYM", {"name": "ZYXW"}, {"name": "Zebra Yak Xylophone and Wolf"}),
    ],
)
def test_a_shared_key_proposes_and_is_named(key: str, entity: dict, record: dict) -> None:
    index = CandidateIndex.build(table([{"name": "Zebra", **entity}]), LIGHT)
    found = index.search(source(**{"name": "Quantum Lantern", **record}))
    mine = found[found["entity"] == 0]
    assert len(mine) == 1 and key in mine["key"].iloc[0].split()
    assert len(found) <= 5 and (found[found["entity"] != 0]["key"] == "").all()
    # Its cosine is the real one.
    alone = index.with_settings(LIGHT.model_copy(update={"posting_budget": None, "per_channel": 50, "candidates": 50}))
    full = alone.search(source(**{"name": "Quantum Lantern", **record}))
    assert mine["lexical"].iloc[0] == pytest.approx(full[full["entity"] == 0]["lexical"].iloc[0], abs=1e-6)
    # Switched off, it is silent.
    off = index.with_settings(LIGHT.model_copy(update={"keys": tuple(code for code in KEYS if code != key)}))
    assert key not in " ".join(off.search(source(**{"name": "Quantum Lantern", **record}))["key"]).split()


def test_a_key_finds_where_there_is_no_name() -> None:
    index = CandidateIndex.build(
        table([{"name": "Zebra", "lei": "529900T8BM49AURSDO55"}]), RetrievalSettings(encoder=None)
    )
    found = index.search(source(name="", lei="529900T8BM49AURSDO55"))
    assert found["entity"].tolist() == [0] and found["key"].tolist() == ["LEI"] and found["lexical"].tolist() == [0.0]


def test_a_crowded_key_proposes_few_and_the_most_similar() -> None:
    rows = [{"name": f"Member {chr(97 + i % 26)}{chr(97 + i // 26)}", "website": "group.com"} for i in range(60)]
    index = CandidateIndex.build(table([*rows, {"name": "Tulip Zebra", "website": "group.com"}]), LIGHT)
    found = index.search(source(name="Zebra Tulip Quantum Lantern", website="group.com"))
    keyed = found[found["key"] != ""]
    assert 60 in set(keyed["entity"]) and len(keyed) <= 3 and len(found) == 5
    crowd = CandidateIndex.build(table([{"name": "Zebra", "website": "group.com"}] * 500), LIGHT)
    assert (crowd.search(source(name="Lantern", website="group.com"))["key"] != "").sum() == 3


def test_the_country_settles_between_namesakes() -> None:
    rows = [{"name": "Zebra Ltd", "country": country} for country in ["FR"] * 40 + ["GB"] + ["DE"] * 40]
    found = CandidateIndex.build(table(rows), LIGHT).search(source(name="Zebra Ltd", country="GB"))
    assert found["entity"].iloc[0] == 40


def test_more_keyed_candidates_than_places() -> None:
    rows = [
        {"name": "Alpha", "lei": "529900T8BM49AURSDO55"},
        {"name": "Beta", "isin": "US0378331005"},
        {"name": "Quantum", "cik": "320193"},
        {"name": "Gamma", "website": "acme.co.uk"},
    ]
    record = {"lei": "529900T8BM49AURSDO55", "isin": "US0378331005", "cik": "320193", "website": "acme.co.uk"}
    index = CandidateIndex.build(table(rows), LIGHT.model_copy(update={"candidates": 3}))
    found = index.search(source(name="Quantum", **record))
    assert found["entity"].tolist()[0] == 2 and (found["key"] != "").all() and len(found) == 3


KEY_ROW = st.tuples(st.sampled_from(["acme ltd", "acme plc", "beacon", "ab cd ef"]), st.sampled_from(["", "DE", "FR"]))
KEY_ROWS = st.lists(KEY_ROW, min_size=1, max_size=12)


@settings(max_examples=20, deadline=None)
@given(KEY_ROWS, KEY_ROWS)
def test_finds_are_those_of_a_dictionary(rows: list, asked: list) -> None:
    frame = pd.DataFrame(rows, columns=["name", "country"])
    entities = prepare_reference(frame.assign(entity_id=[str(i) for i in range(len(rows))]))
    profiled = profile(entities)
    keys = KeyTable.build(profiled, entity_names(profiled, entities["aliases"]))
    records = profile(
        prepare_source(
            pd.DataFrame(asked, columns=["name", "country"]).assign(source_id=[str(i) for i in range(len(asked))]),
            system="t",
        )
    )
    query, entity, code = keys.find(records, ["NAME_COUNTRY", "CORE"])
    expected = set()
    for column, name in (("name_key", "NAME_COUNTRY"), ("core_key", "CORE")):
        for i in range(len(records)):
            for j in range(len(profiled)):
                countries = records["country"].iloc[i], profiled["country"].iloc[j]
                if records[column].iloc[i] == profiled[column].iloc[j] and (
                    name == "CORE" or countries[0] == countries[1] != ""
                ):
                    expected.add((i, j, KEYS.index(name)))
    assert set(zip(query.tolist(), entity.tolist(), code.tolist(), strict=True)) == expected


def test_names_of_sets_of_keys() -> None:
    bits = np.array([0, 1, (1 << KEYS.index("CORE")) | 1])
    assert names_of_keys(bits).tolist() == ["", "LEI", "LEI CORE"] and not len(names_of_keys(bits[:0]))
