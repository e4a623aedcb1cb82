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

_KEYS = ("name", "core", "ticker", "ticker_country", "domain", "issuer")


@dataclass(frozen=True)
class OtherNames:
    """Names of entities that are not their own: `table` (m,) parsed, of `entity` (m,), ascending."""

    table: EntityTable = field(repr=False)
    entity: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Lookups:
    """Look-ups of one reference of n entities.

    `entities`: their profiles (see `em_core.text.profile`). `others`: see `OtherNames`. `identifiers`: kind -> its keys, of entities.
    `keys`: "name" and "core" of name rows (an entity's own name is row `entity`, the other names follow), the others of entities.
    `words`: of the cores, numbered as in `rarity`; `namesakes` (n,) float32: entities with the same core.
    """

    entities: EntityTable = field(repr=False)
    others: OtherNames = field(repr=False)
    identifiers: dict[str, KeyIndex] = field(repr=False)
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
        key_columns = {
            "name": np.concatenate([texts_of(entities, "name_key"), texts_of(others, "name_key")]),
            "core": np.concatenate([texts_of(entities, "core_key"), texts_of(others, "core_key")]),
            "ticker": joined(texts_of(entities, "symbol"), texts_of(entities, "venue")),
            "ticker_country": joined(texts_of(entities, "symbol"), texts_of(entities, "venue_country")),
            "domain": texts_of(entities, "domain"),
            "issuer": issuers(entities),
        }
        core = texts_of(entities, "core")
        words, rarity = learn_words(core)
        return cls(
            EntityTable.of(entities),
            OtherNames(EntityTable.of(others[list(NAME_COLUMNS)]), others["entity"].to_numpy(dtype=np.int64)),
            {kind: KeyIndex.build(texts_of(mine, "key"), mine["row"].to_numpy()) for kind, mine in kinds.items()},
            {key: KeyIndex.build(key_columns[key]) for key in _KEYS},
            words,
            rarity,
            entities.groupby("core")["core"].transform("size").to_numpy(dtype=np.float32),
        )

    @property
    def own_names(self) -> int:
        """How many name rows are the entities' own; other names follow."""
        return len(self.entities)

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
        for kind, keys in {**self.identifiers, **self.keys}.items():
            keys.save(folder / "keys" / kind)

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
            {kind: KeyIndex.load(folder / "keys" / kind) for kind in IDENTIFIERS},
            {key: KeyIndex.load(folder / "keys" / key) for key in _KEYS},
            Words(
                array["word_start"], array["word_code"], EntityTable.open(folder / "words.arrow")["word"], None
            ),
            Rarity(array["word_digest"], array["word_weight"], unseen_rarity(len(entities))),
            array["namesakes"],
        )  # fmt: skip


def issuers(profiles: pd.DataFrame) -> np.ndarray:
    """First six characters of the first CUSIP: its issuer (ANSI X9.6)."""
    return profiles["cusip"].str[:6].to_numpy(dtype=object)
