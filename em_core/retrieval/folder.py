"""Versioned folders: a manifest that lists every file, and checks that cost little on opening."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from em_core.errors import UserError

MANIFEST = "manifest.json"
# Larger files of a folder that says their size are read only where they are used.
_LARGE = 1 << 20


def digest(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Manifest entries `files` (name -> digest) and `sizes` (name -> bytes) of all files below `folder`."""
    paths = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {
        "files": {name: digest(path) for name, path in paths.items()},
        "sizes": {name: path.stat().st_size for name, path in paths.items()},
    }


def check_manifest(folder: Path, expected_format: int, whole: bool = True) -> dict[str, Any]:
    """The manifest of a versioned folder, after every file that it lists was found unchanged.

    `whole` False: large files are judged by their size alone, so that a folder of any size opens at once.
    Raises `UserError` if the folder is absent, half-written, changed or of another format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a complete folder of this project ({MANIFEST} is missing); build it again")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not readable as JSON (line {error.lineno}); build the folder again") from None
    if manifest.get("format") != expected_format:
        raise UserError(
            f"{folder}: format {manifest.get('format')!r} is not the {expected_format} that this version reads; build it again"
        )
    for name, expected in manifest["files"].items():
        file = Path(folder) / name
        size = None if whole else manifest.get("sizes", {}).get(name)
        by_size = size is not None and size > _LARGE
        if not file.is_file() or (file.stat().st_size != size if by_size else digest(file) != expected):
            raise UserError(f"{folder}: {name} is missing or changed; build the folder again")
    return manifest
