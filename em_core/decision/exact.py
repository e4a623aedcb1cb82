"""The exact stage: an ordered ladder of rules on checked identifiers and on names that are unique in the reference.

A rung proposes; whether it may decide alone depends on the precision that it was measured to have (see `em_core.fit`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler
from rapidfuzz.process import cpdist

from em_core.schema import IDENTIFIERS

RUNGS = ("LEI", "ISIN", "CUSIP", "FIGI", "NAME_UNIQUE")
# Below both, two names have next to nothing in common: an identifier that joins them is in doubt.
_DIFFERENT_PARTIAL = 60.0
_DIFFERENT_JARO = 0.70


@dataclass(frozen=True)
class ExactHits:
    """Outcome of the ladder for n records.

    `rung` code or "" where no rule hit; `entity` position or -1; `other` position of the second side of a conflict or tie, or -1;
    `state` one of "" (no hit), "hit", "conflict", "ambiguous"; `why` a half sentence for the reason.
    """

    rung: np.ndarray
    entity: np.ndarray
    other: np.ndarray
    state: np.ndarray
    why: np.ndarray


def names_differ(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) bool: two folded cores that clearly name different firms. An empty name differs from nothing.

    An acronym is no contradiction: initials of the longer name count as agreement.
    """
    left, right = np.asarray(left, dtype=object), np.asarray(right, dtype=object)
    partial = cpdist(left, right, scorer=fuzz.partial_ratio, dtype=np.float32)
    words = cpdist(left, right, scorer=fuzz.token_set_ratio, dtype=np.float32)
    jaro = cpdist(left, right, scorer=JaroWinkler.normalized_similarity, dtype=np.float32)
    initials = np.array([_acronym(a, b) or _acronym(b, a) for a, b in zip(left, right, strict=True)], dtype=bool)
    far = (np.maximum(partial, words) < _DIFFERENT_PARTIAL) & (jaro < _DIFFERENT_JARO)
    return far & ~initials & (left != "") & (right != "")


def _acronym(short: str, long: str) -> bool:
    compact = short.replace(" ", "")
    return len(compact) > 1 and "".join(word[0] for word in long.split()).startswith(compact)


@dataclass
class ExactStage:
    """Look-ups from identifier and name to entity positions of one reference."""

    entities: pd.DataFrame = field(repr=False)
    tables: dict[str, dict[str, tuple[int, int]]] = field(repr=False)

    @classmethod
    def build(cls, entities: pd.DataFrame, documents: np.ndarray, owner: np.ndarray) -> ExactStage:
        """`entities`: reference profiles. `documents`, `owner`: folded names and aliases and the entities they belong to."""
        positions = np.arange(len(entities))
        tables = {kind.upper(): _unique(entities[kind].to_numpy(), positions) for kind in IDENTIFIERS}
        tables["NAME_UNIQUE"] = _unique(np.asarray(documents, dtype=object), owner)
        return cls(entities, tables)

    def lookup(self, rung: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(first, second) entity positions that carry each key; -1 where there is none."""
        pairs = [self.tables[rung].get(key, (-1, -1)) for key in keys]
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def __call__(self, records: pd.DataFrame, hidden: np.ndarray | None = None) -> ExactHits:
        """Walk the ladder for n record profiles. `hidden` (n,) names an entity position that must not be found (-1 = none)."""
        n = len(records)
        rung, state, why = (np.full(n, "", dtype=object) for _ in range(3))
        entity, other = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        cores, entity_cores = records["core"].to_numpy(), self.entities["core"].to_numpy()
        for kind in IDENTIFIERS:
            code = kind.upper()
            first, second = self._visible(code, records[kind].to_numpy(), hidden)
            hit = first >= 0
            # Two valid identifiers that point at different entities contradict each other.
            clash = hit & (entity >= 0) & (entity != first)
            other[clash], state[clash] = first[clash], "conflict"
            why[clash] = [f"{r} and {code} point to different entities" for r in rung[clash]]
            fresh = hit & (entity < 0)
            rung[fresh], entity[fresh], state[fresh] = code, first[fresh], "hit"
            tied = fresh & (second >= 0)
            other[tied], state[tied], why[tied] = second[tied], "ambiguous", f"several entities carry this {code}"
        named = np.flatnonzero((state == "hit") & (cores != ""))
        differ = named[names_differ(cores[named], entity_cores[entity[named]])]
        state[differ] = "conflict"
        why[differ] = [f"the entity of this {code} has a clearly different name" for code in rung[differ]]
        self._by_name(records, hidden, rung, entity, other, state, why)
        return ExactHits(rung, entity, other, state, why)

    def _visible(self, rung: str, keys: np.ndarray, hidden: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        first, second = self.lookup(rung, keys)
        if hidden is not None:
            gone = (first >= 0) & (first == hidden)
            first, second = np.where(gone, second, first), np.where(gone | (second == hidden), -1, second)
        return first, second

    def _by_name(
        self,
        records: pd.DataFrame,
        hidden: np.ndarray | None,
        rung: np.ndarray,
        entity: np.ndarray,
        other: np.ndarray,
        state: np.ndarray,
        why: np.ndarray,
    ) -> None:
        """The last rung, in place: a whole folded name that one entity alone carries, and no country against it.

        A conflict is left without this rung only where the name agrees with neither side: the other side is named for the steward.
        """
        first, second = self._visible("NAME_UNIQUE", records["full"].to_numpy(), hidden)
        country, there = records["country"].to_numpy(), self.entities["country"].to_numpy()
        fits = (first >= 0) & (second < 0) & ((country == "") | (there[first] == "") | (country == there[first]))
        side = fits & (state == "conflict") & (other < 0) & (first != entity)
        other[side] = first[side]
        fresh = fits & (state == "")
        rung[fresh], entity[fresh], state[fresh] = "NAME_UNIQUE", first[fresh], "hit"
        why[fresh] = "the whole name is unique in the reference"


def _unique(keys: np.ndarray, positions: np.ndarray) -> dict[str, tuple[int, int]]:
    """Key -> (its entity, a second entity or -1); empty keys are left out."""
    frame = pd.DataFrame({"key": keys, "entity": positions})
    frame = frame[frame["key"] != ""].drop_duplicates().sort_values(["key", "entity"])
    place = frame.groupby("key").cumcount()
    first = frame[place == 0].set_index("key")["entity"]
    second = frame[place == 1].set_index("key")["entity"].reindex(first.index).fillna(-1).astype(np.int64)
    return dict(zip(first.index, zip(first.tolist(), second.tolist(), strict=True), strict=True))
