"""Write aside, then rename: a reader sees the old content or the new, never half of either."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from em_core.errors import UserError


def os_reason(error: OSError) -> str:
    """The operating system's own words, lower case, without path and number."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def _sibling(path: Path, ending: str) -> Path:
    # Hidden, so that a watcher of the folder skips it; shortened, so that a long name stays within the limit for names.
    return path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex[:12]}.{ending}")


def _target(path: Path | str) -> Path:
    """The real place of `path` (through links) with its parent folder made."""
    try:
        target = Path(path).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot write {path}: {reason}") from None
    if not target.name:
        raise UserError(f"cannot write {path}: it names no file or folder")
    return target


def _sync(path: Path) -> None:
    """Force a file's or a folder's content to disk, so that a power cut cannot keep the rename and lose the bytes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it takes the place of `path` when the block ends without an exception.

    On any exception the sibling is removed and `path` stays as it was. Parent folders are made.
    Raises `UserError` if the place cannot be written.
    """
    target = _target(path)
    if target.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    temporary = _sibling(target, "tmp")
    try:
        temporary.touch()
    except OSError as error:
        raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    try:
        yield temporary
        try:
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
        except OSError as error:
            raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _recover(target: Path) -> None:
    """Mend what a kill between the two renames of `_swap` left: bring the old folder back, or clear it away."""
    for old in sorted(target.parent.glob(f".{_escape(target.name[:60])}.*.old")):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _refuse(target: Path, shown: Path | str, marker: str | None, names: set[str] | None) -> None:
    """Stop before an unrelated folder (a home, a project) would be replaced. `names` = the new content, once known."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"cannot write {shown}: it is a file, not a folder")
    present = {entry.name for entry in target.iterdir()}
    if not present or (marker is not None and marker in present):
        return
    if marker is not None:
        raise UserError(f"cannot write {shown}: the folder is not empty and holds no {marker}; name a new folder")
    if names is not None and not present <= names:
        raise UserError(
            f"cannot write {shown}: that would delete {sorted(present - names)[0]!r} in it; name a new folder"
        )


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path | str, *, marker: str | None = None) -> Iterator[Path]:
    """Yield an empty temporary sibling folder to fill; it takes the place of `path` when the block ends well.

    On any exception the sibling is removed and an existing `path` stays as it was. A folder cannot be exchanged in one
    step everywhere: the old one is moved aside, the new one moved in, the old one removed; after a kill in between, the
    next call brings the old one back.

    A folder that holds other things is never replaced. With `marker`, the name of a file that every such folder has
    (say `manifest.json`), that is checked before the block runs: use it where the block takes long. Without, an
    existing folder may hold only names that the new content has too, which is known only at the end.

    Raises `UserError` if the place cannot be written or holds other things.
    """
    target = _target(path)
    try:
        _recover(target)
        _refuse(target, path, marker, None)
        temporary = _sibling(target, "tmp")
        temporary.mkdir()
    except OSError as error:
        raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    try:
        yield temporary
        try:
            _refuse(target, path, marker, {entry.name for entry in temporary.iterdir()})
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            _swap(temporary, target)
            _sync(target.parent)
        except OSError as error:
            raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
