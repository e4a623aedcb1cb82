"""A Ditto model that is opened when the first pair asks for it.

Torch and transformers take seconds to import, and a run in which no pair is open needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_core.ditto.folder import read_manifest
from em_core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from em_core.ditto.predict import DittoModel


class LateDitto:
    """What matching asks of `DittoModel`, of the model in `folder`.

    Raises `UserError` at once if the folder is half-written or the libraries that it needs are not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        absent = [name for name in ("torch", "transformers") if find_spec(name) is None]
        if absent:
            raise UserError(f"{folder}: needs {absent[0]}; install the extra entity-matching[ditto]")

    def open(self) -> DittoModel:
        """The model, opened now if it was not."""
        return self.model

    @cached_property
    def model(self) -> DittoModel:
        """The model; the first look opens it."""
        from em_core.ditto.predict import DittoModel

        return DittoModel.load(self.folder)

    @property
    def attributes(self) -> tuple[str, ...]:
        """See `DittoModel.attributes`."""
        return self.manifest.attributes

    @property
    def runtime(self) -> str:
        """See `DittoModel.runtime`; opens the model."""
        return self.model.runtime

    def predict(self, left: Sequence[str], right: Sequence[str], **how: Any) -> np.ndarray:
        """See `DittoModel.predict`."""
        return self.model.predict(left, right, **how)
