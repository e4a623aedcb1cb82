"""Random numbers that depend on a seed and a key alone, never on what was drawn before.

A record's stream is the SplitMix64 generator (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014)
started from a BLAKE2b digest of (seed, key), so that rows may come in any order, in parts, or alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def key_hash(seed: int, key: str) -> int:
    """64 bits out of a seed and a text, the same on every machine and Python version."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=str(seed).encode()[:64])
    return int.from_bytes(digest.digest(), "little")


@cache
def _label_hash(label: str) -> int:
    return key_hash(0, label)


class Mix(Generic[T]):
    """Values with weights (any positive scale), prepared once and drawn often."""

    __slots__ = ("_cumulative", "choices")

    def __init__(self, weights: Mapping[T, float]) -> None:
        self.choices = tuple(value for value, weight in weights.items() if weight > 0)
        self._cumulative = list(accumulate(weight for weight in weights.values() if weight > 0))
        if not self.choices:
            raise ValueError("a mix needs one positive weight")

    def draw(self, dice: Dice) -> T:
        """One value, with probability proportional to its weight."""
        position = bisect_right(self._cumulative, dice.uniform() * self._cumulative[-1])
        return self.choices[min(position, len(self.choices) - 1)]


class Dice:
    """One stream of random numbers. `fork` gives an independent stream for a named purpose."""

    __slots__ = ("_origin", "_state")

    def __init__(self, state: int) -> None:
        self._origin = self._state = state & _MASK

    @classmethod
    def of(cls, seed: int, key: str) -> Dice:
        """The stream of one record."""
        return cls(key_hash(seed, key))

    def fork(self, label: str) -> Dice:
        """A stream of its own for `label`, whatever was drawn from this one."""
        return Dice(Dice(self._origin ^ _label_hash(label))._next())

    def _next(self) -> int:
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return state ^ (state >> 31)

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return (self._next() >> 11) * (1.0 / (1 << 53))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def below(self, bound: int) -> int:
        """A whole number in [0, bound)."""
        return (self._next() * bound) >> 64

    def pick(self, values: Sequence[T]) -> T:
        """One value, all equally likely."""
        return values[self.below(len(values))]

    def pick_early(self, values: Sequence[T]) -> T:
        """One value, the earlier the likelier (each half as likely as the one before)."""
        for value in values[:-1]:
            if self.chance(0.5):
                return value
        return values[-1]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """All values in random order (Fisher-Yates)."""
        out = list(values)
        for position in range(len(out) - 1, 0, -1):
            other = self.below(position + 1)
            out[position], out[other] = out[other], out[position]
        return out
