"""Do two legal forms exclude each other? Rio Tinto plc and Rio Tinto Ltd are two firms; OOO Romashka and Romashka LLC are one."""

from __future__ import annotations

from functools import lru_cache

from em_core.text.knowledge import EVERYWHERE, form_details

# Sets of forms that are written for one another: loose English words, one form in a country's several languages, usual translations.
_FAMILIES = (
    frozenset(("inc", "corp", "co")),
    frozenset(("inc", "ltd", "ltee")), frozenset(("corp", "ltd", "ltee")), frozenset(("co", "ltd")),
    frozenset(("coltd", "ltd", "co", "inc", "corp", "jsc")),
    frozenset(("pvtltd", "pteltd")),
    frozenset(("ptyltd", "ltd")), frozenset(("pteltd", "ltd")),
    frozenset(("ag", "sa", "se")), frozenset(("gmbh", "sarl", "sagl")),  # Switzerland's languages, the European company
    frozenset(("nv", "sa")), frozenset(("bv", "srl", "sprl")), frozenset(("cvba", "scrl")),  # Belgium's languages
    frozenset(("oy", "ab")), frozenset(("ae", "sa")), frozenset(("epe", "ltd")),
    frozenset(("pao", "pjsc", "oao", "ojsc")), frozenset(("zao", "cjsc", "ao", "jsc")), frozenset(("ao", "pao", "oao", "zao", "jsc",
    "ojsc", "pjsc")),
    frozenset(("ad", "jsc")), frozenset(("tbk", "pt")), frozenset(("pcl", "plc")), frozenset(("kscp", "qpsc", "psc", "pjsc")),
    frozenset(("ltda", "lda", "ltd")), frozenset(("sas", "sasu")),
    frozenset(("sacv", "sabcv", "sapacv")), frozenset(("sa", "sacv", "sabcv")),  # Mexico, in full and in short
    frozenset(("sl", "ltda")), frozenset(("sa", "sau")), frozenset(("sa", "saci")), frozenset(("sa", "sac")),
    frozenset(("spa", "spab")), frozenset(("srl", "srlb")), frozenset(("spa", "spacl")), frozenset(("est", "anstalt")),
    frozenset(("llcsa", "llc", "co")),
    frozenset(("oyj", "plc")), frozenset(("oyj", "corp")),  # Finland's own translations
    frozenset(("kgaa", "secokgaa")), frozenset(("kgaa", "agcokgaa")), frozenset(("kgaa", "gmbhcokgaa")),
    # Company and Corporation as last words of a name before its form.
    frozenset(("co", "plc")), frozenset(("co", "asa")), frozenset(("co", "sa")), frozenset(("co", "pcl")), frozenset(("corp", "pcl")),
    frozenset(("corp", "bhd")), frozenset(("coltd", "pcl")),
)  # fmt: skip
# Countries whose firms give themselves an English form beside their own.
_TRANSLATING = frozenset("JP KR CN TW HK MO TH VN RU UA BY KZ GR BG TR ID IL AM GE AZ UZ KG LV LT EE".split())
_ENGLISH = frozenset(("ltd", "coltd", "inc", "corp", "co", "llc", "jsc", "pteltd"))


@lru_cache(maxsize=65536)
def form_agreement(left: str, right: str) -> float:
    """1.0 same form, 0.95 one of them unknown, 0.75 written for one another, 0.0 they exclude each other. Symmetric."""
    if left == right:
        return 1.0
    if not left or not right:
        return 0.95
    if any(left in family and right in family for family in _FAMILIES):
        return 0.75
    table = form_details()
    for english, own in ((left, right), (right, left)):
        details = table.get(own)
        if (
            english in _ENGLISH
            and details is not None
            and details.countries not in ("", EVERYWHERE)
            and set(details.countries.split()) <= _TRANSLATING
            and not _apart(table[english].kind, details.kind, english)
        ):
            return 0.75
    return 0.0


def _apart(english: str, own: str, form: str) -> bool:
    """An English form of one class beside an own form of another; `ltd`, `co` and `corp` translate either class."""
    return form in ("llc", "jsc") and own not in ("", english)
