"""Company names: what is the name, what is the legal form, what is noise around it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from em_core.text.fold import fold, over_distinct
from em_core.text.knowledge import LegalForm, legal_forms, longest_form

# Tails that name another party or an earlier name; what stands before them is the name.
_TAIL = re.compile(
    r"(?:^|[\s,(;-])(?:d/b/a|d\.b\.a\.?|dba|t/a|trading as|c/o|f/k/a|fka|formerly(?: known as)?|a/k/a|also known as)(?:[\s:]|$)",
    re.IGNORECASE,
)
# Words of security descriptions: share class, par value, depositary receipt. They count only as a run at the end.
_SECURITY = frozenset(
    "ord ords ordinary shs sh share shares inh on adr adrs ads gdr cl class pref pfd prf preferred dl eo ls yc sf hd rc npv par reg "
    "registered namens aktien sponsored spons unsp unsponsored unit units warrant warrants wts wt depositary receipt receipts "
    "common stock com ser series rts right rights cdi dr vtg sub".split()
)
_PAR_VALUE = re.compile(r"(?:usd|gbp|gbx|eur|hkd|aud|cad|chf|sek|nok|dkk|jpy|zar|inr|rmb|cny|sgd|myr|thb|nt|p)?\d+p?$")
_LEADING_FORMS = frozenset("pt ooo oao pao zao tov pat prat too uab kk yk gk".split())


class ParsedName(NamedTuple):
    """`full`: all folded words. `core`: without legal form, security description and tail. `form`, `kind`: see `LegalForm`."""

    full: str
    core: str
    form: str
    kind: str


_NO_FORM = LegalForm("", "")


def _without_security(words: list[str]) -> list[str]:
    """Words without a run of security description at the end; never to nothing."""
    cut = len(words)
    position = cut
    while position > 1:
        word = words[position - 1]
        if word in _SECURITY:
            cut = position - 1
        elif not (len(word) == 1 or _PAR_VALUE.match(word)):
            break
        position -= 1
    return words[:cut]


def _without_form(words: list[str]) -> tuple[list[str], LegalForm]:
    """Words without the legal forms at either end, and the outermost form; never to nothing."""
    table, found = legal_forms(), _NO_FORM
    stripped = True
    while stripped and len(words) > 1:
        stripped = False
        for length in range(min(longest_form(), len(words) - 1), 0, -1):
            tail = table.get(" ".join(words[-length:]))
            if tail is not None:
                words, stripped = words[:-length], True
                found = found if found.form else tail
                break
    for length in range(min(longest_form(), len(words) - 1), 0, -1):
        spelling = " ".join(words[:length])
        if (length > 2 or spelling in _LEADING_FORMS or spelling == "co ltd") and spelling in table:
            return words[length:], found if found.form else table[spelling]
    return words, found


def parse_name(name: str) -> ParsedName:
    """Parse one name. `core` is empty only if no script's letter or digit is in `name`."""
    full = fold(name)
    tail = _TAIL.search(name)
    head = fold(name[: tail.start()]) if tail else full
    words = (head or full).split()
    bare, form = _without_form(_without_security(words))
    if len(bare) > 1 and bare[0] == "the":
        bare = bare[1:]
    return ParsedName(full, " ".join(bare), form.form, form.kind)


def parse_names(names: Iterable[object]) -> pd.DataFrame:
    """Columns `full`, `core`, `form`, `kind`, one row for each name; a missing name gives four empty texts."""
    parsed = over_distinct(names, parse_name, ParsedName("", "", "", ""))
    return pd.DataFrame.from_records(list(parsed), columns=ParsedName._fields)
