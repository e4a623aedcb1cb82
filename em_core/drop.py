"""The drop folder: where feeds land, on a disk or on a Unity Catalog volume that is not mounted here."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from em_core.errors import UserError
from em_core.files import MAPPING_SUFFIX, fingerprint_texts, is_feed

if TYPE_CHECKING:
    from databricks.sdk.service.files import FilesAPI

QUARANTINE = "quarantine"
_REASON = ".reason.txt"
_ABSENT = "the file is not there"


def _state(size: int | None, time: int | None) -> str:
    return fingerprint_texts([f"{size}-{time}"])[:10]


class DropFolder(ABC):
    """Files that are feeds, each with its mapping file `<name>.mapping.yaml` beside it if it needs one."""

    @abstractmethod
    def files(self) -> Iterator[tuple[str, str]]:
        """(name, state) of each feed, by name; the state changes with size and time. Raises OSError if the folder cannot be asked."""

    @abstractmethod
    def here(self, names: Sequence[str]) -> AbstractContextManager[Path]:
        """A folder on this machine that holds these feeds and their mapping files, for the length of a `with` block."""

    @abstractmethod
    def take_away(self, name: str, reason: str) -> str:
        """Move a feed to the folder `quarantine` with the reason beside it; where it is now, or that it was not there."""


class LocalDrop(DropFolder):
    """A folder of this machine, or one that is mounted here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> Iterator[tuple[str, str]]:
        """See `DropFolder.files`."""
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else []:
            if is_feed(path.name) and path.is_file():
                stat = path.stat()
                yield path.name, _state(stat.st_size, stat.st_mtime_ns)

    @contextmanager
    def here(self, names: Sequence[str]) -> Iterator[Path]:
        """See `DropFolder.here`."""
        yield self.folder

    def take_away(self, name: str, reason: str) -> str:
        """See `DropFolder.take_away`."""
        path, aside = self.folder / name, self.folder / QUARANTINE
        if not path.exists():
            return _ABSENT
        aside.mkdir(exist_ok=True)
        path.replace(aside / name)
        (aside / f"{name}{_REASON}").write_text(f"{reason}\n", encoding="utf-8")
        return str(aside / name)


class VolumeDrop(DropFolder):
    """A folder on a Unity Catalog volume, by the Files API. Host and credentials come from the SDK's own places."""

    def __init__(self, folder: str) -> None:
        self.folder = folder.rstrip("/")
        self._opened: FilesAPI | None = None

    @property
    def _api(self) -> FilesAPI:
        if self._opened is None:
            try:
                from databricks.sdk import WorkspaceClient

                self._opened = WorkspaceClient().files
            except ImportError:
                raise UserError(f"{self.folder}: install entity-matching[databricks] to read a volume") from None
            except ValueError as error:
                raise UserError(f"{self.folder}: no access to a Databricks workspace: {error}") from None
        return self._opened

    def files(self) -> Iterator[tuple[str, str]]:
        """See `DropFolder.files`."""
        entries = self._api.list_directory_contents(self.folder)
        for entry in sorted(entries, key=lambda found: found.name or ""):
            if entry.name and not entry.is_directory and is_feed(entry.name):
                yield entry.name, _state(entry.file_size, entry.last_modified)

    @contextmanager
    def here(self, names: Sequence[str]) -> Iterator[Path]:
        """See `DropFolder.here`."""
        there = {entry.name for entry in self._api.list_directory_contents(self.folder) if not entry.is_directory}
        with tempfile.TemporaryDirectory(prefix="feeds-") as scratch:
            for name in _with_mappings(names):
                if name in there:
                    with (Path(scratch) / name).open("wb") as out:
                        shutil.copyfileobj(self._read(name), out)
            yield Path(scratch)

    def take_away(self, name: str, reason: str) -> str:
        """See `DropFolder.take_away`."""
        from databricks.sdk.errors import NotFound

        aside = f"{self.folder}/{QUARANTINE}"
        try:
            content = self._read(name)
        except NotFound:
            return _ABSENT
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(content, kept)
            kept.seek(0)
            self._api.create_directory(aside)
            self._api.upload(f"{aside}/{name}", kept, overwrite=True)
        self._api.upload(f"{aside}/{name}{_REASON}", BytesIO(f"{reason}\n".encode()), overwrite=True)
        self._api.delete(f"{self.folder}/{name}")
        return f"{aside}/{name}"

    def _read(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", self._api.download(f"{self.folder}/{name}").contents)


def _with_mappings(names: Iterable[str]) -> Iterator[str]:
    """Feeds and their mapping files, see `em_core.feeds.read_feed`."""
    for name in names:
        yield name
        yield f"{name.split('.')[0]}{MAPPING_SUFFIX}"


def drop_folder(place: str) -> DropFolder:
    """The drop folder at a path; a volume that is mounted here (on a cluster) is a folder like any other."""
    path = Path(place).expanduser()
    return VolumeDrop(place) if place.startswith("/Volumes/") and not path.is_dir() else LocalDrop(path.resolve())
