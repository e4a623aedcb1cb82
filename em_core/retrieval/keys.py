"""The key channel: entities that share a key with a record, however different the names look.

Keys are kept as 64-bit digests in one sorted array, which is opened in place and asked by bisection. A collision of digests, one in
billions of look-ups, proposes an entity too many; the cosines put it last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

import numpy as np
import pandas as pd

from em_core.retrieval.entity_names import other_names
from em_core.retrieval.key_index import KeyIndex
from em_core.text.digests import text_digests
from em_core.text.identifiers import identifier_keys
from em_core.text.name_table import name_table
from em_core.text.names import initial_columns

KeyCode = Literal[
    "LEI", "REGISTRATION", "VAT", "CIK", "ISIN", "CUSIP", "SEDOL", "FIGI", "CUSIP_ISSUER", "TICKER_EXCHANGE", "TICKER_COUNTRY", "DOMAIN",
    "NAME_COUNTRY", "NAME", "ALIAS", "CORE_COUNTRY", "CORE", "ACRONYM",
]  # fmt: skip
#: What a record and an entity can share, the surest first.
KEYS: tuple[KeyCode, ...] = get_args(KeyCode)
_ORDER = {code: position for position, code in enumerate(KEYS)}
_IDENTIFIERS: dict[str, KeyCode] = {
    "lei": "LEI", "registration_number": "REGISTRATION", "vat": "VAT", "cik": "CIK", "isin": "ISIN", "cusip": "CUSIP",
    "sedol": "SEDOL", "figi": "FIGI",
}  # fmt: skip
# Of the entities that carry a key so many are looked at.
_CROWD = 64
# Fewer initials say nothing; more are a word.
_INITIALS = (3, 8)

# (row, text) of one kind of key, empty texts included.
_Keys = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class KeyTable:
    """Which entities carry a key, of any space; each entity once for a key."""

    index: KeyIndex = field(repr=False)

    @classmethod
    def build(cls, entities: pd.DataFrame, names: pd.DataFrame) -> KeyTable:
        """`entities`: reference profiles; `names`: see `em_core.retrieval.entity_names`."""
        parts = [(digests(space, texts), rows[texts != ""]) for space, (rows, texts) in _entity_keys(entities, names)]
        digest, entity = (np.concatenate(values) for values in zip(*parts, strict=True))
        order = np.lexsort((entity, digest))
        digest, entity = digest[order], entity[order].astype(np.int64)
        fresh = np.r_[True, (digest[1:] != digest[:-1]) | (entity[1:] != entity[:-1])][: len(digest)]
        return cls(KeyIndex(digest[fresh], entity[fresh]))

    def find(self, records: pd.DataFrame, codes: Collection[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entities that share a key of one of these `codes` with the record profiles: (record, entity, place in `KEYS`).

        Each triple once, sorted. Of a key that many entities carry the first 64 are given.
        """
        found = []
        for code, space, (rows, texts) in _record_keys(records):
            if code in codes:
                query, entity = self.index.carriers(digests(space, texts), _CROWD)
                found.append(np.stack([rows[texts != ""][query], entity, np.full(len(query), _ORDER[code])], axis=1))
        triples = np.unique(np.concatenate([np.zeros((0, 3), dtype=np.int64), *found]), axis=0)
        return triples[:, 0], triples[:, 1], triples[:, 2]

    def changed(self, keep: np.ndarray, new: KeyTable) -> KeyTable:
        """This table without the entities that `keep` (n,) bool leaves out, with those of `new` behind them."""
        mine = keep[self.index.row]
        digest, entity = self.index.digest[mine], (np.cumsum(keep) - 1)[self.index.row[mine]]
        at = np.searchsorted(digest, new.index.digest, side="right")
        entity = np.insert(entity, at, new.index.row + int(keep.sum()))
        return KeyTable(KeyIndex(np.insert(digest, at, new.index.digest), entity))


def digests(space: str, texts: np.ndarray) -> np.ndarray:
    """(m,) uint64 digests of the texts that are not empty; equal texts of different spaces differ."""
    return text_digests(texts[texts != ""]) ^ _salt(space)


@cache
def _salt(space: str) -> np.uint64:
    return np.uint64(text_digests(np.array([f"key space {space}"], dtype=object))[0])


def key_check() -> int:
    """Digest of a fixed text: a stored table can be asked only where it comes out the same."""
    return int(_salt("check"))


def names_of_keys(bits: np.ndarray) -> np.ndarray:
    """(p,) codes joined by blanks, in the order of `KEYS`, of sets of keys as bits; empty text for none."""
    distinct, spread = np.unique(bits, return_inverse=True)
    texts = [" ".join(code for code, place in _ORDER.items() if value >> place & 1) for value in distinct.tolist()]
    return np.array(texts, dtype=object)[spread] if len(bits) else np.zeros(0, dtype=object)


def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left|right`, empty where either is."""
    return np.where((left != "") & (right != ""), left + "|" + right, "").astype(object)


def texts_of(frame: pd.DataFrame, column: str) -> np.ndarray:
    """(n,) a column as objects."""
    return frame[column].to_numpy(dtype=object)


def _attribute_keys(profiles: pd.DataFrame) -> Iterator[tuple[KeyCode, _Keys]]:
    """Keys that a record and an entity have alike: identifiers, issuer, tickers, domain."""
    found = identifier_keys(profiles)
    row, kind, key = found["row"].to_numpy(), texts_of(found, "kind"), texts_of(found, "key")
    for name, code in _IDENTIFIERS.items():
        yield code, (row[kind == name], key[kind == name])
    # The first six characters of a CUSIP name its issuer (ANSI X9.6).
    cusips = kind == "cusip"
    yield "CUSIP_ISSUER", (row[cusips], np.array([text[:6] for text in key[cusips]], dtype=object))
    every = np.arange(len(profiles))
    yield "TICKER_EXCHANGE", (every, joined(texts_of(profiles, "symbol"), texts_of(profiles, "venue")))
    yield "TICKER_COUNTRY", (every, joined(texts_of(profiles, "symbol"), texts_of(profiles, "venue_country")))
    yield "DOMAIN", (every, texts_of(profiles, "domain"))


def _single_words(names: pd.DataFrame) -> np.ndarray:
    """(n,) the core where it is one word that may be initials, else empty."""
    core, (least, most) = texts_of(names, "core"), _INITIALS
    return np.array([word if least <= len(word) <= most and " " not in word else "" for word in core], dtype=object)


def _initials(names: pd.DataFrame) -> list[np.ndarray]:
    """(n,) initials of names of several words, in each of their forms, where they are enough to say something, else empty."""
    least, most = _INITIALS
    return [np.where([least <= len(text) <= most for text in form], form, "") for form in initial_columns(names)]


def _entity_keys(entities: pd.DataFrame, names: pd.DataFrame) -> Iterator[tuple[str, _Keys]]:
    """(space, keys) of the reference."""
    yield from _attribute_keys(entities)
    owner, alias = names["entity"].to_numpy(), names["alias"].to_numpy(dtype=bool)
    name, core, country = texts_of(names, "name_key"), texts_of(names, "core_key"), texts_of(entities, "country")[owner]
    yield "name", (owner[~alias], name[~alias])
    yield "alias", (owner[alias], name[alias])
    yield "name country", (owner, joined(name, country))
    yield "core", (owner, core)
    yield "core country", (owner, joined(core, country))
    yield "word", (owner, _single_words(names))
    for initials in _initials(names):
        yield "initials", (owner, initials)


def _record_keys(records: pd.DataFrame) -> Iterator[tuple[KeyCode, str, _Keys]]:
    """(what a find is called, space, keys) of record profiles."""
    for code, keys in _attribute_keys(records):
        yield code, code, keys
    every, country = np.arange(len(records)), texts_of(records, "country")
    name, core = texts_of(records, "name_key"), texts_of(records, "core_key")
    yield "NAME", "name", (every, name)
    yield "ALIAS", "alias", (every, name)
    yield "NAME_COUNTRY", "name country", (every, joined(name, country))
    yield "CORE", "core", (every, core)
    yield "CORE_COUNTRY", "core country", (every, joined(core, country))
    # One side's word is the other side's initials.
    yield "ACRONYM", "initials", (every, _single_words(records))
    for initials in _initials(records):
        yield "ACRONYM", "word", (every, initials)
    rows, texts = other_names(records)
    if len(rows):
        yield "ALIAS", "core", (rows, texts_of(name_table(texts), "core_key"))
