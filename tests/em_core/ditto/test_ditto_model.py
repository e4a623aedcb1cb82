from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto.base_model import PACKAGED_MODEL, resolve_base_model
from em_core.ditto.folder import MANIFEST, read_manifest, staged_folder
from em_core.ditto.model import PairClassifier, load_base_model
from em_core.ditto.predict import DittoModel
from em_core.ditto.tokens import PairTokeniser
from em_core.errors import UserError


def test_padding_and_neighbours_do_not_change_a_logit(tiny_base: Path) -> None:
    for pooling in ("mean", "cls"):
        classifier, tokenizer = load_base_model(str(tiny_base), pooling)
        classifier.eval()
        tokeniser = PairTokeniser(tokenizer, 48, classifier.token_types)
        texts = ["acme bank", "acme bank of the very long and winding name in the north", "beacon"]
        pairs = tokeniser.encode(texts, texts[::-1])
        with torch.inference_mode():
            together = classifier(**tokeniser.batch(pairs, np.arange(3)))
            alone = [classifier(**tokeniser.batch(pairs, np.array([i]))) for i in range(3)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_token_types_reach_the_encoder_only_where_it_has_them(tiny_base: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    bert, tokenizer = load_base_model(str(tiny_base), "mean")
    assert bert.token_types
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    distilbert = PairClassifier(DistilBertModel(config), "mean").eval()
    assert not distilbert.token_types
    tokeniser = PairTokeniser(tokenizer, 32, distilbert.token_types)
    batch = tokeniser.batch(tokeniser.encode(["bank"], ["acme"]), np.array([0]))
    assert distilbert(**batch).shape == (1,)


def test_swapping_the_sides_changes_the_input_of_a_bert(tiny_base: Path) -> None:
    classifier, tokenizer = load_base_model(str(tiny_base), "mean")
    classifier.eval()
    tokeniser = PairTokeniser(tokenizer, 32, True)
    pairs = tokeniser.encode(["acme bank"], ["beacon"])
    with torch.inference_mode():
        one = classifier(**tokeniser.batch(pairs, np.array([0])))
        other = classifier(**tokeniser.batch(pairs.swapped(), np.array([0])))
    assert abs(one - other).item() > 1e-6


def test_the_upper_layers_can_be_left_away(tiny_base: Path) -> None:
    whole, _ = load_base_model(str(tiny_base), "mean")
    short, _ = load_base_model(str(tiny_base), "mean", layers=1)
    assert len(whole.encoder.encoder.layer) == 2
    assert len(short.encoder.encoder.layer) == short.encoder.config.num_hidden_layers == 1
    lowest = "encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(short.encoder.get_parameter(lowest), whole.encoder.get_parameter(lowest))
    with pytest.raises(UserError, match=r"tiny: 3 layers are wanted, it has 2$"):
        load_base_model(str(tiny_base), "mean", layers=3)


def test_base_models_that_are_not_there(tmp_path: Path, tiny_base: Path) -> None:
    assert resolve_base_model(str(tiny_base)) == tiny_base
    with pytest.raises(UserError, match=r"no config\.json"):
        resolve_base_model(str(tmp_path))
    with pytest.raises(UserError, match=PACKAGED_MODEL):
        resolve_base_model(str(tmp_path / "nothing" / "here"))
    shutil.copy(tiny_base / "config.json", tmp_path)
    with pytest.raises(UserError, match="no encoder can be loaded"):
        load_base_model(str(tmp_path), "mean")


def test_a_saved_model_is_complete_and_describes_itself(trained_folder: Path) -> None:
    manifest = read_manifest(trained_folder)
    assert {"model.safetensors", "config.json", "tokenizer.json", "metrics.json"} <= set(manifest.files)
    assert manifest.attributes == ("name", "city")
    assert manifest.max_length == 48
    assert len(manifest.data["train"]) == len(manifest.digest) == 64
    assert manifest.libraries["torch"] == torch.__version__
    assert json.loads((trained_folder / "metrics.json").read_text()) == manifest.metrics
    assert 0 < manifest.threshold < 1


@pytest.mark.parametrize("lost", [MANIFEST, "model.safetensors", "tokenizer.json", "metrics.json"])
def test_a_half_written_folder_is_refused(trained_folder: Path, tmp_path: Path, lost: str) -> None:
    copy = shutil.copytree(trained_folder, tmp_path / "copy")
    (copy / lost).unlink()
    with pytest.raises(UserError, match=lost):
        DittoModel.load(copy)


def test_cut_weights_and_foreign_manifests_are_refused(trained_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained_folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        DittoModel.load(copy)
    (copy / MANIFEST).write_text('{"format": 99}')
    with pytest.raises(UserError, match=MANIFEST):
        DittoModel.load(copy)
    with pytest.raises(UserError, match="no such model folder"):
        DittoModel.load(tmp_path / "nothing")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with pytest.raises(RuntimeError, match="killed"), staged_folder(target) as new:
        (new / "half").write_text("x")
        raise RuntimeError("killed")
    assert list(target.parent.iterdir()) == []
    for content in ("old", "new"):
        with staged_folder(target) as new:
            (new / MANIFEST).write_text(content)
    assert (target / MANIFEST).read_text() == "new"
    with pytest.raises(RuntimeError), staged_folder(target) as new:
        raise RuntimeError
    assert (target / MANIFEST).read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_only_a_model_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for target, says in (
        ("precious", "is not replaced"),
        ("file", "not a folder"),
        ("file/model", "cannot be written"),
    ):
        with pytest.raises(UserError, match=says), staged_folder(tmp_path / target):
            pytest.fail("the block must not run")
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "x"


def test_the_packaged_encoder_trains_scores_and_reloads(
    tmp_path: Path, make_pairs: Callable[..., pd.DataFrame], arguments: Callable[..., list[str]]
) -> None:
    from em_core.ditto.entry_point import main

    make_pairs(80).to_csv(tmp_path / "a.csv", index=False)
    given = arguments(tmp_path / "a.csv", tmp_path / "model", Path(PACKAGED_MODEL))
    given[given.index("--learning-rate") + 1] = "3e-4"
    assert main([*given, "--epochs", "2", "--batch-size", "8", "--layers", "3", "--frozen-embeddings"]) == 0
    unseen = make_pairs(40, seed=1)
    scores = DittoModel.load(tmp_path / "model").predict(unseen["left_entity"], unseen["right_entity"])
    assert scores[unseen["label"] == 1].mean() > scores[unseen["label"] == 0].mean() + 0.2
