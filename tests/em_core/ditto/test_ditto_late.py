"""A model that is opened when the first pair asks for it scores as one that was opened before."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from em_core.ditto import late
from em_core.ditto.late import LateDitto
from em_core.ditto.predict import DittoModel
from em_core.errors import UserError

LEFT, RIGHT = ["COL name VAL acme bank", "COL name VAL onyx"], ["COL name VAL ACME BANK LTD", "COL name VAL pearl"]


def test_it_opens_at_the_first_pair(trained_folder: Path) -> None:
    ditto = LateDitto(trained_folder)
    assert ditto.attributes == ("name", "city") and "model" not in vars(ditto)
    np.testing.assert_array_equal(
        ditto.predict(LEFT, RIGHT, part="encoder"), DittoModel.load(trained_folder).predict(LEFT, RIGHT)
    )
    assert ditto.open() is ditto.model and ditto.runtime.startswith("torch")


def test_a_damaged_folder_or_a_missing_library_is_told_before_the_first_pair(
    trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained_folder, broken)
    files = json.loads((broken / "ditto.json").read_text())["files"]
    (broken / next(name for name in files if name.endswith(".safetensors"))).write_bytes(b"half")
    with pytest.raises(UserError, match="half-written"):
        LateDitto(broken)
    monkeypatch.setattr(late, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    with pytest.raises(UserError, match=r"needs torch; install the extra entity-matching\[ditto\]"):
        LateDitto(trained_folder)
