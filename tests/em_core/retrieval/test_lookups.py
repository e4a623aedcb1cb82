"""What is looked up in a mapped folder is what is looked up in memory; a change of the reference reaches every look-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from em_core.decision.exact import ExactStage
from em_core.decision.features import PairFeatures
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.key_index import KeyIndex
from em_core.schema import prepare_reference, prepare_source
from em_core.text.digests import text_digests
from em_core.text.profile import profile

LEXICAL = RetrievalSettings(encoder=None)
MASTER = pd.DataFrame(
    {
        "entity_id": ["a", "b", "c", "d", "x", "y"],
        "name": [
            "Acme Steel GmbH",
            "Acme Steel AG f/k/a Zenith Werke AG",
            "Beta Foods Ltd",
            "Acme Steel",
            "Twin Fund",
            "Twin Fund",
        ],
        "aliases": [["Acme Stahl"], [], ["Beta Nahrung", "Beta Foods Limited"], [], [], []],
        "country": ["DE", "AT", "GB", None, "FR", "FR"],
        "website": ["acme.de", None, "beta.co.uk", None, None, None],
        "ticker": ["ACM", None, "BTA", None, None, None],
        "exchange": ["GER", None, "LSE", None, None, None],
        "lei": ["HWUPKR0MPOU8FGXBT394", None, "INR2EJN1ERAN0W5ZP974", None, None, None],
        "cusip": ["037833100", None, None, "037833902", None, None],
    }
)
RECORDS = [
    {"name": "Acme Steel"},
    {"name": "Zenith Werke"},
    {"name": "Acme Stahl", "country": "DE"},
    {"name": "Beta", "lei": "INR2EJN1ERAN0W5ZP974"},
    {"name": "Beta Foods", "lei": "HWUPKR0MPOU8FGXBT394"},
    {"name": "Acme", "ticker": "ACM", "exchange": "GER"},
    {"name": "Unheard Words", "website": "www.beta.co.uk"},
    {"name": "Acme Steel", "cusip": "037833100"},
    {"name": "Twin Fund"},
    {"name": "—"},
]


def asked() -> pd.DataFrame:
    """Profiles of the records."""
    return profile(
        prepare_source(pd.DataFrame(RECORDS).assign(source_id=[str(i) for i in range(len(RECORDS))]), system="s")
    )


def answers(index: CandidateIndex) -> tuple[pd.DataFrame, list[str], list[list[int]]]:
    """Pair features, and what the exact stage says."""
    hits = ExactStage(index.lookups)(asked())
    said = list(map(str, zip(hits.state, hits.rung, hits.entity, hits.other, hits.why, strict=True)))
    return PairFeatures(index.lookups)(asked(), index.search(asked())), said, hits.ladder.tolist()


def assert_same(left: CandidateIndex, right: CandidateIndex) -> None:
    """Both answer alike, to the last bit."""
    (features, said, ladder), (others, also, other_ladder) = answers(left), answers(right)
    pd.testing.assert_frame_equal(features, others, check_exact=True)
    assert said == also and ladder == other_ladder


@pytest.fixture(scope="module")
def index() -> CandidateIndex:
    return CandidateIndex.build(prepare_reference(MASTER), LEXICAL)


def test_kept_and_mapped(index: CandidateIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    assert_same(CandidateIndex.load(tmp_path / "index"), index)


def test_the_stage_has_something_to_say(index: CandidateIndex) -> None:
    _, said, _ = answers(index)
    assert len({text.split(",")[0] for text in said}) == 4  # a hit, a conflict, a tie and nothing


@pytest.mark.parametrize("way", ["added", "removed", "updated"])
def test_a_change_reaches_every_look_up(way: str, tmp_path: Path) -> None:
    master = prepare_reference(MASTER)
    whole = CandidateIndex.build(master, LEXICAL)
    start = master.iloc[:2] if way == "added" else pd.concat([master, master.iloc[:1].assign(entity_id="e")])
    if way == "updated":
        start = pd.concat([master.iloc[:5], master.iloc[5:].assign(name="Quite Another Name", cusip=None)])
    CandidateIndex.build(start.reset_index(drop=True), LEXICAL).save(tmp_path / "index")
    changed = CandidateIndex.load(tmp_path / "index")
    if way == "added":
        changed.add(master.iloc[2:])
    elif way == "removed":
        changed.remove(["e"])
    else:
        changed.update(master.iloc[5:])
    # The exact stage and word rarity follow at once; n-grams stay as learned until enough has changed.
    hits = [ExactStage(i.lookups)(asked()) for i in (changed, whole)]
    assert hits[0].ladder.tolist() == hits[1].ladder.tolist()
    found = whole.search(asked())
    pd.testing.assert_frame_equal(
        PairFeatures(changed.lookups)(asked(), found), PairFeatures(whole.lookups)(asked(), found), check_exact=True
    )


@pytest.mark.parametrize("key", ["name", "core", "ticker", "domain", "issuer", "lei"])
def test_a_collision_of_digests_finds_nothing(index: CandidateIndex, key: str) -> None:
    """As if another key had the digest of one that the reference carries."""
    lookups = index.lookups
    there, stranger = lookups.keys[key], np.array(["stranger"], dtype=object)
    digest = np.sort(np.append(there.digest, text_digests(stranger)))
    row = np.insert(there.row, int(np.flatnonzero(digest == text_digests(stranger))[0]), 0)
    collided = replace(lookups, keys=lookups.keys | {key: KeyIndex(digest, row)})
    assert collided.keys[key].has(stranger).all() and len(collided.find(key, stranger)[0]) == 0
    assert len(lookups.find(key, stranger)[0]) == 0


def test_what_is_found_carries_the_key(index: CandidateIndex) -> None:
    lookups = index.lookups
    asked = {
        "lei": ("INR2EJN1ERAN0W5ZP974", [2]),
        "ticker": (f"ACM|{lookups.entities['venue'][np.array([0])][0]}", [0]),
        "domain": ("beta.co.uk", [2]),
        "issuer": ("037833", [0, 3]),
        "core": (lookups.entities["core_key"][np.array([4])][0], [4, 5]),
    }
    for key, (text, rows) in asked.items():
        assert lookups.find(key, np.array([text, ""], dtype=object))[1].tolist() == rows, key


def test_namesakes_and_other_names(index: CandidateIndex) -> None:
    lookups = index.lookups
    assert lookups.namesakes.tolist() == [3, 3, 1, 3, 2, 2]
    rows = np.arange(lookups.own_names, lookups.own_names + len(lookups.others.entity))
    assert list(zip(lookups.owner(rows), lookups.of_names("written", rows), strict=True)) == [
        (0, "Acme Stahl"),
        (1, "Zenith Werke AG"),
        (2, "Beta Nahrung"),
    ]
