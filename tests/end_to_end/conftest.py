"""The built wheel and a clean environment that holds it."""

from __future__ import annotations

import site
import subprocess
import sys
from collections.abc import Callable
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


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def wheel(made_once: Once) -> Path:
    def make(out: Path) -> None:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, timeout=200)

    (made,) = made_once("dist", make).glob("*.whl")
    return made


@pytest.fixture(scope="session")
def clean(made_once: Once, wheel: Path) -> Path:
    """A new environment with the wheel alone; third-party packages are lent by links, orchestration left out."""

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        python = folder / "bin" / "python"
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, timeout=120
        )
        (target,) = (folder / "lib").glob("python*/site-packages")
        for lender in site.getsitepackages():
            for entry in Path(lender).iterdir():
                if _lent(entry) and not (target / entry.name).exists():
                    (target / entry.name).symlink_to(entry)

    return made_once("clean", make)
