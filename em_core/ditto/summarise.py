"""Summarisation (section 4.2 of the Ditto paper): a record too long for the encoder keeps its most telling words.

Plain truncation keeps the beginning, whatever it says. Here a record that is too long keeps the words with the highest
TF-IDF, in their own order, until it fits. The document frequencies come from training records only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from em_core.ditto.serialise import Record

SPECIALS = 4  # tokens at most that the encoder sets around a pair
PIECE = 3  # letters of a word piece, for words whose pieces were not counted

CountPieces = Callable[[Sequence[str]], Sequence[int]]


class Summariser(BaseModel):
    """Shortens records to `room` tokens.

    `words` maps each word (lower case) of at least two training records to its inverse document frequency in nats and
    to its number of word pieces; any other word has the frequency `rare_idf` and is estimated by its length.
    """

    model_config = ConfigDict(frozen=True)

    room: int
    rare_idf: float
    words: dict[str, tuple[float, int]]

    @classmethod
    def fit(cls, records: Iterable[Record], max_length: int, count_pieces: CountPieces) -> Summariser:
        """Learn from the distinct training records; each gets half of a pair's `max_length` tokens."""
        documents = 0
        found: Counter[str] = Counter()
        for record in records:
            documents += 1
            found.update({word.lower() for _, value in record for word in value.split()})
        common = sorted(word for word, count in found.items() if count > 1)
        frequency = np.array([found[word] for word in common])
        idf = np.log((1 + documents) / (1 + frequency)) + 1
        pieces = count_pieces(common) if common else []
        return cls(
            room=(max_length - SPECIALS) // 2,
            rare_idf=float(np.log((1 + documents) / 2) + 1),
            words={word: (round(float(i), 4), int(n)) for word, i, n in zip(common, idf, pieces, strict=True)},
        )

    def __call__(self, record: Record, markup: int) -> Record:
        """`record` if it fits into `room` with `markup` tokens around the name of each attribute, else its best words.

        A word that comes twice is kept once; stop words fall; an attribute without a word falls, but the first one, the
        name, keeps at least its best word.
        """
        values = [value.split() for _, value in record]
        room = self.room - sum(markup + self._pieces(name) for name, _ in record)
        if sum(self._pieces(word) for words in values for word in words) <= room:
            return record
        kept = self._best(values, room)
        shortened = [(name, " ".join(words[k] for k in sorted(kept[i]))) for i, ((name, _), words) in
                     enumerate(zip(record, values, strict=True))]  # fmt: skip
        return [field for i, field in enumerate(shortened) if i == 0 or field[1]]

    def _best(self, values: list[list[str]], room: int) -> list[set[int]]:
        """Positions of the words to keep, for each value: the best word of the name, then by TF-IDF while there is room."""
        count = Counter(word.lower() for words in values for word in words)
        first: dict[str, tuple[int, int]] = {}
        for i, words in enumerate(values):
            for k, word in enumerate(words):
                first.setdefault(word.lower(), (i, k))
        score = {word: count[word] * self._idf(word) * (word not in ENGLISH_STOP_WORDS) for word in first}
        # Equal scores: the earlier word, for `sorted` is stable and `first` is in reading order.
        order = sorted(first, key=lambda word: -score[word])
        name = next((word for word in order if first[word][0] == 0), None)
        kept: list[set[int]] = [set() for _ in values]
        for word in order if name is None else [name, *(word for word in order if word != name)]:
            pieces = self._pieces(word)
            if word == name or (score[word] > 0 and pieces <= room):
                room -= pieces
                i, k = first[word]
                kept[i].add(k)
        return kept

    def _idf(self, word: str) -> float:
        return self.words[word][0] if word in self.words else self.rare_idf

    def _pieces(self, word: str) -> int:
        known = self.words.get(word.lower())
        return known[1] if known else -(-len(word) // PIECE)
