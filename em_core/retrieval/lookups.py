"""What the reference's entities are looked up by, made once and mapped by every process that matches: keys, words, profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from em_core.retrieval.arrays import open_array, save_array
from em_core.retrieval.entity_names import NAME_COLUMNS
from em_core.retrieval.key_index import KeyIndex
from em_core.retrieval.keys import joined, texts_of
from em_core.retrieval.table import EntityTable
from em_core.schema import IDENTIFIERS
from em_core.text.identifiers import identifier_keys
from em_core.text.rarity import Rarity, unseen_rarity
from em_core.text.words import Words, learn_words

# Key -> the columns of a profile that it is made of; of every name, and of an entity.
_OF_NAMES = {"name": "name_key", "core": "core_key"}
_OF_ENTITIES = {
    "ticker": ("symbol", "venue"),
    "ticker_country": ("symbol", "venue_country"),
    "domain": ("domain",),
    "issuer": ("cusip",),
}
_KEYS = (*IDENTIFIERS, *_OF_NAMES, *_OF_ENTITIES)


@dataclass(frozen=True)
class OtherNames:
    """Names of entities that are not their own: `table` (m,) parsed, of `entity` (m,), ascending."""

    table: EntityTable = field(repr=False)
    entity: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Lookups:
    """Look-ups of one reference of n entities.

    `entities`: their profiles (see `em_core.text.profile`). `others`: see `OtherNames`. `keys`: "name" and "core" of name rows (an entity's
    own name is row `entity`, the other names follow), the others of entities: identifiers by kind, tickers, "domain", "issuer".
    `words`: of the cores, numbered as in `rarity`; `namesakes` (n,) float32: entities with the same core.
    """

    entities: EntityTable = field(repr=False)
    others: OtherNames = field(repr=False)
    keys: dict[str, KeyIndex] = field(repr=False)
    words: Words = field(repr=False)
    rarity: Rarity = field(repr=False)
    namesakes: np.ndarray = field(repr=False)

    @classmethod
    def build(cls, entities: pd.DataFrame, names: pd.DataFrame) -> Lookups:
        """`entities`: reference profiles; `names`: see `em_core.retrieval.entity_names`."""
        found = identifier_keys(entities)
        kinds = {kind: found[found["kind"] == kind] for kind in IDENTIFIERS}
        others = names[names["alias"].to_numpy(dtype=bool)].sort_values("entity", kind="stable")
        keys = {kind: KeyIndex.build(texts_of(mine, "key"), mine["row"].to_numpy()) for kind, mine in kinds.items()}
        for key, column in _OF_NAMES.items():
            keys[key] = KeyIndex.build(np.concatenate([texts_of(entities, column), texts_of(others, column)]))
        for key in _OF_ENTITIES:
            keys[key] = KeyIndex.build(entity_keys(key, entities))
        core = texts_of(entities, "core")
        words, rarity = learn_words(core)
        return cls(
            EntityTable.of(entities),
            OtherNames(EntityTable.of(others[list(NAME_COLUMNS)]), others["entity"].to_numpy(dtype=np.int64)),
            keys,
            words,
            rarity,
            entities.groupby("core")["core"].transform("size").to_numpy(dtype=np.float32),
        )

    @property
    def own_names(self) -> int:
        """How many name rows are the entities' own; other names follow."""
        return len(self.entities)

    def find(self, key: str, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(query positions, rows) that carry these (m,) keys, sorted by query: found by digest, then compared text by text."""
        query, row = self.keys[key].find(texts)
        if key in _OF_NAMES:
            same = self.of_names(_OF_NAMES[key], row) == texts[query]
        elif key in _OF_ENTITIES:
            same = entity_keys(key, self.entities.take(row, _OF_ENTITIES[key])) == texts[query]
        else:
            cells = self.entities[key][row]
            same = np.array([text in cell.split() for text, cell in zip(texts[query], cells, strict=True)], dtype=bool)
        return query[same], row[same]

    def owner(self, name_rows: np.ndarray) -> np.ndarray:
        """(m,) the entities of name rows."""
        alias = name_rows >= self.own_names
        out = name_rows.copy()
        out[alias] = self.others.entity[name_rows[alias] - self.own_names]
        return out

    def of_names(self, column: str, name_rows: np.ndarray) -> np.ndarray:
        """(m,) a column of the parsed names, by name row."""
        alias = name_rows >= self.own_names
        out = np.empty(len(name_rows), dtype=object)
        out[~alias] = self.entities[column][name_rows[~alias]]
        out[alias] = self.others.table[column][name_rows[alias] - self.own_names]
        return out

    def save(self, folder: Path) -> None:
        """Write plain arrays and Arrow files."""
        folder.mkdir(parents=True)
        self.entities.save(folder / "profile.arrow")
        self.others.table.save(folder / "names.arrow")
        EntityTable.of(pd.DataFrame({"word": self.words.spelling[np.arange(len(self.rarity))]})).save(
            folder / "words.arrow"
        )
        for name, values in self._arrays().items():
            save_array(folder / f"{name}.npy", values)
        for key, index in self.keys.items():
            index.save(folder / "keys" / key)

    def _arrays(self) -> dict[str, np.ndarray]:
        words, rarity = self.words, self.rarity
        return {
            "other_entity": self.others.entity,
            "word_start": words.start,
            "word_code": words.code,
            "word_digest": rarity.digest,
            "word_weight": rarity.weight,
            "namesakes": self.namesakes,
        }

    @classmethod
    def load(cls, folder: Path) -> Lookups:
        """Map what `save` wrote. Raises `UserError` for files that are something else."""
        array = {path.stem: open_array(path) for path in folder.glob("*.npy")}
        entities = EntityTable.open(folder / "profile.arrow")
        return cls(
            entities,
            OtherNames(EntityTable.open(folder / "names.arrow"), array["other_entity"]),
            {key: KeyIndex.load(folder / "keys" / key) for key in _KEYS},
            Words(
                array["word_start"], array["word_code"], EntityTable.open(folder / "words.arrow")["word"], None
            ),
            Rarity(array["word_digest"], array["word_weight"], unseen_rarity(len(entities))),
            array["namesakes"],
        )  # fmt: skip


def entity_keys(key: str, profiles: pd.DataFrame) -> np.ndarray:
    """(n,) "ticker", "ticker_country", "domain" or "issuer" of profiles, empty where a part of it is missing.

    An issuer is the first six characters of the first CUSIP (ANSI X9.6).
    """
    first, *second = (texts_of(profiles, column) for column in _OF_ENTITIES[key])
    if key == "issuer":
        return np.array([cusip[:6] for cusip in first], dtype=object)
    return joined(first, second[0]) if second else first
