"""A file that holds a run after its last whole epoch, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from em_core.errors import UserError
from em_core.storage.atomic import atomic_file, os_reason

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of one run in `folder`. `identity` says which: settings and digests of the data, as plain values."""

    folder: Path
    identity: Mapping[str, Any]

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file, in one step, by `state`: tensors and plain values in dicts and lists."""
        with atomic_file(self.folder / CHECKPOINT) as path:
            torch.save({"identity": self._identity(), "state": dict(state)}, path)

    def load(self) -> dict[str, Any] | None:
        """The saved state, None if there is none; the folder is made, so that a run finds out at once if it cannot be.

        Raises `UserError` then, and if the file is damaged or of a run with other settings or data, the first of which is
        named.
        """
        path = self.folder / CHECKPOINT
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: no folder for checkpoints ({os_reason(error)})") from error
        if not path.is_file():
            return None
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
            there, state = json.loads(held["identity"]), held["state"]
        except (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise UserError(f"{path}: damaged, or no checkpoint; remove it to begin anew") from error
        here = json.loads(self._identity())
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise UserError(
                    f"{path}: of another run, {name} is {there.get(name)} there and {here.get(name)} here; "
                    "remove it to begin anew, or name another folder"
                )
        return state

    def remove(self) -> None:
        """Delete the file, and the folder if nothing else is in it."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _identity(self) -> str:
        return json.dumps(dict(self.identity), sort_keys=True)
