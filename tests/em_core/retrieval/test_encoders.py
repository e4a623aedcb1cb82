"""Encoders by configuration: unit rows, equal texts alike, a fingerprint that an index holds them to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.retrieval.encoders import check_encoder, make_encoder, open_encoder, save_encoder
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.static import StaticEncoder
from em_core.retrieval.transformer import TransformerEncoder
from em_core.schema import prepare_source
from em_core.text.name_table import search_texts
from em_core.text.profile import profile

TEXTS = np.array(["acme bank", "alpha energy holding", "", "acme bank", "zeta xqzzkj", "bank acme"], dtype=object)


@pytest.fixture(scope="module")
def names(reference: pd.DataFrame) -> np.ndarray:
    return search_texts(reference["name"])


@pytest.fixture(scope="module")
def static(tiny_base: Path, names: np.ndarray) -> StaticEncoder:
    return StaticEncoder.distil(TransformerEncoder(str(tiny_base)), names, dimensions=16, names=400)


@pytest.fixture(params=["static", "transformer"])
def encoder(request: pytest.FixtureRequest, static: StaticEncoder, tiny_base: Path) -> object:
    return static if request.param == "static" else TransformerEncoder(str(tiny_base))


def test_rows_are_unit_float32_and_equal_for_equal_texts(encoder: TransformerEncoder | StaticEncoder) -> None:
    rows = encoder.encode(TEXTS)
    assert rows.dtype == np.float32 and len(rows) == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 1, 3, 4, 5]], axis=1), 1, atol=1e-5)
    assert (rows[0] == rows[3]).all()
    # What stands beside a text moves its row by rounding at most.
    np.testing.assert_allclose(encoder.encode(TEXTS[1:2])[0], rows[1], atol=1e-5)
    assert len(encoder.encode([])) == 0


def test_a_static_encoder_comes_near_to_its_teacher(static: StaticEncoder, tiny_base: Path, names: np.ndarray) -> None:
    held_out = names[-300:]
    teacher = TransformerEncoder(str(tiny_base)).encode(held_out)
    teacher -= teacher.mean(axis=0)
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    rows = static.encode(held_out)
    upper = np.triu_indices(len(held_out), 1)
    agreement = np.corrcoef((rows @ rows.T)[upper], (teacher @ teacher.T)[upper])[0, 1]
    assert agreement > 0.5


def test_a_static_encoder_hears_rare_words_most(static: StaticEncoder) -> None:
    rows = static.encode(["gmbh", "quartz", "quartz gmbh"])
    assert rows[1] @ rows[2] > rows[0] @ rows[2]


def test_distilling_again_gives_the_same(static: StaticEncoder, tiny_base: Path, names: np.ndarray) -> None:
    again = StaticEncoder.distil(TransformerEncoder(str(tiny_base)), names, dimensions=16, names=400)
    assert again.fingerprint == static.fingerprint


def test_a_reference_of_few_names_can_be_distilled_from(tiny_base: Path) -> None:
    few = StaticEncoder.distil(TransformerEncoder(str(tiny_base)), ["acme bank", "alpha energy"])
    assert few.encode(["acme"]).shape == (1, 2)
    assert np.isfinite(few.encode(["acme", "never heard of", ""])).all()


def test_a_stored_static_encoder_says_the_same_without_torch(static: StaticEncoder, tmp_path: Path) -> None:
    save_encoder(static, tmp_path / "encoder")
    loaded = open_encoder("static:somewhere", tmp_path / "encoder")
    assert loaded.fingerprint == static.fingerprint
    np.testing.assert_array_equal(loaded.encode(TEXTS), static.encode(TEXTS))
    code = (
        "import sys; from pathlib import Path; from em_core.retrieval.encoders import open_encoder\n"
        f"open_encoder('static:m', Path({str(tmp_path / 'encoder')!r})).encode(['acme'])\n"
        "assert not {'torch', 'transformers', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fingerprint_of_a_transformer_is_that_of_its_weights(tiny_base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "copy"))
    (copy / "README.md").write_text("a card")
    wanted = TransformerEncoder(str(tiny_base)).fingerprint
    assert TransformerEncoder(str(copy)).fingerprint == wanted
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    other = TransformerEncoder(str(copy))
    with pytest.raises(UserError, match="built with"):
        check_encoder(other, str(copy), wanted)


@pytest.mark.parametrize(
    "layout", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}]
)
def test_a_folder_may_ask_for_its_first_token(tiny_base: Path, tmp_path: Path, layout: dict) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "copy"))
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(layout))
    first, mean = TransformerEncoder(str(copy)), TransformerEncoder(str(tiny_base))
    assert first.pooling == "cls" and mean.pooling == "mean"
    assert first.fingerprint != mean.fingerprint
    assert not np.allclose(first.encode(["acme bank"]), mean.encode(["acme bank"]))


def test_what_cannot_be_pooled_or_found_is_said(tiny_base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "copy"))
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(UserError, match="neither the mean"):
        TransformerEncoder(str(copy)).encode(["acme"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        make_encoder(f"static:{tmp_path / 'empty'}", ["acme"])
    for name in ("static:", "databricks:"):
        with pytest.raises(UserError, match="a name must follow"):
            make_encoder(name, ["acme"])


@pytest.mark.parametrize("proposed", [0, 20, None])
def test_an_index_keeps_its_static_encoder(
    tiny_base: Path, reference: pd.DataFrame, tmp_path: Path, proposed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a number vectors propose nothing where their exact search is dear.
    monkeypatch.setattr("em_core.retrieval.index.cheap", lambda rows, dimensions: False)
    settings = RetrievalSettings(encoder=f"static:{tiny_base}", keys=(), vector_candidates=proposed)
    index = CandidateIndex.build(reference.head(300), settings)
    index.save(tmp_path / "index")
    asked = [*reference["name"].head(40), "unheard of"]
    queries = profile(prepare_source(pd.DataFrame({"source_id": range(len(asked)), "name": asked}), system="t"))
    found = index.search(queries)
    loaded = CandidateIndex.load(tmp_path / "index")
    pd.testing.assert_frame_equal(loaded.search(queries), found)
    assert found["vector"].notna().all()
    lexical = CandidateIndex.build(reference.head(300), RetrievalSettings(encoder=None, keys=())).search(queries)
    pairs, lexical_pairs = (set(zip(f["query"], f["entity"], strict=True)) for f in (found, lexical))
    assert (pairs <= lexical_pairs) == (not proposed)
    loaded.encoder_fingerprint = "another"
    loaded._checked = False
    with pytest.raises(UserError, match="built with another"):
        loaded.search(queries)
