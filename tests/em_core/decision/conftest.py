"""Records with known answers for the policy's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from em_core.decision.labelled import Labelled


def _labelled(confidence: Any, right: Any, **others: Any) -> Labelled:
    """All known, judged and standing labels of the user, each of its own entity, unless said otherwise."""
    confidence, right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=bool)
    size = len(right)
    ones = np.ones(size, dtype=bool)
    given = {
        "known": ones,
        "judged": ones,
        "stands": ones,
        "own": ones,
        "system": np.full(size, "crm", dtype=object),
        "group": np.arange(size),
    }
    return Labelled(confidence, right, **(given | others))


@pytest.fixture(scope="session")
def make_labelled() -> Callable[..., Labelled]:
    """`make_labelled(confidence, right, known=..., system=...)`."""
    return _labelled
