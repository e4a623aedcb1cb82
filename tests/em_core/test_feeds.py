"""Feeds through a real Delta store: landed, matched, published, and told what flipped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from em_core import feeds
from em_core.matcher import Matcher, with_index
from em_core.retrieval.index import CandidateIndex
from em_core.storage import DeltaStore


@pytest.fixture(scope="module")
def matcher(matcher_folder: Path) -> Matcher:
    return Matcher.load(matcher_folder)


def write_feed(path: Path, rows: pd.DataFrame, prefix: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{prefix}{i}" for i in rows["entity_id"]]
    rows[["name", "country"]].assign(id=ids).to_csv(path, index=False)


@pytest.fixture
def landed(tmp_path: Path, reference: pd.DataFrame) -> tuple[DeltaStore, Path]:
    landing = tmp_path / "landing"
    for number in range(6):
        write_feed(landing / f"crm.part{number}.csv", reference.iloc[number * 10 : number * 10 + 10])
    (landing / "broken.csv").write_text("id,job\n1,x\n")
    return DeltaStore(tmp_path / "tables"), landing


def test_a_broken_file_does_not_stop_the_others(landed: tuple[DeltaStore, Path]) -> None:
    store, landing = landed
    files = sorted(path.name for path in landing.iterdir())
    done = feeds.land_feeds(store, landing, files)
    assert list(done.broken) == ["broken.csv"] and "no column for 'name'" in done.broken["broken.csv"]
    assert sum(done.rows.values()) == 60 == len(store.read(feeds.SOURCE_TABLE)) and done.counts["inserted"] == 60
    before = store.version(feeds.SOURCE_TABLE)
    again = feeds.land_feeds(store, landing, files)
    assert store.version(feeds.SOURCE_TABLE) == before and again.digests == done.digests


def test_a_file_that_breaks_keeps_what_it_delivered(landed: tuple[DeltaStore, Path]) -> None:
    store, landing = landed
    feeds.land_feeds(store, landing, ["crm.part0.csv"])
    (landing / "crm.part0.csv").write_text("")
    done = feeds.land_feeds(store, landing, ["crm.part0.csv"])
    assert "crm.part0.csv" in done.broken and len(store.read(feeds.SOURCE_TABLE)) == 10


def test_match_publish_and_tell(
    landed: tuple[DeltaStore, Path], matcher: Matcher, matcher_folder: Path, reference: pd.DataFrame, tmp_path: Path
) -> None:
    store, landing = landed
    files = [f"crm.part{n}.csv" for n in range(6)]
    feeds.land_feeds(store, landing, files)
    first = feeds.match_feeds(store, matcher, files, run_id="one")
    assert first.records == first.changed == 60 and first.why == {"new": 60} and first.reused == 0
    out = feeds.publish(store, files, run_id="one")
    assert out.records == out.changed == len(out.flips) == 60 and set(out.flips["change"]) == {"new"}
    assert len(store.read(feeds.CHANGE_TABLE)) == 60

    versions = [store.version(t) for t in (feeds.DECISION_TABLE, feeds.RESULT_TABLE, feeds.CHANGE_TABLE)]
    second = feeds.match_feeds(store, matcher, files, run_id="two")
    assert second.reused == 60 and second.changed == 0
    again = feeds.publish(store, files, run_id="two")
    assert again.changed == 0 and again.flips.empty and again.digest == out.digest
    assert versions == [store.version(t) for t in (feeds.DECISION_TABLE, feeds.RESULT_TABLE, feeds.CHANGE_TABLE)]

    # Another state of the reference: the entity of one record is gone.
    index = CandidateIndex.load(matcher_folder / "index")
    index.remove([reference["entity_id"].iloc[3]])
    index.save(tmp_path / "index")
    with_index(matcher_folder, tmp_path / "index", tmp_path / "newer")
    newer = Matcher.load(tmp_path / "newer")
    third = feeds.match_feeds(store, newer, files, run_id="three")
    assert third.reused > 40 and third.why["candidates"] >= 1
    told = feeds.publish(store, files, run_id="three").flips
    lost = told[told["source_id"] == reference["entity_id"].iloc[3]]
    assert len(lost) == 1 and lost["change"].iloc[0] == "identifier"
    stored = store.read(feeds.RESULT_TABLE)
    assert len(stored) == 60 and {matcher.version, newer.version} == set(stored["matcher_version"])
    told_again = store.read(feeds.CHANGE_TABLE, filter={"run_id": "three"})
    assert len(told_again) == len(told) and told_again["why"].notna().all()


def test_a_shorter_file_loses_its_rows_everywhere(landed: tuple[DeltaStore, Path], matcher: Matcher) -> None:
    store, landing = landed
    file = "crm.part0.csv"

    def through(run: str) -> pd.DataFrame:
        feeds.land_feeds(store, landing, [file])
        feeds.match_feeds(store, matcher, [file], run_id=run)
        return feeds.publish(store, [file], run_id=run).flips

    through("one")
    lines = (landing / file).read_text().splitlines(keepends=True)
    (landing / file).write_text("".join(lines[:5]))
    told = through("two")
    assert len(store.read(feeds.RESULT_TABLE)) == 4 and set(told["change"]) == {"gone"} and len(told) == 6


def test_a_record_that_moves_to_another_file_is_there_once(
    landed: tuple[DeltaStore, Path], matcher: Matcher, reference: pd.DataFrame
) -> None:
    store, landing = landed
    shutil.copy(landing / "crm.part1.csv", landing / "crm.moved.csv")
    files = ["crm.part1.csv", "crm.moved.csv"]
    for run, wanted in (("one", files[:1]), ("two", files)):
        feeds.land_feeds(store, landing, wanted)
        feeds.match_feeds(store, matcher, wanted, run_id=run)
        feeds.publish(store, wanted, run_id=run)
    stored = store.read(feeds.RESULT_TABLE)
    assert len(stored) == 10 and set(stored[feeds.FILE]) == {"crm.moved.csv"}
    assert not store.read(feeds.CHANGE_TABLE).query("change == 'gone'").size


def test_small_files_share_a_write(landed: tuple[DeltaStore, Path], matcher: Matcher) -> None:
    store, landing = landed
    files = [f"crm.part{n}.csv" for n in range(6)]
    feeds.land_feeds(store, landing, files)
    assert store.version(feeds.SOURCE_TABLE) <= 1
    assert [len(group) for group, _ in feeds.groups(store, files, size=25)] == [3, 3]
