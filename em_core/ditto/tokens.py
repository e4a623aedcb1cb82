"""Token ids: each distinct text is tokenised once, then pairs are put together with array operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import torch


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

    def encode(self, left: Iterable[str], right: Iterable[str]) -> EncodedPairs:
        """Token ids of every distinct text in full, without special tokens. Both sides must be equally long."""
        codes, texts = pd.factorize(np.array([*left, *right], dtype=object))
        if (codes < 0).any():
            raise ValueError("a record is None or NaN; records are text, and one without any value is the empty text")
        lists: list[list[int]] = []
        if len(texts):
            lists = self.tokenizer(
                list(texts),
                add_special_tokens=False,
                verbose=False,  # long texts are cut when a pair is put together
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]
        length = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        ids = np.fromiter(chain(self._specials, chain.from_iterable(lists)), dtype=np.int64)
        start = len(self._specials) + np.cumsum(length) - length
        return EncodedPairs(ids, start, length, *np.split(codes.astype(np.int64), 2))

    def lengths(self, pairs: EncodedPairs) -> np.ndarray:
        """Tokens of each pair once put together, special tokens included."""
        a, b = self._cut(pairs.length[pairs.left], pairs.length[pairs.right])
        return a + b + len(self._specials)

    def batch(self, pairs: EncodedPairs, rows: np.ndarray) -> Mapping[str, torch.Tensor]:
        """Encoder input of shape (rows, longest pair): ids, attention mask and, where used, token types."""
        import torch

        left, right = pairs.left[rows], pairs.right[rows]
        a, b = self._cut(pairs.length[left], pairs.length[right])
        position = np.arange((a + b).max() + len(self._specials))
        ids = np.full((len(rows), len(position)), self.tokenizer.pad_token_id, dtype=np.int64)
        types = np.zeros_like(ids)
        parts: tuple[tuple[Any, Any], ...] = (
            (0, self._head),
            (pairs.start[left], a),
            (self._head, self._middle),
            (pairs.start[right], b),
            (self._head + self._middle, self._tail),
        )
        end = np.zeros(len(rows), dtype=np.int64)
        for (source, size), token_type in zip(parts, self._types, strict=True):
            begin, end = end, end + size
            inside = (position >= begin[:, None]) & (position < end[:, None])
            ids[inside] = pairs.ids[(position + (source - begin)[:, None])[inside]]
            types[inside] = token_type
        made = {"input_ids": ids, "attention_mask": (position < end[:, None]).astype(np.int64)}
        if self._with_types:
            made["token_type_ids"] = types
        return {name: torch.from_numpy(array) for name, array in made.items()}

    def _cut(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths after taking tokens from the longer side first until the pair fits, as `longest_first` does."""
        short, long = np.minimum(a, b), np.maximum(a, b)
        long = np.minimum(long, np.maximum(short, self._room - short))
        fits = short + long <= self._room
        short, long = np.where(fits, short, self._room // 2), np.where(fits, long, self._room - self._room // 2)
        return np.where(a <= b, short, long), np.where(a <= b, long, short)
