"""Words of many texts as numbers: of a batch of records, and of a whole reference, whose words stay on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from em_core.text.digests import text_digests
from em_core.text.rarity import Rarity, Texts, unseen_rarity


class Spelling(Protocol):
    """Words by their code: an array of objects, or a column on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, codes: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Words:
    """Words of n texts in their order: `start` (n + 1,) into `code`, which are positions in `spelling`.

    `number` (words,): a code's number in the reference's vocabulary, -1 = never seen there; None where codes are those numbers.
    """

    start: np.ndarray = field(repr=False)
    code: np.ndarray = field(repr=False)
    spelling: Spelling = field(repr=False)
    number: np.ndarray | None = field(repr=False)

    @classmethod
    def of(cls, texts: Texts, rarity: Rarity) -> Words:
        """Split folded texts (n,)."""
        start, code, spelling = _split(texts)
        return cls(start, code, spelling, rarity.numbers(spelling))

    def numbers(self, codes: np.ndarray) -> np.ndarray:
        """(w,) numbers in the reference's vocabulary."""
        return codes if self.number is None else self.number[codes]

    def within(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The words of some texts (m,), one text after the other: (place in `texts`, code)."""
        begin = self.start[texts]
        size = self.start[texts + 1] - begin
        place = np.repeat(np.arange(len(texts)), size)
        return place, self.code[np.arange(len(place)) - np.repeat(np.cumsum(size) - size - begin, size)]

    def bags(self, texts: np.ndarray, rarity: Rarity) -> WordBags:
        """Weighted word sets of some texts (m,), by position."""
        place, code = self.within(texts)
        pairs = np.unique(place * np.int64(max(1, len(self.spelling))) + code)
        place, code = pairs // max(1, len(self.spelling)), pairs % max(1, len(self.spelling))
        number = self.numbers(code)
        known, unknown = number >= 0, np.bincount(place[number < 0], minlength=len(texts))
        matrix = sp.csr_matrix(
            (rarity.of(number[known]), (place[known], number[known])), shape=(len(texts), len(rarity))
        )
        return WordBags(matrix, unknown.astype(np.float32))


@dataclass(frozen=True)
class WordBags:
    """Words of m texts: `known` (m, v) holds each known word's rarity once, `unknown` (m,) counts words never seen."""

    known: sp.csr_matrix
    unknown: np.ndarray


def learn_words(texts: Texts) -> tuple[Words, Rarity]:
    """The words of a reference's folded names, one text for each entity, numbered in its own vocabulary, and their rarity."""
    start, code, spelling = _split(texts)
    digest = text_digests(spelling)
    order = np.argsort(digest)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    of_text = np.repeat(np.arange(len(texts)), np.diff(start))
    held = np.unique(of_text * np.int64(max(1, len(order))) + number[code]) % max(1, len(order))
    frequency = np.bincount(held, minlength=len(order))
    weight = (np.log((len(texts) + 1) / (frequency + 1)) + 1).astype(np.float32)
    rarity = Rarity(digest[order], weight, unseen_rarity(len(texts)))
    return Words(start, number[code].astype(np.int32), spelling[order], None), rarity


def _split(texts: Texts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, code, distinct words) of texts."""
    split = [text.split() for text in texts]
    start = np.zeros(len(split) + 1, dtype=np.int64)
    np.cumsum([len(words) for words in split], out=start[1:])
    known: dict[str, int] = {}
    code = np.fromiter((known.setdefault(word, len(known)) for words in split for word in words), np.int64, start[-1])
    return start, code, np.array(list(known), dtype=object)
