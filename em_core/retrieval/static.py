"""A static encoder: one vector a token, distilled from a sentence transformer; a name is the weighted sum of its tokens.

Every token goes through the transformer once by itself (the way of model2vec, Minish Lab, 2024) and weighs as much as it is rare
in the reference (as in SIF, Arora, Liang and Ma, ICLR 2017, by inverse document frequency). Then the vectors are fitted: weighted
means of tokens shall come near to the transformer's vectors of whole names, of a sample of the reference, by ridge regression
towards the tokens' own vectors; principal components of the names' vectors shorten both. Encoding is a sparse product and
needs neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from em_core.errors import UserError
from em_core.text.distinct import factorize
from em_core.text.rarity import Texts

if TYPE_CHECKING:
    from em_core.retrieval.transformer import TransformerEncoder

DIMENSIONS = 256
# Names that the fit looks at: the transformer reads some 900 a second on two cores.
NAMES = 6_000
_RIDGE = 0.3
_SEED = 7
# Larger vocabularies are those of many scripts: of them only the tokens that the reference has, and pieces so short that any
# word may fall into them, are worth the transformer's time.
_WHOLE, _SHORT = 50_000, 3
_TOKENS, _TOKENIZER, _FACTS = "tokens.npy", "tokenizer.json", "encoder.json"


@dataclass
class StaticEncoder:
    """`tokens` (v, d) float16: each token's vector times its weight, zeros for tokens that say nothing.

    `tokenizer` is that of the transformer, in the format of the library `tokenizers`.
    """

    base: str
    tokens: np.ndarray = field(repr=False)
    tokenizer: str = field(repr=False)

    @classmethod
    def distil(
        cls,
        teacher: TransformerEncoder,
        texts: Texts,
        dimensions: int = DIMENSIONS,
        names: int = NAMES,
        progress: bool = False,
    ) -> StaticEncoder:
        """Learn from a transformer and the reference's names: its vocabulary and `names` names go through it.

        Words that the reference lacks keep a vector too: without one, a name would look like its known rest. A reference of few
        names gives at most as many dimensions as it has names. Raises `UserError` if the transformer's tokenizer is not one of
        the library `tokenizers`.
        """
        if not teacher.tokenizer.is_fast:
            raise UserError(
                f"encoder static:{teacher.model}: the model has no tokenizer.json, which a static encoder needs"
            )
        pieces = json.loads(teacher.tokenizer.backend_tokenizer.to_str())
        encoder = cls(teacher.model, np.zeros((0, 0), dtype=np.float16), json.dumps(pieces, sort_keys=True))
        distinct = np.unique(np.asarray(texts, dtype=object).astype(str))
        counts = np.bincount((bags := encoder._tokens(distinct)).indices, minlength=bags.shape[1])
        chosen = _worth_embedding(teacher.tokenizer, counts)
        before, after = _frame(teacher.tokenizer)
        own = teacher.embed([[*before, int(token), *after] for token in chosen], progress, "token")
        weight = np.log((len(distinct) + 1) / (counts[chosen] + 1)) + 1
        sample = np.sort(np.random.default_rng(_SEED).permutation(len(distinct))[:names])
        whole = teacher.encode(distinct[sample], progress)
        fitted = _fit(own, bags[sample][:, chosen], weight, whole, dimensions)
        tokens = np.zeros((bags.shape[1], fitted.shape[1]), dtype=np.float16)
        tokens[chosen] = fitted * weight[:, None]
        return cls(teacher.model, tokens, encoder.tokenizer)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of vectors and tokenizer; 16 hexadecimal digits."""
        digest = hashlib.sha256(self.tokenizer.encode())
        digest.update(str(self.tokens.shape).encode())
        digest.update(np.ascontiguousarray(self.tokens).tobytes())
        return digest.hexdigest()[:16]

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        """(n, d) float32 unit rows; equal texts give equal rows. Zeros for a text without a known token."""
        words, tokens = self._bags(texts)
        vectors = words @ (tokens @ self._table)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)

    @cached_property
    def _table(self) -> np.ndarray:
        return self.tokens.astype(np.float32)

    @cached_property
    def _splitter(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.tokenizer)

    def _bags(self, texts: Texts) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Which words a text has (n, w), and which tokens a word has (w, v), in their order; each word is split once."""
        split = [str(text).split() for text in texts]
        every = np.fromiter(chain.from_iterable(split), dtype=object)
        codes, words = factorize(every)
        ids = [found.ids for found in self._splitter.encode_batch(list(words), add_special_tokens=False)]
        size = self._splitter.get_vocab_size(with_added_tokens=True)
        return _ones(split, codes, len(words)), _ones(ids, np.fromiter(chain.from_iterable(ids), dtype=np.int64), size)

    def _tokens(self, texts: Texts) -> sp.csr_matrix:
        """(n, v) how often each token occurs in each text."""
        words, tokens = self._bags(texts)
        return sp.csr_matrix(words @ tokens)

    def save(self, folder: Path) -> None:
        """Write `tokens.npy`, `tokenizer.json`, `encoder.json`."""
        folder.mkdir(parents=True)
        np.save(folder / _TOKENS, self.tokens)
        (folder / _TOKENIZER).write_text(self.tokenizer, encoding="utf-8")
        (folder / _FACTS).write_text(json.dumps({"base": self.base, "fingerprint": self.fingerprint}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """Open what `save` wrote."""
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return cls(facts["base"], np.load(folder / _TOKENS), (folder / _TOKENIZER).read_text(encoding="utf-8"))


def _ones(items: list[Any], columns: np.ndarray, width: int) -> sp.csr_matrix:
    """(n, width) ones at the columns of n lists, given end to end; sums over a row run in the list's order."""
    ends = np.cumsum([0, *map(len, items)])
    return sp.csr_matrix((np.ones(len(columns), dtype=np.float32), columns, ends), shape=(len(items), width))


def _worth_embedding(tokenizer: Any, counts: np.ndarray) -> np.ndarray:
    """Ids of the tokens that go through the transformer, ascending."""
    special = set(tokenizer.all_special_ids)
    kept = [
        i
        for piece, i in tokenizer.get_vocab().items()
        if i not in special
        and not piece.startswith("[unused")
        and (len(counts) <= _WHOLE or counts[i] > 0 or len(piece.strip("#▁Ġ")) <= _SHORT)
    ]
    return np.array(sorted(kept), dtype=np.int64)


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and behind a text."""
    bare, framed = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    start = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
    return framed[:start], framed[start + len(bare) :]


def _fit(own: np.ndarray, bags: sp.csr_matrix, weight: np.ndarray, whole: np.ndarray, dimensions: int) -> np.ndarray:
    """(t, d) vectors of t tokens whose weighted means (rows of `bags` (n, t)) come near to the names' vectors `whole` (n, D).

    `own` (t, D) are the tokens' vectors as they come by themselves: tokens that no name of the sample has keep them.
    """
    centre = whole.mean(axis=0, dtype=np.float64)
    axes = _principal(whole - centre, min(dimensions, len(whole), whole.shape[1]))
    target, start = (whole - centre) @ axes, (own - own.mean(axis=0, dtype=np.float64)) @ axes
    heavy = bags.astype(np.float64) @ sp.diags_array(weight)
    total = np.asarray(heavy.sum(axis=1)).ravel()
    means = sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ heavy)
    guess = means @ start
    scale = float((guess * target).sum() / max((guess * guess).sum(), np.finfo(float).tiny))
    present = np.flatnonzero(np.bincount(means.indices, minlength=means.shape[1]))
    ridge = Ridge(alpha=_RIDGE, fit_intercept=False, solver="sparse_cg", tol=1e-3)
    start *= scale
    start[present] += ridge.fit(means[:, present], target - scale * guess).coef_.reshape(target.shape[1], -1).T
    return start


def _principal(centred: np.ndarray, dimensions: int) -> np.ndarray:
    """(D, dimensions) principal axes, widest first, each with its largest weight positive."""
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimensions]
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimensions)])
