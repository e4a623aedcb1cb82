"""Security descriptions at the end of a name: share class, par value, depositary receipt. They name a security, not a firm."""

from __future__ import annotations

import re
from functools import lru_cache

# Words that are next to never the last word of a company's own name.
_STRONG = frozenset(
    "ord ords adr adrs gdr gdrs cdi drn pdrn npv fpo inh pfd prf pref prefd vzo vorz stk stammaktien vorzugsaktien namensaktien "
    "inhaberaktien "
    "namens sponsored unsponsored uns unsp unspons vtg shs wts wrt cufs "
    "warrant warrants debenture debentures preferred ordinary nom pn pna pnb pnc pnd unt dep depositary nvdr incdrn ltddrn".split()
)
# Words that belong to a description beside a strong one, or to a name.
_WEAK = frozenset(
    "share shares sh st on om o n na nam cl class com common reg registered unit units uts rights right rts rt receipt receipts series ser "
    "serie stock sub stapled bearer port akt aktien actions azioni acciones aandelen var fria s rc new each rep repr repstg "
    "representing pn "
    "nm n1 n2 n3 each pp par value non voting nv sv mv rvg sp spon ads di cert certs part "
    "att regd regs no yc h nzx asx beneficial interest of american depository ej eb ed".split()
)
_CURRENCY = frozenset("dl eo ls yc sf hd sk nk dk sd rp rc ad cd ic zy is ny ft ra yn us dm ff tk ba".split())
_MONEY = re.compile(
    r"(?:usd|gbp|gbx|eur|hkd|aud|cad|chf|sek|nok|dkk|jpy|zar|inr|rmb|cny|sgd|myr|thb|ntd|nt|dl|eo|ls|yc|sf|hd|sk|nk|hkd|rl|rp|a|c|p)\d+p?$|(?:adr|gdr)s?\d\w*$"
)
_NUMBER = re.compile(r"\d+p?$")
# Brazilian receipts glued to a form, Australian hybrids (NYR3QUT), Korean preferred shares (1P, 2PB).
_GLUED = re.compile(r"(?:co|inc|ltd|corp|plc|sa|nv|hldgs?|gr(?:ou)?p)drn$|[a-z]{2,4}\d{0,2}qut$|[1-9]pb?$")
_CLASS_WORDS = frozenset(("cl", "class", "klasse", "classe", "clase", "ser", "series", "serie"))
# Together they are a description though each alone may end a name.
_PHRASES = frozenset(
    ("common stock", "common shares", "com stk", "reg shs", "reg shares", "registered shares", "registered shs", "reg s", "na on", "o n",
     "inh on", "st on", "stock units", "capital stock", "cap stk", "shares of", "shs of", "american depositary", "american depository",
     "depository shares", "depository receipts", "depository receipt", "on nm", "on n1", "on n2", "on ej", "on eb", "on ed",
     "registered share")
)  # fmt: skip


_AFTER_FORM = frozenset("com shares stk on na vz gen a b c d n new cr unit units right rights reit".split())
# After these a word such as `com` or `on` belongs to no name.
_FORM_ENDS = frozenset(
    "inc corp plc ltd limited co sa ag nv bv se spa ab asa as oyj lp llc kgaa bancorp bancshares trust reit group hldgs holdings".split()
)


_NUMERALS = frozenset("i ii iii iv v vi vii viii ix x".split())
# Before a proven description these belong to it: INTL [A] DL 001.
_BEFORE = frozenset("cl class reg regd regs sp spon na nam new sh st ser var un uns unsp uts stapled stapl".split())
# These only where two words of the name are left.
_BEFORE_TWO = frozenset("a b c d h n on".split())
_MAY_END = _STRONG | _WEAK | _CURRENCY | _AFTER_FORM | {"ads"}


@lru_cache(maxsize=262144)
def _may_end(word: str) -> bool:
    """False for a word that cannot be the last one of a security description: the usual case, worth one look-up."""
    return (
        word in _MAY_END
        or len(word) == 1
        or any(character.isdigit() for character in word)
        or _GLUED.match(word) is not None
    )


def _proves(words: list[str], position: int) -> bool:
    """The word at `position`, with the one behind it, can only describe a security."""
    word, last = words[position], position == len(words) - 1
    after = "" if last else words[position + 1]
    return (
        word in _STRONG
        or (len(word) > 2 and _MONEY.match(word) is not None)
        or (last and _GLUED.match(word) is not None)
        or (word in _CURRENCY and _NUMBER.match(after) is not None)
        or (word in ("cl", "class", "ser") and len(after) == 1 and after.isalpha())
        or f"{word} {after}" in _PHRASES
        or (word in ("ads", "on") and position > 1 and (last or word == "ads"))
        or (word in _AFTER_FORM and last and _behind_form(words, position))
    )


def _behind_form(words: list[str], position: int) -> bool:
    """A legal form stands before `position`, with or without a number: Corp. II Unit."""
    if position > 2 and words[position - 1] in _NUMERALS:
        position -= 1
    return position > 1 and words[position - 1] in _FORM_ENDS


def cut_security(words: list[str]) -> tuple[list[str], list[str]]:
    """(name, description): the longest run at the end that describes a security; the name is never empty.

    A run counts only with proof in it: a word that no company ends on, a par value, a letter after `class`, or a known phrase.
    """
    if len(words) < 2 or not _may_end(words[-1]):
        return words, []
    start = _start_of_description(words)
    while start < len(words) and (more := _start_of_description(words[:start])) < start:
        start = more
    return words[:start], words[start:]


def _start_of_description(words: list[str]) -> int:
    start = len(words)
    for position in range(len(words) - 1, 0, -1):
        word = words[position]
        if _proves(words, position):
            start = position
        elif not (word in _WEAK or word in _CURRENCY or _NUMBER.match(word) or len(word) == 1):
            break
    if start < len(words):
        while start > 1 and (
            words[start - 1] in _BEFORE
            or (words[start - 1] in _BEFORE_TWO and start > 2)
            or (words[start - 1] in _AFTER_FORM and _behind_form(words, start - 1))
        ):
            start -= 1
    return start


def share_class(description: list[str]) -> str:
    """The class letter of a description (`cl a` -> `a`), empty without one. `b shares` and a single letter before a par value count."""
    for position, word in enumerate(description):
        after = description[position + 1] if position + 1 < len(description) else ""
        if word in _CLASS_WORDS and len(after) == 1 and after.isalpha():
            return after
    if description and len(description[0]) == 1 and description[0] in "abcd":
        return description[0]
    return ""
