"""Records with known answers as the policy sees them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """n records with known answers, all arrays (n,).

    `confidence` (calibrated) of the best candidate, 0 = none; `right`: it is the right entity; `known`: the right entity is in the
    reference; `judged`: the exact stage leaves the record to the scorer; `stands`: judged, and the candidate may match by itself; `own`:
    the user's label, not a record of the noise model; `system`: source system; `group`: number of the entity.
    """

    confidence: np.ndarray
    right: np.ndarray
    known: np.ndarray
    judged: np.ndarray
    stands: np.ndarray
    own: np.ndarray
    system: np.ndarray
    group: np.ndarray

    def only(self, chosen: np.ndarray) -> Labelled:
        """The records that are `chosen` (n,) bool."""
        return Labelled(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def accepted(self, threshold: float | None) -> np.ndarray:
        """(n,) bool: would match by itself from `threshold` on."""
        return self.stands & (self.confidence >= (np.inf if threshold is None else threshold))
