"""Company names, parsed: what is the name, what is the legal form, what tells group members apart, what is noise around it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from em_core.text.designators import country_of, cut_branch, cut_designators
from em_core.text.distinct import over_distinct_rows
from em_core.text.fold import fold, over_distinct, tidy
from em_core.text.knowledge import EVERYWHERE, LegalForm, forms_by_first_word, forms_by_last_word, legal_forms
from em_core.text.securities import cut_security, share_class

# Tails that name another party or an earlier name; what stands before them is the name.
_RELATIONS = {
    "formerly known as": "formerly", "formerly": "formerly", "f/k/a": "formerly", "fka": "formerly", "previously": "formerly",
    "ehemals": "formerly",
    "vormals": "formerly", "anciennement": "formerly", "d/b/a": "trading_as", "d.b.a.": "trading_as", "dba": "trading_as",
    "t/a": "trading_as",
    "trading as": "trading_as", "doing business as": "trading_as", "a/k/a": "also", "aka": "also", "also known as": "also",
    "c/o": "care_of",
}  # fmt: skip
_TAIL = re.compile(
    r"(?:^|[\s,(;-])("
    + "|".join(re.escape(w) for w in sorted(_RELATIONS, key=len, reverse=True))
    + r"|d\.b\.a)(?:[\s:.]+|$)",
    re.IGNORECASE,
)
_MAY_HAVE_TAIL = re.compile(
    r"/|\.b\.|dba|fka|aka|ormerly|eviously|hemals|ormals|nciennement|rading as|oing b|known as", re.IGNORECASE
)
# The state of incorporation as SEC registrants carry it: BANK OF AMERICA CORP /DE/.
_SEC_STATE = re.compile(
    r"(?<![Ss][Aa])\s*/(?:A[LKZR]|C[AOT]|DE|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[TA]|W[AVIY]|NEW|CAN|BC|ON|ADR|FI)/?\s*$"
)
_BRACKETS = re.compile(r"\(([^()]*)\)")
_LEADING_FORMS = frozenset(
    "pt ooo oao pao zao tov prat too uab stichting jsc pjsc ojsc cjsc fundacion fundacao fondation odo eood ood jusik yuhan cong "
    "ctcp".split()
)
# Letters that also begin names: a form only where none stands at the end.
_LONE_LEADING_FORMS = frozenset("ab as ou oy kb ky gie sarl sas snc ao nao pat vat zat ip kk yk gk sia cv llc".split())
_SMALL_WORDS = frozenset(
    "and of the for de du des der die das la le el di del della von van y e et und en in plus".split()
)


# Letters of a list of twelve alpha-2 codes: a form of more countries says little.
_NARROW = 12 * 3 - 1


class ParsedName(NamedTuple):
    """One parsed name; every text is folded (lower-case ASCII words) unless said otherwise.

    `full`: all words. `core`: without legal form, designators, security description, other names and a leading "the"; empty only if no
    script's letter or digit is in the name. `form`, `kind`: code and class of the outermost legal form. `jurisdictions`: alpha-2 codes
    (sorted, blank-joined) of the countries that know the form, empty if unknown or nearly everywhere. `designators`: sorted codes, see
    `em_core.text.designators`. `security`: the description that was cut off. `also`: (relation, name as written) of other names inside the
    text. `acronym`: initials of a core of several words. `script`: ISO 15924 code of most letters, `Zyyy` without letters.
    """

    full: str
    core: str
    form: str
    kind: str
    jurisdictions: str
    designators: str
    security: str
    also: tuple[tuple[str, str], ...]
    acronym: str
    script: str


NO_NAME = ParsedName("", "", "", "", "", "", "", (), "", "Zyyy")
_NO_FORM = LegalForm("", "", "")
# Form -> words that may follow it inside a name, before what the law wants said of owners or trade.
_PURPOSE = {"sas": ("di",), "snc": ("di",), "doo": ("za",), "dd": ("za",)}
# Country units by one letter before the form: Genting (M) Sdn Bhd.
_COUNTRY_LETTERS = {("sdnbhd", "m"): "MY", ("sdnbhd", "b"): "BN", ("pteltd", "s"): "SG", ("pvtltd", "i"): "IN"}


def _cut_form(words: list[str]) -> tuple[list[str], LegalForm | None]:
    """Words without the legal form at the end, the longest that fits; never to nothing."""
    lengths = forms_by_last_word().get(words[-1])
    if lengths is not None:
        table, count = legal_forms(), len(words)
        for length in lengths:
            if length < count:
                form = table.get(words[-1] if length == 1 else " ".join(words[-length:]))
                if form is not None and words[:-length] != ["the"]:
                    return words[:-length], form
    return words, None


def _cut_purpose(words: list[str]) -> list[str]:
    """Words up to a form that owners or a purpose follow: Rossi S.A.S. [di Mario Rossi & C.], Adria d.o.o. [za trgovinu]."""
    for at in range(1, len(words) - 2):
        if words[at + 1] in _PURPOSE.get(words[at], ()):
            return words[: at + 1]
    return words


def _cut_branch_place(words: list[str]) -> tuple[list[str], LegalForm | None]:
    """A branch's place behind the form goes with the form: Deutsche Bank AG London [Branch]."""
    for length in (1, 2):
        if len(words) > length + 1:
            rest, form = _cut_form(words[:-length])
            if form is not None:
                return rest, form
    return words, None


def _cut_leading_form(words: list[str], alone: bool) -> tuple[list[str], LegalForm | None]:
    """Words without a legal form at the beginning. `alone`: no form was found at the end."""
    lengths = forms_by_first_word().get(words[0])
    if lengths is not None:
        table, count = legal_forms(), len(words)
        for length in lengths:
            if length < count and (length > 2 or words[0] in _LEADING_FORMS or (alone and words[0] in _LONE_LEADING_FORMS) or
                                   words[:2] == ["co", "ltd"]):  # fmt: skip
                form = table.get(" ".join(words[:length]))
                if form is not None:
                    return words[length:], form
    return words, None


def _split_tails(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(name, other names): text before the first `dba`, `formerly` ... and what follows each of them."""
    if _MAY_HAVE_TAIL.search(name) is None:
        return name, ()
    found = list(_TAIL.finditer(name))
    if not found or not fold(name[: found[0].start()]):
        return name, ()
    ends = [tail.start() for tail in found[1:]] + [len(name)]
    also = []
    for tail, end in zip(found, ends, strict=True):
        other = name[tail.end() : end].strip(" ,;:-")
        other = other.rstrip(")").strip() if other.count(")") > other.count("(") else other
        key = tail.group(1).lower()
        if other:
            also.append((_RELATIONS.get(key, "trading_as"), other))
    return name[: found[0].start()], tuple(also)


def _bracketed(name: str) -> tuple[str, list[str]]:
    """(name, codes): brackets that hold a designator or nothing of the name are taken out; all others stay in place."""
    codes: list[str] = []

    def replace(match: re.Match[str]) -> str:
        words = fold(match.group(1)).split()
        if not words or words == ["the"]:
            return " "
        country = country_of(words)
        if country:
            codes.append(f"country:{country}")
            return " "
        rest, found = cut_designators(["x", *words], bracketed=True)
        if rest == ["x"]:
            codes.extend(found)
            return " "
        return match.group()

    replaced = _BRACKETS.sub(replace, name)
    # A name that stands in brackets as a whole keeps what it has.
    return (replaced, codes) if fold(replaced) else (name, [])


def script_of(text: str) -> str:
    """ISO 15924 code of the script of most letters: `Jpan` where kana is mixed in, `Zyyy` without letters."""
    counts: dict[str, int] = {}
    for character in text:
        if character.isalpha():
            block = unicodedata.name(character, "").split(" ", 1)[0]
            script = _SCRIPTS.get(block, "Latn" if block in ("FULLWIDTH", "FEMININE", "MASCULINE") else "Zzzz")
            counts[script] = counts.get(script, 0) + 1
    if not counts:
        return "Zyyy"
    if "Jpan" in counts:
        return "Jpan"
    return max(sorted(counts), key=counts.__getitem__)


_SCRIPTS = {
    "LATIN": "Latn", "GREEK": "Grek", "CYRILLIC": "Cyrl", "HEBREW": "Hebr", "ARABIC": "Arab", "CJK": "Hani", "HIRAGANA": "Jpan",
    "KATAKANA": "Jpan",
    "KATAKANA-HIRAGANA": "Jpan", "HALFWIDTH": "Jpan", "HANGUL": "Hang", "THAI": "Thai", "DEVANAGARI": "Deva", "BENGALI": "Beng",
    "TAMIL": "Taml",
    "TELUGU": "Telu", "GEORGIAN": "Geor", "ARMENIAN": "Armn", "KHMER": "Khmr", "LAO": "Laoo", "MYANMAR": "Mymr", "ETHIOPIC": "Ethi",
    "GUJARATI": "Gujr",
    "SINHALA": "Sinh", "KANNADA": "Knda", "MALAYALAM": "Mlym", "GURMUKHI": "Guru", "MONGOLIAN": "Mong", "TIBETAN": "Tibt",
}  # fmt: skip


def acronym(core: str) -> str:
    """Initials of the words that carry meaning; empty for fewer than two."""
    words = core.split()
    initials = [word[0] for word in words if word not in _SMALL_WORDS]
    return "".join(initials) if len(initials) > 1 else ""


class InitialForms(NamedTuple):
    """Ways to write a name of several words by initials, each "" where there is none."""

    plain: str
    """of the words that carry meaning"""
    every: str
    """of all words: Aeroports de Paris, ADP"""
    group: str
    """with Group or Holding: Vienna Insurance Group, VIG"""
    company: str
    """with Company or Corporation: Great Wall Motor Co., GWMC"""


def initial_forms(core: str, designators: str) -> InitialForms:
    """How a core of several words may be shortened to initials; all empty for a core of one word."""
    plain = acronym(core)
    if not plain:
        return InitialForms("", "", "", "")
    tail = "".join(code[0] for code in designators.split() if code in ("group", "holding"))
    every = "".join(word[0] for word in core.split())
    return InitialForms(plain, every, plain + tail if tail else "", plain + "c")


def initial_columns(names: pd.DataFrame) -> list[np.ndarray]:
    """(n,) texts for each of `InitialForms`, of parsed names (columns `core` and `designators`)."""
    forms = over_distinct_rows((names["core"], names["designators"]), initial_forms)
    return [np.array([form[i] for form in forms], dtype=object) for i in range(len(InitialForms._fields))]


def parse_name(name: str) -> ParsedName:
    """Parse one name. Never raises; text without a letter or digit gives empty texts."""
    name = tidy(name)
    full = fold(name)
    if not full:
        return NO_NAME
    head, also = _split_tails(name)
    if "/" in head:
        head = _SEC_STATE.sub("", head) or head
    head, branch = cut_branch(head)
    codes = ["branch"] if branch else []
    if "(" in head:
        head, bracketed = _bracketed(head)
        codes += bracketed
    words = (fold(head) if head is not name else full).split() or full.split()
    if words[-1] == "the" and len(words) > 2:
        words = words[:-1]
    words, security = cut_security(_cut_purpose(words))
    letter = share_class(security)
    if letter:
        codes.append(f"class:{letter}")
    form, searching = _NO_FORM, True
    while searching and len(words) > 1:
        words, found = cut_designators(words)
        codes += found
        words, tail = _cut_form(words) if len(words) > 1 else (words, None)
        if tail is None and "branch" in found:
            words, tail = _cut_branch_place(words)
        if tail is not None:
            form = form if form.form else tail
            words = words[:-1] if words[-1] == "and" and len(words) > 1 else words
            unit = _COUNTRY_LETTERS.get((tail.form, words[-1]))
            if unit is not None and len(words) > 1:
                words = words[:-1]
                codes.append(f"country:{unit}")
        searching = tail is not None
    if len(words) > 1:
        words, front = _cut_leading_form(words, not form.form)
        if front is None and words[0] == "oy" and form.form == "ab":  # Finland's two languages around one name
            words, front, form = words[1:], form, legal_forms()["oy"]
        if front is not None:
            form = form if form.form else front
            words, found = cut_designators(words)
            codes += found
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    core = " ".join(words)
    narrow = "" if form.countries == EVERYWHERE or len(form.countries) > _NARROW else form.countries
    return ParsedName(
        full, core, form.form, form.kind, narrow, " ".join(sorted(set(codes))), " ".join(security), also, acronym(core),
        "Latn" if name.isascii() and any(map(str.isalpha, name)) else script_of(name),
    )  # fmt: skip


def parse_names(names: Iterable[object]) -> pd.DataFrame:
    """One row for each name, columns as in `ParsedName`; a missing name gives a row of empty texts."""
    parsed = over_distinct(names, parse_name, NO_NAME)
    columns = list(zip(*parsed, strict=True)) if len(parsed) else [()] * len(ParsedName._fields)
    return pd.DataFrame({field: _objects(column) for field, column in zip(ParsedName._fields, columns, strict=True)})


def _objects(values: tuple[object, ...]) -> np.ndarray:
    """(n,) objects; tuples stay one value each."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
