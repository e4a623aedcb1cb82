"""Token ids: each distinct text is tokenised once, then pairs are put together with array operations."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from em_core.text.distinct import factorize

if TYPE_CHECKING:
    import torch

KEPT = 100_000  # distinct texts whose token ids stay in memory, about 0.4 kB each


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs of texts as token ids.

    Pair i is the distinct texts `left[i]` and `right[i]`; text t is `ids[start[t] : start[t] + length[t]]`. The special
    tokens of a pair stand at the head of `ids`.
    """

    ids: np.ndarray
    start: np.ndarray
    length: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def __len__(self) -> int:
        return len(self.left)

    def distinct(self) -> tuple[EncodedPairs, np.ndarray]:
        """Each pair once, and for every pair its position among those."""
        codes, back = np.unique(self.left * len(self.length) + self.right, return_inverse=True)
        left, right = np.divmod(codes, max(len(self.length), 1))
        return replace(self, left=left, right=right), back.ravel()

    def take(self, rows: np.ndarray) -> EncodedPairs:
        """Some of the pairs."""
        return replace(self, left=self.left[rows], right=self.right[rows])

    def swapped(self) -> EncodedPairs:
        """The same pairs with their sides exchanged."""
        return replace(self, left=self.right, right=self.left)


class PairTokeniser:
    """Builds what `tokenizer(left, right, truncation="longest_first", padding=True)` gives, without tokenising twice.

    Special tokens and token types are read off a probe pair, so any encoder with the form
    [specials] left [specials] right [specials] works: BERT, DistilBERT, RoBERTa, MPNet, DeBERTa, ModernBERT ...
    `token_types` says whether the encoder has token type embeddings that tell the two sides apart.
    """

    def __init__(self, tokenizer: Any, max_length: int, token_types: bool) -> None:
        probe = tokenizer("a", "a", return_special_tokens_mask=True, return_token_type_ids=True)
        special = np.array(probe["special_tokens_mask"], dtype=bool)
        ids, types = np.array(probe["input_ids"]), np.array(probe["token_type_ids"])
        runs = np.split(np.arange(len(ids)), np.flatnonzero(np.diff(special)) + 1)
        if len(runs) != 5 or not special[0]:
            raise ValueError(
                f"{type(tokenizer).__name__} does not write a pair as specials, left, specials, right, specials"
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._specials = ids[special]
        self._head, self._middle, self._tail = (len(run) for run in runs[::2])
        self._types = types[[run[0] for run in runs]]
        self._with_types = token_types
        self._room = max_length - len(self._specials)
        self._kept: dict[str, np.ndarray] = {}  # the least recently used first
        self._lock = threading.Lock()

    def encode(self, left: Iterable[str], right: Iterable[str]) -> EncodedPairs:
        """Token ids of every distinct text in full, without special tokens. Both sides must be equally long.

        Texts met in recent calls are not tokenised again.
        """
        codes, texts = factorize([*left, *right])
        if (codes < 0).any():
            raise ValueError("a record is None or NaN; records are text, and one without any value is the empty text")
        tokens = self._tokens(texts.tolist())
        length = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        ids = np.concatenate([self._specials, *tokens], dtype=np.int64)
        start = len(self._specials) + np.cumsum(length) - length
        return EncodedPairs(ids, start, length, *np.split(codes.astype(np.int64), 2))

    def _tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of distinct texts, int32; of those in memory the least recently used make room."""
        with self._lock:
            found = [self._kept.pop(text, None) for text in texts]
            unmet = [text for text, ids in zip(texts, found, strict=True) if ids is None]
            fresh = iter(self._tokenise(unmet) if unmet else ())
            tokens = [next(fresh) if ids is None else ids for ids in found]
            self._kept.update(zip(texts, tokens, strict=True))
            for text in list(islice(self._kept, max(0, len(self._kept) - KEPT))):
                del self._kept[text]
        return tokens

    def _tokenise(self, texts: list[str]) -> list[np.ndarray]:
        made = self.tokenizer(
            texts,
            add_special_tokens=False,
            verbose=False,  # long texts are cut when a pair is put together
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return [np.array(ids, dtype=np.int32) for ids in made["input_ids"]]

    def lengths(self, pairs: EncodedPairs) -> np.ndarray:
        """Tokens of each pair once put together, special tokens included."""
        a, b = self._cut(pairs.length[pairs.left], pairs.length[pairs.right])
        return a + b + len(self._specials)

    def arrays(self, pairs: EncodedPairs, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Encoder input, int64 of shape (rows, longest pair): ids, attention mask and, where used, token types."""
        left, right = pairs.left[rows], pairs.right[rows]
        a, b = self._cut(pairs.length[left], pairs.length[right])
        nothing = np.zeros_like(a)
        # The five pieces of each pair: where they begin in `pairs.ids`, and how many tokens they have.
        source = np.stack(
            [nothing, pairs.start[left], nothing + self._head, pairs.start[right], nothing + self._head + self._middle],
            axis=1,
        )
        size = np.stack([nothing + self._head, a, nothing + self._middle, b, nothing + self._tail], axis=1)
        total = size.sum(axis=1)
        width = int(total.max())
        flat_size = size.ravel()
        begin = np.cumsum(flat_size) - flat_size
        position = np.arange(int(flat_size.sum()))
        mask = np.arange(width) < total[:, None]
        ids = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        ids[mask] = pairs.ids[position + np.repeat(source.ravel() - begin, flat_size)]
        made = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if self._with_types:
            made["token_type_ids"] = np.zeros(mask.shape, dtype=np.int64)
            made["token_type_ids"][mask] = np.repeat(np.tile(self._types, len(rows)), flat_size)
        return made

    def batch(self, pairs: EncodedPairs, rows: np.ndarray) -> Mapping[str, torch.Tensor]:
        """`arrays` as tensors, for training."""
        import torch

        return {name: torch.from_numpy(array) for name, array in self.arrays(pairs, rows).items()}

    def _cut(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths after taking tokens from the longer side first until the pair fits, as `longest_first` does."""
        short, long = np.minimum(a, b), np.maximum(a, b)
        long = np.minimum(long, np.maximum(short, self._room - short))
        fits = short + long <= self._room
        short, long = np.where(fits, short, self._room // 2), np.where(fits, long, self._room - self._room // 2)
        return np.where(a <= b, short, long), np.where(a <= b, long, short)
