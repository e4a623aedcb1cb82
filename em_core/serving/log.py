"""Logging a matcher folder as one MLflow model."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_core.errors import UserError
from em_core.retrieval.folder import MANIFEST

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

_CODE = Path(__file__).with_name("model.py")
_PACKAGE = Path(__file__).parents[1]
# What opening and asking a matcher imports; Ditto's and a transformer encoder's only where they are part of it.
_CORE = (
    "mlflow-skinny", "anyascii", "deltalake", "faiss-cpu", "numpy", "pandas", "pandera", "pyarrow", "publicsuffixlist", "pydantic",
    "pydantic-settings", "python-stdnum", "pyyaml", "rapidfuzz", "scikit-learn", "scipy", "skops", "sparse-dot-topn", "tqdm",
)  # fmt: skip
_TORCH = ("torch", "transformers", "tokenizers", "safetensors")


def requirements(folder: Path) -> list[str]:
    """The packages that a matcher folder needs, as they are installed here. Raises `UserError` if the folder is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder}: there is no matcher") from None
    encoder = str(manifest["settings"]["retrieval"]["encoder"] or "static:")
    names = [*_CORE, *(_TORCH if manifest["ditto"] or not encoder.startswith(("static:", "databricks:")) else ())]
    if manifest["ditto"] and any((folder / "ditto").rglob("*.xml")):
        names.append("openvino")
    if encoder.startswith("databricks:"):
        names.append("databricks-sdk")
    return [f"{name}=={_installed(name)}" for name in names]


def _installed(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        if name == "mlflow-skinny":
            return version("mlflow")
        raise UserError(f"{name} is not installed here; the matcher could not be opened where it is served") from None


def log_matcher(folder: Path, *, registered_name: str | None = None, name: str = "matcher") -> ModelInfo:
    """Log a matcher folder as an MLflow model into the active run (or a new one); `registered_name` also registers it.

    The package travels inside the model, so that no wheel has to be reachable where it is served.
    """
    import mlflow

    return mlflow.pyfunc.log_model(name=name, registered_model_name=registered_name, **_parts(folder))


def save_matcher(folder: Path, target: Path) -> None:
    """Write a matcher folder as an MLflow model into the new folder `target`; see `log_matcher`."""
    import mlflow

    mlflow.pyfunc.save_model(path=str(target), **_parts(folder))


def matcher_inside(model: Path) -> Path:
    """The matcher folder inside a folder that holds an MLflow model; the folder itself if it holds none."""
    from mlflow.models import Model

    if not (model / "MLmodel").is_file():
        return model
    artifacts = Model.load(str(model)).flavors["python_function"]["artifacts"]
    return model / artifacts["matcher"]["path"]


def _parts(folder: Path) -> dict[str, Any]:
    from em_core.serving.payload import example, signature

    needed = requirements(folder)
    return {
        "python_model": str(_CODE),
        "artifacts": {"matcher": str(folder)},
        "code_paths": [str(_PACKAGE)],
        "signature": signature(),
        "input_example": example(),
        "pip_requirements": needed,
        "metadata": {"matcher_version": json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["matcher_version"]},
    }
