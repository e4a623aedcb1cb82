"""Was a record that is judged seen in training? Digests of what a matcher learned from, and who among the judged is among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from em_core.errors import UserError
from em_core.text.fold import fold_all

TRAINING_FILE = "training_records.npz"
Digests = NDArray[np.uint64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """What training knew of n records; one place for each."""

    key: Bools
    """a label had the same source system and id"""
    answer: Bools
    """a label had the same name (folded) and the same right answer"""
    entity: Bools
    """a label had the same right entity, in whatever spelling"""
    copy: Bools
    """the noise model happened to write the same name for the same entity: no label, so no leak"""
    named: Bools
    """the record's name is known here, so that names could be compared"""

    @property
    def record(self) -> Bools:
        """Seen by key or by name and answer: a leak."""
        return self.key | self.answer


@dataclass(frozen=True)
class TrainingDigests:
    """64-bit digests of training records, sorted and distinct. They hold no data, but hide no name from one who guesses it."""

    keys: Digests
    """source system and id of labels"""
    answers: Digests
    """folded name and right answer of labels"""
    entities: Digests
    """right entities of labels"""
    copies: Digests
    """folded name and right answer of the noise model's copies"""

    @classmethod
    def of(cls, queries: pd.DataFrame) -> TrainingDigests:
        """Digests of training queries (see `em_core.pairs.training.training_queries`): of all, whichever part learned from them."""
        labels, copies = (queries[queries["origin"].eq("label") == label] for label in (True, False))
        return cls(
            keys=np.unique(_digests(labels["source_system"], labels["source_id"])),
            answers=np.unique(_digests(fold_all(labels["name"]), labels["entity_id"])),
            entities=np.unique(_digests(labels["entity_id"].dropna())),
            copies=np.unique(_digests(fold_all(copies["name"]), copies["entity_id"])),
        )

    def save(self, folder: Path) -> None:
        """Write them into a folder."""
        np.savez(folder / TRAINING_FILE, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> TrainingDigests:
        """What `save` wrote. Raises `UserError` where a folder holds none."""
        path = Path(folder) / TRAINING_FILE
        if not path.is_file():
            raise UserError(f"{folder}: it does not say what it learned from ({TRAINING_FILE}); fit the matcher again")
        with np.load(path) as stored:
            return cls(**{field.name: stored[field.name] for field in fields(cls)})

    def seen(self, key: pd.DataFrame, names: NDArray[np.object_], answers: NDArray[np.object_]) -> Seen:
        """Which of n records training knew. `key`: source_system and source_id; `names`, `answers` (n,): None = unknown, none."""
        named = np.asarray(pd.notna(names))
        answer = _digests(fold_all(names), answers)
        return Seen(
            key=np.isin(_digests(key["source_system"], key["source_id"]), self.keys),
            answer=np.isin(answer, self.answers) & named,
            entity=np.isin(_digests(answers), self.entities) & np.asarray(pd.notna(answers)),
            copy=np.isin(answer, self.copies) & named,
            named=named,
        )


def _digests(*columns: Iterable[object]) -> Digests:
    """(n,) digest of each row of texts; missing is empty."""
    texts = [pd.Series(column, dtype=object).fillna("").astype(str).tolist() for column in columns]
    rows = zip(*texts, strict=True)
    digest = (hashlib.blake2b("\x1f".join(row).encode(), digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digest), dtype="<u8").astype(np.uint64)
