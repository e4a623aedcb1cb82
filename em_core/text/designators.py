"""Designators: words that tell members of one group apart (holding, branch, country unit, number, fund, series, class).

They are taken off the end of a name, never off its beginning and never to nothing, and kept as sorted codes:
Heineken Holding N.V. and Heineken N.V. share the core and differ in `holding`.
"""

from __future__ import annotations

import re
from functools import cache

from em_core.text.fold import fold
from em_core.text.knowledge import generic_words, read_rows

_HOLDING = frozenset("holding holdings hldg hldgs hdg hdgs holdco hlds hlgs hld hold".split())
_GROUP = frozenset("group grp groupe gruppe grupo gruppo groep gruppen grupp jituan".split())
_BRANCH = frozenset(
    "branch filial filiale succursale sucursal niederlassung zweigniederlassung branches bijkantoor fioktelep".split()
)
_FUND = frozenset("fund funds fonds fondo fundo etf sicav subfund".split())
_ROMAN = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12, "xiii": 13, "xiv": 14, "xv": 15,
"xvi": 16,
          "xvii": 17, "xviii": 18, "xix": 19, "xx": 20}  # fmt: skip
# One letter is a number only behind a word that is counted.
_SHORT_ROMAN = {"i": 1, "v": 5, "x": 10}
_COUNTED = frozenset(
    "fund trust partners capital holdings holding investors series lp portfolio associates ventures equity".split()
)
_NUMBER_WORDS = frozenset(("no", "nr", "number", "nummer", "num"))
_CLASS = frozenset(("class", "klasse", "classe", "clase"))
_SERIES = frozenset(("series", "serie", "serien"))
_STATUS = (
    "in liquidation", "in liquidazione", "en liquidation", "in liqu", "i l", "il", "in abwicklung", "in liquidatie", "w likwidacji",
    "v likvidaci",
    "v likvidacii", "under frivillig likvidation", "i likvidation", "in administration", "in receivership", "vegelszamolas alatt",
    "felszamolas alatt", "en liquidacion", "em liquidacao", "i konkurs", "in insolvenz", "in liq", "v stecaju", "u stecaju",
    "v likvidaciji", "u likvidaciji", "w upadlosci", "w restrukturyzacji", "likvideerimisel", "pankrotis", "in faliment", "in lichidare",
    "under konkurs", "under tvangsoplosning", "konkurssissa", "selvitystilassa",
)  # fmt: skip
_BRANCH_PHRASES = (
    "organizacna zlozka", "organizacni slozka", "odstepny zavod", "oddzial w polsce", "magyarorszagi fioktelepe", "fioktelepe",
    "suomen sivuliike", "sivuliike", "sucursal en espana", "sucursal em portugal", "istanbul merkez subesi", "turkiye subesi", "subesi",
    "podruznica", "norsk avdeling", "klon balgariya", "klon bulgaria",
)  # fmt: skip
_PHRASES = dict.fromkeys(_STATUS, "liquidation") | dict.fromkeys(_BRANCH_PHRASES, "branch")
# Last word -> lengths of the phrases that end on it, the longest first.
_PHRASE_LENGTHS = {
    last: sorted({len(p.split()) for p in _PHRASES if p.split()[-1] == last}, reverse=True)
    for last in {phrase.split()[-1] for phrase in _PHRASES}
}
_SHORT_COUNTRIES = {"uk": "GB", "gb": "GB", "usa": "US", "us": "US", "uae": "AE", "hk": "HK", "nz": "NZ", "prc": "CN",
                    "bvi": "VG", "cayman": "KY", "difc": "AE", "adgm": "AE", "hongkong": "HK"}  # fmt: skip
# Countries in brackets only: elsewhere the word is part of another name.
_BRACKETED_COUNTRIES = {"jersey": "JE", "lux": "LU", "eu": "EU"}
_MORE_COUNTRIES = {
    "england": "GB", "scotland": "GB", "great britain": "GB", "united states of america": "US", "holland": "NL", "nederland": "NL",
    "schweiz": "CH",
    "suisse": "CH", "svizzera": "CH", "belgie": "BE", "belgique": "BE", "brasil": "BR", "espana": "ES", "italia": "IT", "france": "FR",
    "deutschland": "DE", "osterreich": "AT", "polska": "PL", "portugal": "PT", "sverige": "SE", "danmark": "DK", "norge": "NO",
    "suomi": "FI",
    "hong kong": "HK", "singapore": "SG", "china": "CN", "taiwan": "TW", "south korea": "KR", "korea": "KR", "russia": "RU",
    "czech republic": "CZ",
    "macau": "MO", "viet nam": "VN", "vietnam": "VN", "luxembourg": "LU", "indonesia": "ID", "philippines": "PH",
}  # fmt: skip
_NOT_COUNTRIES = frozenset("georgia jersey jordan chad guinea mali niger turkey cuba peru oman america".split())
_LINKS = frozenset("of de du des da do di della von van and the la for in et und y".split())
# Country names on their own make these words a name: Air India, Bank China.
_LONG_COUNTRIES = frozenset(
    ("hong kong", "united kingdom", "united states", "new zealand", "south africa", "saudi arabia", "south korea", "czech republic",
    "great britain",
     "united arab emirates", "sri lanka", "costa rica", "puerto rico", "cayman islands", "united states of america")
)  # fmt: skip
_NATIONAL = generic_words() | frozenset(
    "air bank bancorp oil steel coal power gas rail railways post telecom airlines airways insurance re energy petroleum cement "
    "credit banque banco banca societe compagnie tobacco sugar minerals metals motors life reinsurance securities fund trust first "
    "new royal national united north south east west".split()
)


@cache
def _country_names() -> dict[str, str]:
    """Folded name of a country, English or its own, -> alpha-2. Parts of countries and cities are no designators."""
    table: dict[str, str] = {}
    for alpha2, _, english, local in read_rows("country_names.csv"):
        for name in (english, local):
            key = fold(name)
            if len(key) > 3 and key not in _NOT_COUNTRIES:
                table.setdefault(key, alpha2)
    return table | _MORE_COUNTRIES | _SHORT_COUNTRIES


def country_of(words: list[str]) -> str:
    """Alpha-2 of a bracketed phrase that is a country's name, empty if it is none or may be something else."""
    phrase = " ".join(words)
    return _country_names().get(phrase, "") or _BRACKETED_COUNTRIES.get(phrase, "")


def cut_designators(words: list[str], bracketed: bool = False) -> tuple[list[str], list[str]]:
    """(words left, codes) after one walk from the end; words left are never empty.

    `bracketed`: the words stood in brackets, so that a country needs no further proof.
    """
    codes: list[str] = []
    while len(words) > 1:
        last, before = words[-1], words[-2]
        taken, code = 0, ""
        if last in _HOLDING:
            taken, code = 1, "holding"
        elif last in _GROUP:
            taken, code = 1, "group"
        elif last in _BRANCH:
            taken, code = 1, "branch"
        elif last in _ROMAN and before not in _CLASS and before not in _SERIES:
            taken, code = (2 if before in _NUMBER_WORDS and len(words) > 2 else 1), f"number:{_ROMAN[last]}"
        elif last in _SHORT_ROMAN and before in _COUNTED and len(words) > 2:
            taken, code = 1, f"number:{_SHORT_ROMAN[last]}"
        elif last.isdigit() and before in _NUMBER_WORDS and len(words) > 2:
            taken, code = 2, f"number:{int(last)}"
        elif last.isdigit() and len(last) < 3 and before in _FUND and len(words) > 2:
            taken, code = 1, f"number:{int(last)}"
        elif len(last) <= 2 and len(words) > 2 and (before in _CLASS or before in _SERIES):
            taken, code = 2, f"{'class' if before in _CLASS else 'series'}:{last.lstrip('0') or last}"
        elif last in _FUND and len(words) > 2 and before not in _LINKS:
            taken, code = 1, "fund"
        elif last in _PHRASE_LENGTHS:
            taken = next((n for n in _PHRASE_LENGTHS[last] if n < len(words) and " ".join(words[-n:]) in _PHRASES), 0)
            code = _PHRASES[" ".join(words[-taken:])] if taken else ""
        if not taken:
            taken, code = _country(words, bracketed)
        if not taken or not _named(words[:-taken]):
            break
        words = words[:-taken]
        codes.append(code)
    return words, codes


def _country(words: list[str], bracketed: bool) -> tuple[int, str]:
    for length in (4, 3, 2, 1):
        rest = words[:-length]
        if not rest or (length > 1 and not bracketed and " ".join(words[-length:]) not in _LONG_COUNTRIES):
            continue
        code = country_of(words[-length:]) if bracketed else _country_names().get(" ".join(words[-length:]), "")
        if code and (bracketed or (rest[-1] not in _LINKS and any(w not in _NATIONAL and len(w) > 1 for w in rest))):
            return length, f"country:{code}"
    return 0, ""


def _named(words: list[str]) -> bool:
    """Something that can be a name is left."""
    return words != ["the"] and words[-1] not in _LINKS


_SEGMENT = re.compile(
    r"[,(\-–—/]\s*(?:(?P<place>[^,()]*?)\s+)?(?P<word>branch|filiale?|succursale|sucursal|zweigniederlassung|niederlassung|bijkantoor)\b(?P<rest>[^,()]*)\)?\s*$",
    re.IGNORECASE,
)


def cut_branch(name: str) -> tuple[str, str]:
    """(name, place) where a last part names a branch (`..., London Branch`); the place is `-` if none is given, empty without a branch."""
    if len(name) < 8:
        return name, ""
    found = _SEGMENT.search(name)
    if found is None or found.start() == 0:
        return name, ""
    return name[: found.start()], ((found["place"] or "") + " " + found["rest"]).strip() or "-"


def firm_codes(designators: str) -> list[str]:
    """The codes that make another legal entity, in order: not the condition, and a share class only of a fund."""
    codes = designators.split()
    idle = ("liquidation",) if "fund" in codes else ("class:", "liquidation")
    return [code for code in codes if not code.startswith(idle)]
