"""The model folder: weights (safetensors), tokenizer, encoder config, and `ditto.json`, which says what they are.

Beside them `metrics.json` and the model card `README.md`, and what the entry point adds: `prepare.json`, `config.yaml`.
A folder appears complete or not at all, and what is there is checked against its manifest on loading.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from em_core.ditto.card import card
from em_core.ditto.manifest import Manifest
from em_core.errors import UserError

CARD = "README.md"
MANIFEST = "ditto.json"
METRICS = "metrics.json"
LIBRARIES = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")


def library_versions() -> dict[str, str]:
    """Versions that the scores depend on, Python's among them."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to write into; it takes the place of `target` only if the block ends without an error.

    Raises `UserError`, before any work is done, if `target` is a file, a folder of something else, or not writable.
    """
    target = target.absolute()
    if target.is_mount():
        raise UserError(f"{target}: a mount point cannot be replaced; give a folder inside it")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: exists and is not a folder")
    if target.is_dir() and not (target / MANIFEST).is_file() and any(target.iterdir()):
        raise UserError(f"{target}: holds files but no {MANIFEST}; a folder that is not a Ditto model is not replaced")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error
    with aside as room:
        new, old = Path(room) / "new", Path(room) / "old"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def save_folder(folder: Path, classifier: Any, tokenizer: Any, manifest: Manifest) -> Manifest:
    """Write a trained classifier into `folder`, which holds nothing but parts of this model; the manifest comes last.

    Returns the manifest with files and digest.
    """
    from safetensors.torch import save_model

    from em_core.ditto.model import WEIGHTS

    classifier.encoder.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_model(classifier.cpu(), str(folder / WEIGHTS))
    (folder / METRICS).write_text(json.dumps(manifest.metrics, indent=2) + "\n", encoding="utf-8")
    with (folder / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / CARD).write_text(card(manifest.model_copy(update={"digest": digest})), encoding="utf-8")
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = manifest.model_copy(update={"files": files, "digest": digest})
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a model folder, checked against the files beside it. Raises `UserError` if anything is amiss."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder")
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: no Ditto model, {MANIFEST} is missing")
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / MANIFEST}: damaged, or of another format") from error
    for name, size in manifest.files.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise UserError(f"{folder}: half-written model, {name} is missing or not {size} bytes long")
    return manifest


def load_folder(folder: Path) -> tuple[Any, Any, Manifest]:
    """(classifier, tokenizer, manifest) from a model folder, without network. Raises `UserError` as `read_manifest`."""
    from safetensors.torch import load_model
    from transformers import AutoConfig, AutoModel

    from em_core.ditto.model import WEIGHTS, PairClassifier, load_tokenizer

    manifest = read_manifest(folder)
    encoder = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    classifier = PairClassifier(encoder.float(), manifest.pooling)
    load_model(classifier, str(folder / WEIGHTS))
    return classifier.eval(), load_tokenizer(folder), manifest
