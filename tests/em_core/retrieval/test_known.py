"""Vectors that a cluster made before: an index takes them for its own, and encodes only what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from em_core.errors import UserError
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.known import FACTS, KnownVectors, write_facts
from em_core.retrieval.transformer import TransformerEncoder
from em_core.steps import index as index_step
from em_core.steps import vectors as vectors_step
from em_core.storage import DeltaStore
from em_core.storage.names import REFERENCE_TABLE


def written(folder: Path, texts: list[str], vectors: list[list[float]], fingerprint: str = "f") -> Path:
    """What `em_embed_reference` leaves."""
    folder.mkdir()
    columns = {"text": pa.array(texts, pa.string()), "vector": pa.array(vectors, pa.list_(pa.float32()))}
    pq.write_table(pa.table(columns), folder / "part-0.parquet")
    write_facts(folder, "model", fingerprint)
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of a transformer was asked for."""
    counts, encode = [], TransformerEncoder.encode

    def counted(self: TransformerEncoder, texts: np.ndarray, progress: bool = False) -> np.ndarray:
        counts.append(len(texts))
        return encode(self, texts, progress)

    monkeypatch.setattr(TransformerEncoder, "encode", counted)
    return counts


def test_only_missing_names_are_encoded(
    tmp_path: Path, reference: pd.DataFrame, tiny_base: Path, encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    rows, settings = (
        reference.head(60).assign(aliases=[[] for _ in range(60)]),
        RetrievalSettings(encoder=str(tiny_base)),
    )
    whole = CandidateIndex.build(rows, settings)
    texts = whole.profile["search"].to_numpy(dtype=object)
    known = pd.Series(list(whole.vector.vectors().astype(float)), index=texts).iloc[:-3]
    known = known[~known.index.duplicated()]
    folder = written(tmp_path / "vectors", list(known.index), known.tolist(), str(whole.encoder_fingerprint))
    encoded.clear()
    again = CandidateIndex.build(rows, settings, known=KnownVectors.load(folder))
    np.testing.assert_array_equal(again.vector.vectors(), whole.vector.vectors())
    assert encoded == [3]

    # The step of the bundle: built from them, then changed with them.
    store = DeltaStore(tmp_path / "lake")
    config = tmp_path / "settings.yaml"
    config.write_text(f"retrieval: {{encoder: {tiny_base}}}\n")
    target = tmp_path / "index"
    arguments = [
        "--tables",
        str(store.root),
        "--output-path",
        str(target),
        "--config",
        str(config),
        "--vectors",
        str(folder),
    ]
    for count, how in ((52, "built anew"), (57, "changed")):
        store.replace(REFERENCE_TABLE, rows.head(count), key=["entity_id"])
        encoded.clear()
        assert index_step.main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["how"] == how and not sum(encoded)
    assert CandidateIndex.load(target).encoder_fingerprint == whole.encoder_fingerprint
    config.write_text("retrieval: {encoder: null}\n")
    with pytest.raises(SystemExit) as stop:
        index_step.main(arguments)
    assert stop.value.code == 2 and "name no encoder" in capsys.readouterr().err


def test_what_is_not_taken(tmp_path: Path, reference: pd.DataFrame, tiny_base: Path) -> None:
    foreign = KnownVectors.load(written(tmp_path / "other", ["a"], [[1.0, 0.0]]))
    with pytest.raises(UserError, match=r"were made by model \(f\)"):
        CandidateIndex.build(reference.head(5), RetrievalSettings(encoder=str(tiny_base)), known=foreign)
    for name, texts, vectors in (
        ("ragged", ["a", "b"], [[1.0], [1.0, 0.0]]),
        ("twice", ["a", "a"], [[1.0], [1.0]]),
        ("endless", ["a"], [[float("inf")]]),
        ("empty", [], []),
    ):
        with pytest.raises(UserError, match="one vector of finite numbers"):
            KnownVectors.load(written(tmp_path / name, texts, vectors))
    (tmp_path / "other" / FACTS).unlink()
    for folder in ("other", "absent"):
        with pytest.raises(UserError, match="not finished"):
            KnownVectors.load(tmp_path / folder)
    broken = written(tmp_path / "broken", ["a"], [[1.0]])
    (broken / "part-0.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match="no table of vectors"):
        KnownVectors.load(broken)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reference", "a;b", "--encoder", "x"], "is no table name"),
        (["--reference", "a.b", "--encoder", "static:x"], "needs no cluster"),
    ],
)
def test_the_step_refuses_before_spark_starts(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        vectors_step.main([*arguments, "--output-path", str(tmp_path / "out")])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and words in line and not (tmp_path / "out").exists()


def test_the_step_does_not_replace_a_folder_of_something_else(
    tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SystemExit) as stop:
        vectors_step.main(["--reference", "a.b", "--encoder", str(tiny_base), "--output-path", str(tmp_path)])
    assert stop.value.code == 2 and "no vectors of em_embed_reference" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
