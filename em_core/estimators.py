"""scikit-learn models in files that hold no pickle (skops)."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from em_core.errors import UserError

_ALLOWED = ("sklearn.", "numpy.", "scipy.sparse.")


def dump_estimators(models: Any, path: Path) -> None:
    """Write fitted models, or a container of them."""
    _skops().dump(models, path)


def load_estimators(path: Path, whole: str) -> Any:
    """Open what `dump_estimators` wrote.

    Raises `UserError` if the file holds types other than those of scikit-learn, numpy and scipy.sparse.

    `whole`: what the file is a part of, for that sentence.
    """
    skops = _skops()
    unknown = skops.get_untrusted_types(file=path)
    foreign = [name for name in unknown if not name.startswith(_ALLOWED)]
    if foreign:
        raise UserError(f"{path}: holds the type {foreign[0]}, which is no part of {whole}")
    return skops.load(path, trusted=unknown)


@cache
def _skops() -> ModuleType:
    """skops.io, imported in a fraction of its time.

    At import it asks scikit-learn for all its estimators, to trust them by default; that imports everything there is, torch too if
    it is installed: 5 s of each process. The types to trust are named above, so it is told that there are none.
    """
    if "skops.io" in sys.modules:
        return sys.modules["skops.io"]
    import sklearn.utils

    found = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = lambda type_filter=None: []
    try:
        return import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = found
