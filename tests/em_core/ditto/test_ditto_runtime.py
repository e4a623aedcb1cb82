"""Runtimes beside torch: same scores, chosen by measurement, and never a reason not to score."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto import export, runtime
from em_core.ditto.export import export_runtimes
from em_core.ditto.folder import load_folder
from em_core.ditto.predict import DittoModel
from em_core.ditto.runtime import CHOICE, FOLDER, Measured, OpenVinoRuntime, RuntimeChoice, TorchRuntime, open_runtime
from em_core.ditto.scoring import score_batches
from em_core.ditto.tokens import PairTokeniser

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (extra: fast)"
)
needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="NNCF is not installed (extra: fast)")


@pytest.fixture(scope="module")
def pairs(make_pairs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_pairs(150, seed=9)


@pytest.fixture(scope="module")
def exported(
    trained_folder: Path, pairs: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RuntimeChoice]:
    """A model folder whose chosen runtime is OpenVINO in single precision, and the report of the measurement."""
    folder = shutil.copytree(trained_folder, tmp_path_factory.mktemp("exported") / "ditto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ROUNDS", 1)
        patch.setattr(export, "_choose", lambda measured, tolerance: "openvino-fp32")
        choice = export_runtimes(folder, pairs[:90], pairs[90:])
    return folder, choice


def measured(name: str, speed: float, change: float = 0.0, f1: float = 0.9) -> Measured:
    return Measured(runtime=name, pairs_per_second=speed, mean_change=change, max_change=change, flips=0, f1=f1)


def test_the_fastest_that_loses_nothing_is_chosen() -> None:
    plain = measured("torch-fp32", 100)
    good = measured("openvino-fp32", 150, 0.0001)
    off = measured("openvino-int8", 300, 0.006)
    worse = measured("openvino-bf16", 200, 0.001, f1=0.89)
    assert export._choose([plain, good, off, worse], 0.005) == "openvino-fp32"
    assert export._choose([plain, good, off, worse], 0.01) == "openvino-int8"
    assert export._choose([plain, measured("openvino-fp32", 90)], 0.005) == "torch-fp32"
    assert export._choose([plain], 0.0) == "torch-fp32"


@needs_openvino
def test_an_exported_network_scores_as_torch_does(
    exported: tuple[Path, RuntimeChoice], trained_folder: Path, pairs: pd.DataFrame
) -> None:
    fast, plain = DittoModel.load(exported[0]), DittoModel.load(trained_folder)
    assert isinstance(fast.encoder.runtime, OpenVinoRuntime)
    assert isinstance(plain.encoder.runtime, TorchRuntime)
    left = [*pairs["left_entity"], "", "acme"]  # of every length, a batch of one among them
    right = [*pairs["right_entity"], "beacon", "bank " * 60]
    np.testing.assert_allclose(fast.predict(left, right), plain.predict(left, right), atol=1e-5)
    assert fast.predict([], []).shape == (0,)
    twice = fast.predict(left * 2, right * 2)
    np.testing.assert_array_equal(twice[: len(left)], twice[len(left) :])


@needs_openvino
def test_the_report_says_what_was_measured(exported: tuple[Path, RuntimeChoice], pairs: pd.DataFrame) -> None:
    folder, choice = exported
    written = json.loads((folder / FOLDER / CHOICE).read_text())
    assert written == json.loads(choice.model_dump_json())
    assert choice.measured[0].runtime == "torch-fp32"
    assert choice.measured[0].mean_change == 0
    assert all(m.pairs_per_second > 0 for m in choice.measured)
    assert choice.pairs == 60
    assert set(choice.files) == {"fp32.xml", "fp32.bin"}
    assert {file.name for file in (folder / FOLDER).iterdir()} == {CHOICE, *choice.files}


@needs_openvino
@needs_nncf
def test_eight_bits_score_nearly_as_torch_does(trained_folder: Path, tmp_path: Path, pairs: pd.DataFrame) -> None:
    classifier, tokenizer, manifest = load_folder(trained_folder)
    tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
    encoded = tokeniser.encode(pairs["left_entity"], pairs["right_entity"])
    watching = logging.NullHandler()  # an application's own, whose level is not ours to set
    logging.getLogger("nncf").addHandler(watching)
    names = export.export_networks(classifier, tokeniser, encoded, tmp_path)
    logging.getLogger("nncf").removeHandler(watching)
    assert watching.level == logging.NOTSET
    built = runtime.build_runtime("openvino-int8", tmp_path, classifier)
    assert "openvino-int8" in names
    plain = score_batches(TorchRuntime(classifier), tokeniser, encoded)
    coarse = score_batches(built, tokeniser, encoded)
    assert np.corrcoef(plain, coarse)[0, 1] > 0.95
    assert np.abs(plain - coarse).max() > 0


def test_without_openvino_torch_is_measured_alone(
    trained_folder: Path, tmp_path: Path, pairs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    folder = shutil.copytree(trained_folder, tmp_path / "ditto")
    choice = export_runtimes(folder, pairs, pairs)
    assert choice.chosen.startswith("torch")
    assert choice.files == {}
    assert [file.name for file in (folder / FOLDER).iterdir()] == [CHOICE]
    assert isinstance(DittoModel.load(folder).encoder.runtime, TorchRuntime)


@needs_openvino
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("no library", "OpenVINO is not installed"),
        ("no file", "fp32.bin is missing"),
        ("cut file", "fp32.xml is missing or not"),
        ("broken file", "instead of openvino-fp32"),
        ("broken choice", "runtime.json is damaged"),
        ("other weights", "exported from other weights"),
        ("other processor", "this one has"),
    ],
)
def test_torch_takes_over_and_says_why(
    exported: tuple[Path, RuntimeChoice],
    tmp_path: Path,
    damage: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = shutil.copytree(exported[0], tmp_path / "ditto")
    inside = folder / FOLDER
    choice = exported[1]
    if damage == "no library":
        monkeypatch.setitem(sys.modules, "openvino", None)
    elif damage == "no file":
        (inside / "fp32.bin").unlink()
    elif damage == "cut file":
        (inside / "fp32.xml").write_bytes(b"<?xml")
    elif damage == "broken file":
        (inside / "fp32.xml").write_bytes(b"x" * choice.files["fp32.xml"])
    elif damage == "broken choice":
        (inside / CHOICE).write_text('{"format": 99}')
    else:
        other = {"weights": "0"} if damage == "other weights" else {"chosen": "openvino-int8", "cpu": ("abacus",)}
        (inside / CHOICE).write_text(choice.model_copy(update=other).model_dump_json())
    with caplog.at_level(logging.WARNING):
        model = DittoModel.load(folder)
    assert isinstance(model.encoder.runtime, TorchRuntime)
    assert len(caplog.messages) == 1
    assert says in caplog.text
    assert "\n" not in caplog.messages[0]
    assert model.predict(["acme"], ["acme"]).shape == (1,)


@needs_openvino
def test_single_precision_runs_on_any_processor(
    exported: tuple[Path, RuntimeChoice], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(exported[0], tmp_path / "ditto")
    elsewhere = exported[1].model_copy(update={"cpu": ("abacus",)})
    (folder / FOLDER / CHOICE).write_text(elsewhere.model_dump_json())
    assert isinstance(DittoModel.load(folder).encoder.runtime, OpenVinoRuntime)
    assert not caplog.messages


@needs_openvino
def test_a_gpu_keeps_to_torch(exported: tuple[Path, RuntimeChoice]) -> None:
    classifier, _, manifest = load_folder(exported[0])
    opened = open_runtime(exported[0], manifest.digest, classifier.to(torch.device("meta")))
    assert isinstance(opened, TorchRuntime)


@needs_openvino
def test_openvino_does_not_report_its_use() -> None:
    runtime.import_openvino()
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
