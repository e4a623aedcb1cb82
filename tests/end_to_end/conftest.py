"""The built wheel and a clean environment that holds it."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The wheel declares none of these for training (of Dagster, Pipes alone), so they stay out of reach.
_LEFT_OUT = ("dagster", "databricks", "mlflow", "pyspark", "pytest")
_PIPES = ("dagster_pipes", "dagster-pipes")


def _lent(entry: Path) -> bool:
    """Whether the clean environment may use an entry of the test environment's site-packages."""
    name = entry.name.lower()
    if entry.suffix == ".pth" or (name.startswith(_LEFT_OUT) and not name.startswith(_PIPES)):
        return False
    own = name.startswith(("_", "entity_matching", "pip", "setuptools")) and name != "_cffi_backend"
    return not own or name.endswith(".so")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A new environment with the wheel alone; third-party packages are lent by a path file, orchestration left out."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=120)
    (target,) = (folder / "lib").glob("python*/site-packages")
    for lender in site.getsitepackages():
        for entry in Path(lender).iterdir():
            if _lent(entry) and not (target / entry.name).exists():
                (target / entry.name).symlink_to(entry)
    return folder
