"""The lexical channel: character n-gram TF-IDF, searched by the rarest n-grams and word pairs, ranked by the exact cosine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from em_core.retrieval.arrays import open_array, open_rows, save_array, save_rows
from em_core.retrieval.products import best_rows, pair_products, place_in_run, rarest_columns
from em_core.retrieval.word_pairs import COLUMNS, LETTERS, WORDS, pair_rarity, weighted_pairs, word_pairs
from em_core.text.rarity import Texts

# Two to four characters inside word bounds: the best recall of those tried (docs/benchmarks.md).
_NGRAMS = (2, 4)
# N-grams and pairs that are looked up whatever they cost.
_FEWEST = 6
# Candidates looked for, for each one wanted: the exact cosine chooses.
_OVERFETCH = 3


def ngram_settings() -> dict[str, object]:
    """What a stored index must have been made with to be read."""
    return {
        "analyzer": "char_wb", "ngrams": list(_NGRAMS), "pair_columns": COLUMNS, "pair_letters": LETTERS, "pair_words": WORDS,
    }  # fmt: skip


def _vectorizer(vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=_NGRAMS,
        sublinear_tf=True,
        dtype=np.float32,
        lowercase=False,
        vocabulary=vocabulary,
    )


@dataclass(frozen=True)
class EncodedTexts:
    """n texts as (n, v) TF-IDF rows of n-grams and (n, COLUMNS) rows of word pairs, both L2-normalised."""

    ngrams: sp.csr_matrix
    pairs: sp.csr_matrix


@dataclass(frozen=True)
class LexicalIndex:
    """TF-IDF rows of d reference texts, L2-normalised: a product is a cosine. N-grams that the vocabulary lacks are dropped.

    `matrix` (d, v): the rows. `postings` (v + COLUMNS, d): which texts carry an n-gram or a word pair, with their weights.
    """

    vectorizer: TfidfVectorizer = field(repr=False)
    pair_rarity: np.ndarray = field(repr=False)
    matrix: sp.csr_matrix = field(repr=False)
    postings: sp.csr_matrix = field(repr=False)

    @classmethod
    def build(cls, texts: Texts) -> LexicalIndex:
        """Index folded texts, at least one of them with a letter or digit."""
        vectorizer, pairs = _vectorizer(), word_pairs(texts)
        rarity = pair_rarity(pairs)
        encoded = EncodedTexts(vectorizer.fit_transform(texts).tocsr(), weighted_pairs(pairs, rarity))
        return cls(vectorizer, rarity, encoded.ngrams, _postings(encoded))

    def encode(self, texts: Texts) -> EncodedTexts:
        """Folded texts by this index's vocabulary and rarity."""
        if not len(texts):
            return EncodedTexts(self.matrix[:0], sp.csr_matrix((0, COLUMNS), dtype=np.float32))
        return EncodedTexts(
            self.vectorizer.transform(texts).tocsr(), weighted_pairs(word_pairs(texts), self.pair_rarity)
        )

    def search(self, queries: EncodedTexts, k: int, budget: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query as (query, row) positions, sorted by query and falling cosine; see `look_up`."""
        query, row, cosine = self.look_up(queries, k, budget)
        # Rounded, so that last bits cannot reorder ties.
        order = np.lexsort((row, -cosine.round(5), query))
        order = order[place_in_run(query[order]) < k]
        return query[order], row[order]

    def look_up(
        self, queries: EncodedTexts, k: int, budget: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Up to three times k rows for each query: (query, row) positions, sorted, and their exact cosines.

        With a `budget`, only rows are looked at that share the query's rarest n-grams and word pairs, as many of them as have `budget`
        postings together: the cost of a query stops growing with the reference. Without one, every row is, and the rows are the best.
        Rows that share no n-gram are left out; ties go to the smaller row.
        """
        if budget is None:
            query, row = best_rows(queries.ngrams, self.postings[: self.matrix.shape[1]], k * _OVERFETCH)
        else:
            stacked = sp.hstack([queries.ngrams, queries.pairs], format="csr")
            rarest = rarest_columns(stacked, np.diff(self.postings.indptr), budget, _FEWEST)
            query, row = best_rows(rarest, self.postings, k * _OVERFETCH)
        order = np.lexsort((row, query))
        query, row = query[order], row[order]
        cosine = self.cosines(queries, query, row)
        shares = cosine > 0
        return query[shares], row[shares], cosine[shares]

    def cosines(self, queries: EncodedTexts, query: np.ndarray, row: np.ndarray) -> np.ndarray:
        """(p,) float32 exact cosines of pairs; `query` is sorted."""
        return pair_products(queries.ngrams, self.matrix, query, row)

    def changed(self, keep: np.ndarray, texts: Texts) -> LexicalIndex:
        """This index without the rows that `keep` (d,) bool leaves out, with `texts` behind them; vocabulary and rarity stay."""
        matrix, postings = self.matrix, self.postings
        if not keep.all():
            matrix, postings = matrix[keep], postings[:, keep]
        if len(texts):
            new = self.encode(texts)
            matrix = sp.vstack([matrix, new.ngrams], format="csr")
            postings = sp.hstack([postings, _postings(new)], format="csr")
        return LexicalIndex(self.vectorizer, self.pair_rarity, matrix, postings)

    def save(self, folder: Path) -> None:
        """Write plain arrays and the vocabulary as JSON: nothing to unpickle, nothing to unpack."""
        folder.mkdir(parents=True)
        words = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.__getitem__)
        (folder / "vocabulary.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        save_array(folder / "idf.npy", self.vectorizer.idf_)
        save_array(folder / "pair_rarity.npy", self.pair_rarity)
        save_rows(folder / "matrix", self.matrix)
        save_rows(folder / "postings", self.postings)

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Open what `save` wrote; the matrices are mapped, not read."""
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        vectorizer = _vectorizer({word: i for i, word in enumerate(words)})
        vectorizer.idf_ = np.load(folder / "idf.npy")
        matrix = open_rows(folder / "matrix", len(words))
        return cls(
            vectorizer,
            open_array(folder / "pair_rarity.npy"),
            matrix,
            open_rows(folder / "postings", matrix.shape[0]),
        )


def _postings(encoded: EncodedTexts) -> sp.csr_matrix:
    """(v + COLUMNS, n) n-grams and word pairs by column."""
    return sp.vstack([encoded.ngrams.T.tocsr(), encoded.pairs.T.tocsr()], format="csr")
