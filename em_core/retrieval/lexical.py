"""The lexical channel: character n-gram TF-IDF and sparse top-n products."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn

from em_core.text.rarity import Texts

# Two to four characters inside word bounds: the best recall of those tried (docs/benchmarks.md).
_NGRAMS = (2, 4)


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
class LexicalIndex:
    """TF-IDF rows of d reference texts, L2-normalised: a product is a cosine."""

    vectorizer: TfidfVectorizer = field(repr=False)
    matrix: sp.csr_matrix = field(repr=False)

    @classmethod
    def build(cls, texts: Texts) -> LexicalIndex:
        """Index folded texts, at least one of them with a letter or digit."""
        vectorizer = _vectorizer()
        return cls(vectorizer, vectorizer.fit_transform(texts).tocsr())

    def encode(self, texts: Texts) -> sp.csr_matrix:
        """(n, v) TF-IDF rows of folded query texts."""
        return self.vectorizer.transform(texts).tocsr()

    def search(self, queries: sp.csr_matrix, k: int, threads: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query as (query, row) positions, without those that share no n-gram."""
        best = sp_matmul_topn(
            queries, self._transposed, top_n=min(k, self.matrix.shape[0]), sort=True, n_threads=threads
        )
        counts = np.diff(best.indptr)
        return np.repeat(np.arange(queries.shape[0]), counts), best.indices.astype(np.int64)

    @property
    def _transposed(self) -> sp.csr_matrix:
        cached: sp.csr_matrix | None = self.__dict__.get("_columns")
        if cached is None:
            cached = self.matrix.T.tocsr()
            self.__dict__["_columns"] = cached
        return cached

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json`, `idf.npy`, `matrix.npz`: plain data, nothing to unpickle."""
        folder.mkdir(parents=True)
        words = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.__getitem__)
        (folder / "vocabulary.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        np.save(folder / "idf.npy", self.vectorizer.idf_)
        sp.save_npz(folder / "matrix.npz", self.matrix, compressed=False)

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Open what `save` wrote."""
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        vectorizer = _vectorizer({word: i for i, word in enumerate(words)})
        vectorizer.idf_ = np.load(folder / "idf.npy")
        return cls(vectorizer, sp.load_npz(folder / "matrix.npz").tocsr())
