"""The wheel: it ships what the source tree holds, and its script trains a model in a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(clean: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": "", "MLFLOW_TRACKING_URI": ""}
    command = [str(clean / "bin" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=clean, env=env)


def test_contents_equal_the_source_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry_points,) = [archive.read(n).decode() for n in archive.namelist() if n.endswith("entry_points.txt")]
    files = {
        p.relative_to(ROOT) for package in ("em_core", "em_assets") for p in (ROOT / package).rglob("*") if p.is_file()
    }
    assert shipped == {str(p) for p in files if "__pycache__" not in p.parts}
    assert "train_ditto = em_core.ditto.entry_point:main" in entry_points and "em = em_core.cli:main" in entry_points


def test_help_needs_no_torch_and_no_orchestrator(clean: Path) -> None:
    assert "--training-data" in run(clean, "train_ditto", "--help").stdout
    code = (
        "import sys, em_core.ditto.entry_point as e\ntry: e.main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
        "import importlib.util as u; assert not u.find_spec('dagster') and not u.find_spec('mlflow')"
    )
    done = run(clean, "python", "-c", code)
    assert done.returncode == 0, done.stderr


# The launcher's tests train by the installed wheel too, as a remote run.
@pytest.mark.slow
def test_one_epoch_through_the_installed_script(clean: Path, tiny_base: Path, pairs_file: Path, tmp_path: Path) -> None:
    done = run(clean, "train_ditto", "--training-data", str(pairs_file), "--output-path", str(tmp_path / "ditto"),
               "--epochs", "1", "--base-model", str(tiny_base), "--runtime", "torch")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads((tmp_path / "ditto" / "metrics.json").read_text())
    load = f"D.load({str(tmp_path / 'ditto')!r})"
    code = f"from em_core.ditto.predict import DittoModel as D; print({load}.predict(['COL name VAL a'], ['COL name VAL b']))"
    loaded = run(clean, "python", "-c", code)
    assert loaded.returncode == 0 and loaded.stdout.startswith("["), loaded.stderr
