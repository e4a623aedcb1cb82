"""Repair: the one known identifier that a damaged one can come from."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator

import numpy as np

from em_core.text.identifiers import State, check_identifier, compact_identifier

_ALPHANUMERIC = string.digits + string.ascii_uppercase
_CONSONANTS = "".join(c for c in _ALPHANUMERIC if c not in "AEIOU")
# Kind -> length and alphabet of the normal form; only check digits make a repair safe.
_FORMS = {
    "lei": (20, _ALPHANUMERIC),
    "isin": (12, _ALPHANUMERIC),
    "cusip": (9, _ALPHANUMERIC + "*@#"),
    "sedol": (7, _CONSONANTS),
    "figi": (12, _CONSONANTS),
}


def one_edit_repair(kind: str, value: str, known: Callable[[np.ndarray], np.ndarray]) -> str | None:
    """The only known identifier that is one edit from the invalid `value` and passes its own check, or None.

    An edit is a substituted (look-alikes such as O and 0 included), lost or added character or a swap of neighbours.
    `known` says of (m,) normal forms, as `check_identifier` gives them, which are known. None also for two or more candidates, which
    make a guess, and for kinds without check digits.
    """
    if kind not in _FORMS:
        return None
    length, alphabet = _FORMS[kind]
    edits = np.array(sorted(set(_edits(compact_identifier(kind, value), length, alphabet))), dtype=object)
    there = edits[known(edits)] if len(edits) else edits
    repaired = [str(candidate) for candidate in there if check_identifier(kind, candidate) == (candidate, State.VALID)]
    return repaired[0] if len(repaired) == 1 else None


def _edits(text: str, length: int, alphabet: str) -> Iterator[str]:
    """Texts of `length` at one edit; none if `text` is more than one character too long or too short."""
    if len(text) == length:
        for i, old in enumerate(text):
            yield from (text[:i] + new + text[i + 1 :] for new in alphabet if new != old)
        swaps = (i for i in range(length - 1) if text[i] != text[i + 1])
        yield from (text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in swaps)
    elif len(text) == length + 1:
        yield from (text[:i] + text[i + 1 :] for i in range(len(text)))
    elif len(text) == length - 1:
        yield from (text[:i] + new + text[i:] for i in range(length) for new in alphabet)
