"""Spark gives what the engine gives, record by record, whatever is among the records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core import spark as on_spark
from em_core.errors import UserError
from em_core.matcher import Matcher
from em_core.pairs.noise import perturb
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.known import KnownVectors
from em_core.retrieval.transformer import TransformerEncoder
from em_core.schema import RESULT, SOURCE, prepare_source
from em_core.storage.arrow import to_arrow

WHO_AND_WHEN = ["run_id", "matched_at"]
KEY = list(RESULT.key)


def feed(reference: pd.DataFrame, rows: int, seed: int = 3) -> pd.DataFrame:
    """Noisy copies of reference rows, some without a name, some strange."""
    noisy = perturb(reference.sample(rows, random_state=seed), seed).drop(columns="operators")
    noisy = noisy.assign(source_system="crm", source_id=[f"R{i}" for i in range(rows)])
    noisy.loc[noisy.index[:3], "name"] = [None, "???", "株式会社" * 40]
    return prepare_source(noisy.reset_index(drop=True))


def on_its_own(module: str, *arguments: object) -> None:
    """`tests.spark.<module>` in a process, and so a JVM, of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    # A short life is not worth the second compiler.
    env["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    command = [sys.executable, "-m", f"tests.spark.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=400, env=env, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module", params=[pytest.param("classic", marks=pytest.mark.slow), "connect"])
def ran(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    reference: pd.DataFrame,
    matcher_folder: Path,
    tiny_base: Path,
) -> SimpleNamespace:
    """What `tests.spark.job` wrote: one process and one kind of session each."""
    pytest.importorskip("pyspark")
    if request.param == "connect":
        pytest.importorskip("grpc")
    folder = tmp_path_factory.mktemp(request.param)
    source = feed(reference, 300)
    pq.write_table(to_arrow(source), folder / "source.parquet")
    master = reference.head(50).copy()
    master["aliases"] = [["Other Trading House"], ["First Alias", "Second Alias"], *master["aliases"].iloc[2:]]
    pq.write_table(to_arrow(master), folder / "reference.parquet")
    on_its_own(
        "job", "--mode", request.param, "--source", folder / "source.parquet", "--reference",
        folder / "reference.parquet", "--matcher", matcher_folder, "--encoder", tiny_base, "--out", folder,
    )  # fmt: skip
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    told = json.loads((folder / "told.json").read_text())
    tables |= {"source": source, "matcher": Matcher.load(matcher_folder), "folder": folder, "master": master}
    return SimpleNamespace(mode=request.param, told=told, **tables)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal row for row by key, whatever order partitions came in."""
    one, other = (t.drop(columns=WHO_AND_WHEN).sort_values(KEY, ignore_index=True) for t in (found, expected))
    for column in other.columns:
        left, right = one[column], other[column]
        if column in ("confidence", "margin"):
            np.testing.assert_array_equal(left.to_numpy(float), right.to_numpy(float), err_msg=column)
        else:
            assert left.where(left.notna(), None).tolist() == right.where(right.notna(), None).tolist(), column


def test_spark_equals_the_engine_row_for_row(ran: SimpleNamespace) -> None:
    assert ("connect" in ran.told["kind"]) == (ran.mode == "connect")
    same(ran.matched, ran.matcher.match(ran.source))
    assert set(ran.matched["run_id"]) == {"r1"}


def test_the_ad_hoc_step_fills_a_table_with_the_same(ran: SimpleNamespace) -> None:
    same(ran.table, ran.matcher.match(ran.source))
    assert set(ran.table["run_id"]) == {"r2"}


def test_the_engine_of_a_catalog_stages_rows_and_tells_faults_apart(ran: SimpleNamespace) -> None:
    assert ran.told["staged"] and ran.told["faults"] == ["MissingTableError", "RuntimeError"]


def test_missing_columns_count_as_missing_values(ran: SimpleNamespace) -> None:
    few = ran.source[ran.source["source_id"].isin(ran.few["source_id"])].reset_index(drop=True)
    blank = few.assign(**{c: None for c in SOURCE.columns if c not in (*KEY, "name")})
    same(ran.few, ran.matcher.match(blank))
    assert len(ran.few) == 20 and ran.told["refused"] == "source: there is no column 'name'"


def test_candidates_are_mined_as_the_engine_ranks_them(ran: SimpleNamespace) -> None:
    expected = ran.matcher.candidates(ran.source, 3)
    keys = ran.source["source_id"].iloc[expected["row"].to_numpy()].to_numpy()
    expected = expected.assign(source_id=keys).sort_values(["source_id", "place"], ignore_index=True)
    found = ran.candidates.sort_values(["source_id", "place"], ignore_index=True)
    assert found["entity_id"].tolist() == expected["entity_id"].tolist()
    np.testing.assert_array_equal(found["probability"], expected["probability"])


def test_an_index_of_vectors_from_spark_is_the_one_built_here(
    ran: SimpleNamespace, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RetrievalSettings(encoder=str(tiny_base))
    here = CandidateIndex.build(ran.master, settings)
    known = KnownVectors.load(ran.folder / "vectors")
    monkeypatch.setattr(TransformerEncoder, "encode", None)  # nothing is left to encode
    there = CandidateIndex.build(ran.master, settings, known=known)
    assert len(known.texts) == len(set(known.texts)) == len(there.vector) > 50
    np.testing.assert_allclose(there.vector.vectors(), here.vector.vectors(), atol=1e-3)
    assert there.encoder_fingerprint == here.encoder_fingerprint


def test_repeated_keys_are_found(ran: SimpleNamespace) -> None:
    assert len(ran.told["repeated"]) == 2 and ran.told["unique"] == []


class Poisoned:
    """A matcher that breaks on some records, or on everything."""

    def __init__(self, matcher: Matcher, poison: str) -> None:
        self.matcher, self.poison, self.calls = matcher, poison, 0
        self.engine, self.version, self.reference_version = matcher.engine, matcher.version, matcher.reference_version

    def match(self, frame: pd.DataFrame, run_id: str | None = None) -> pd.DataFrame:
        self.calls += 1
        if frame["source_id"].isin(["R5", "R17"]).any() or self.poison == "all":
            raise ValueError("this record breaks it\nand more")
        return self.matcher.match(frame, run_id=run_id)


def test_a_poisoned_record_costs_itself_alone(matcher: Matcher, reference: pd.DataFrame) -> None:
    source = feed(reference, 64)
    poisoned = Poisoned(matcher, "two")
    found = on_spark.match_safely(poisoned, source, "r1")  # type: ignore[arg-type]
    assert found["source_id"].tolist() == source["source_id"].tolist() and poisoned.calls < 40
    bad = found["source_id"].isin(["R5", "R17"])
    same(found[~bad], matcher.match(source)[~bad])
    assert (found[bad]["method"] == "BAD_INPUT").all() and (found[bad]["decision"] == "no_match").all()
    assert found[bad]["reason"].unique().tolist() == [
        "The record cannot be matched (ValueError: this record breaks it)."
    ]
    to_arrow(found, on_spark.RESULT_SCHEMA)


def test_a_broken_matcher_is_no_records_fault(matcher: Matcher, reference: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="breaks it"):
        on_spark.match_safely(Poisoned(matcher, "all"), feed(reference, 8), "r1")  # type: ignore[arg-type]


def test_a_mounted_matcher_is_copied_once(matcher_folder: Path, tmp_path: Path) -> None:
    near = on_spark._near(matcher_folder, tmp_path)
    assert near.name == Matcher.load(near).version
    before = (near / "manifest.json").stat().st_ino
    assert on_spark._near(matcher_folder, tmp_path) == near and (near / "manifest.json").stat().st_ino == before
    with pytest.raises(UserError, match="there is no matcher"):
        on_spark._near(tmp_path / "none", tmp_path)


@given(st.integers(0, 10**9), st.integers(1, 4000))
def test_partitions_are_neither_too_large_nor_too_small(records: int, cores: int) -> None:
    made = on_spark.partitions(records, cores)
    assert made >= 1 and records / made <= max(50_000, 500)
    assert made == 1 or records / made > 250
    if records >= 500 * 3 * cores:
        assert made >= 3 * cores


def test_merging_twice_changes_nothing(matcher: Matcher, reference: pd.DataFrame) -> None:
    duckdb = pytest.importorskip("duckdb")
    first = matcher.match(feed(reference, 40), run_id="one")
    later = first.assign(run_id="two", matched_at=first["matched_at"] + pd.Timedelta(days=1))
    later.loc[later.index[later["decision"] == "auto_match"][:2], ["decision", "matched_entity_id"]] = [
        "no_match",
        None,
    ]
    tables = {"one": to_arrow(first, on_spark.RESULT_SCHEMA), "two": to_arrow(later, on_spark.RESULT_SCHEMA)}
    written = on_spark.merge_statement("results", "news", ignore=("run_id", "matched_at", "evidence"))
    (statement,) = pytest.importorskip("sqlglot").transpile(written, read="databricks", write="duckdb")
    with duckdb.connect() as base:
        base.register("start", tables["one"].slice(0, 30))
        base.execute("CREATE TABLE results AS SELECT * FROM start")
        base.register("news", tables["one"])
        base.execute(statement)
        assert base.execute("SELECT count(*) FROM results WHERE run_id = 'one'").fetchall() == [(40,)]
        base.register("news", tables["two"])
        for _ in range(2):
            base.execute(statement)
            moved = base.execute("SELECT source_id FROM results WHERE run_id = 'two'").fetchall()
            assert len(moved) == 2 and base.execute("SELECT count(*) FROM results").fetchall() == [(40,)]


@pytest.mark.slow
def test_the_served_model_is_a_spark_function(tmp_path: Path, reference: pd.DataFrame, matcher_folder: Path) -> None:
    pytest.importorskip("pyspark")
    pytest.importorskip("mlflow")
    from em_core.serving.log import save_matcher

    source = feed(reference, 60).assign(aliases=None)
    source["aliases"] = source["aliases"].astype(object)
    pq.write_table(to_arrow(source.drop(columns="aliases")), tmp_path / "source.parquet")
    save_matcher(matcher_folder, tmp_path / "model")
    on_its_own(
        "udf",
        "--model",
        tmp_path / "model",
        "--source",
        tmp_path / "source.parquet",
        "--out",
        tmp_path / "found.parquet",
    )
    same(pd.read_parquet(tmp_path / "found.parquet"), Matcher.load(matcher_folder).match(source))
