"""National numbers of companies: registration numbers as `CC:number`, VAT numbers as `CCnumber`.

Each country has its own rules. Those with check digits come from python-stdnum; the tables below say which modules
count, and which registers number without a check digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, cast

from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from em_core.text.fold import fold
from em_core.text.knowledge import countries

# Country -> python-stdnum modules: the register's number first, then the companies' tax number, which feeds put there too.
MODULES: dict[str, tuple[str, ...]] = {
    "AD": ("ad.nrt",),
    "AL": ("al.nipt",),
    "AR": ("ar.cuit",),
    "AT": ("at.businessid",),
    "AU": ("au.acn", "au.abn"),
    "AZ": ("az.voen",),
    "BE": ("be.vat",),
    "BG": ("bg.vat",),
    "BR": ("br.cnpj",),
    "BY": ("by.unp",),
    "CA": ("ca.bn",),
    "CH": ("ch.uid",),
    "CL": ("cl.rut",),
    "CN": ("cn.uscc",),
    "CO": ("co.nit",),
    "CR": ("cr.cpj",),
    "CZ": ("cz.dic",),
    "DK": ("dk.cvr",),
    "DO": ("do.rnc",),
    "DZ": ("dz.nif",),
    "EC": ("ec.ruc",),
    "EE": ("ee.registrikood",),
    "EG": ("eg.tn",),
    "ES": ("es.cif",),
    "FI": ("fi.ytunnus",),
    "FO": ("fo.vn",),
    "FR": ("fr.siren", "fr.siret"),
    "GH": ("gh.tin",),
    "GN": ("gn.nifp",),
    "GR": ("gr.vat",),
    "GT": ("gt.nit",),
    "HR": ("hr.oib",),
    "HU": ("hu.anum",),
    "ID": ("id.npwp",),
    "IL": ("il.hp",),
    "IN": ("in_.pan", "in_.gstin"),
    "IS": ("is_.kennitala",),
    "IT": ("it.iva",),
    "JP": ("jp.cn",),
    "KE": ("ke.pin",),
    "KR": ("kr.brn",),
    "LI": ("li.peid",),
    "LT": ("lt.pvm",),
    "LV": ("lv.pvn",),
    "MA": ("ma.ice",),
    "MD": ("md.idno",),
    "ME": ("me.pib",),
    "MK": ("mk.edb",),
    "MX": ("mx.rfc",),
    "MZ": ("mz.nuit",),
    "NO": ("no.orgnr",),
    "NZ": ("ean", "nz.ird"),  # the NZBN is a GS1 number
    "PE": ("pe.ruc",),
    "PL": ("pl.regon", "pl.nip"),
    "PT": ("pt.nif",),
    "PY": ("py.ruc",),
    "RO": ("ro.cui", "ro.onrc"),
    "RS": ("rs.pib",),
    "RU": ("ru.ogrn", "ru.inn"),
    "SE": ("se.orgnr",),
    "SG": ("sg.uen",),
    "SI": ("si.maticna", "si.ddv"),
    "SK": ("cz.dic", "sk.dph"),  # the Slovak ICO kept the Czechoslovak check digit
    "SM": ("sm.coe",),
    "SN": ("sn.ninea",),
    "SV": ("sv.nit",),
    "TH": ("th.moa",),
    "TN": ("tn.mf",),
    "TR": ("tr.vkn",),
    "TW": ("tw.ubn",),
    "UA": ("ua.edrpou",),
    "US": ("us.ein",),
    "UY": ("uy.rut",),
    "VE": ("ve.rif",),
    "VN": ("vn.mst",),
    "ZA": ("za.tin",),
}

# Registers that number without a check digit.
FORMATS: dict[str, re.Pattern[str]] = {
    country: re.compile(pattern)
    for country, pattern in {
        "BR": r"\d{11}",  # NIRE
        "CH": r"CH\d{11}",  # number before the UID
        "CN": r"\d{13}|\d{15}",  # number before the unified code
        "CY": r"[A-Z]{0,2}\d{3,6}",
        "GR": r"\d{12}",  # GEMI
        "HR": r"\d{8,9}",  # MBS
        "HU": r"(?:0[1-9]|1\d|20)\d{8}",
        "IE": r"\d{4,7}",
        "IN": r"[LU]\d{5}[A-Z]{2}\d{4}[A-Z]{3}\d{6}|[A-Z]{3}\d{4}",  # CIN, LLPIN
        "IT": r"[A-Z]{2}\d{5,7}",  # REA
        "KR": r"\d{13}",
        "LI": r"FL\d{11}",
        "LT": r"\d{7}|\d{9}",
        "LU": r"[A-Z]\d{3,6}",
        "MC": r"\d{2}[A-Z]\d{5}",
        "MK": r"\d{7}",
        "MT": r"[A-Z]{1,3}\d{3,6}",
        "NL": r"\d{8,9}",  # KvK, RSIN
        "NZ": r"\d{4,8}",
        "PE": r"\d{8}",
        "PL": r"000\d{7}",  # KRS
        "RS": r"\d{8}",
        "TR": r"\d{4,7}|\d{16}",
        "ZA": r"K?\d{10,12}",
    }.items()
}

# Registers of states and provinces, or offices without one format: any plausible number may be theirs.
_OPEN = frozenset("AR CA CO DZ EG GH GN ID KE MA MX MZ SN SV TN US VE VN".split())

# Modules that accept more than numbers of companies, or next to any short number.
_SHAPES: dict[str, re.Pattern[str]] = {
    module: re.compile(shape)
    for module, shape in {
        "bg.vat": r"\d{9}",
        "cz.dic": r"\d{8}",
        "ean": r"94\d{11}",
        "gh.tin": r"[PCGQV]00\d{7}[\dX]",
        "gt.nit": r"\d{5,11}[\dK]",
        "li.peid": r"\d{5,12}",
        "py.ruc": r"\d{6,9}",
        "ro.cui": r"\d{4,10}",
        "sm.coe": r"\d{3,5}",
    }.items()
}

# Modules without a check digit: good enough in their own country, not to guess the country.
_NO_CHECK_DIGIT = frozenset(
    "ad.nrt al.nipt at.businessid cr.cpj dz.nif eg.tn fo.vn in_.pan ke.pin kr.brn li.peid mx.rfc sm.coe tn.mf us.ein".split()
)


def _japanese(number: str) -> str:
    number = number.removeprefix("T")  # the invoice system's spelling
    # The register's own 12 digits lack the check digit in front.
    return _module("jp.cn").calc_check_digit(number) + number if re.fullmatch(r"\d{12}", number) else number


# Spellings of the same number that a module does not know, brought to the one it does.
_PREPARE: dict[str, Callable[[str], str]] = {
    "at.businessid": str.lower,
    "au.acn": lambda n: n.zfill(9) if re.fullmatch(r"\d{7,8}", n) else n,
    "bg.vat": lambda n: n[:9] if re.fullmatch(r"\d{13}", n) else n,
    "cz.dic": lambda n: n.zfill(8) if re.fullmatch(r"\d{6,7}", n) else n,
    "fi.ytunnus": lambda n: n.zfill(8) if re.fullmatch(r"\d{7}", n) else n,
    "fr.siren": lambda n: re.sub(r"^RCS[A-Z]*", "", n),
    "gt.nit": lambda n: n.lstrip("0"),
    "hu.anum": lambda n: n[:8] if re.fullmatch(r"\d{8}[1-5]\d{2}", n) else n,
    "jp.cn": _japanese,
    "li.peid": lambda n: n.lstrip("0"),
    "no.orgnr": lambda n: n.removesuffix("MVA"),
    "se.orgnr": lambda n: n[2:] if re.fullmatch(r"16\d{10}", n) else n,
    "sm.coe": lambda n: n.lstrip("0"),
}

# Numbers of a branch or a tax account -> the company's own.
_REDUCE: dict[str, Callable[[str], str]] = {
    "ca.bn": lambda n: n[:9],
    "ch.vat": lambda n: n[:12],
    "fr.siret": lambda n: n[:9],
    "gb.vat": lambda n: n[:9],
    "id.npwp": lambda n: n[1:] if len(n) == 16 and n[0] == "0" else n,
    "in_.gstin": lambda n: n[2:12],
    "no.mva": lambda n: n.removesuffix("MVA"),
    "pl.regon": lambda n: n[:9],
    "tn.mf": lambda n: n[:8],
    "vn.mst": lambda n: n[:10],
}

# Where the VAT number holds the registration number, and which part of the normal form it is.
_IN_VAT: dict[str, slice] = {
    **dict.fromkeys(
        "AL AR AU AZ BE BG BR BY CL CN CO CR CZ DK DO EC ES FI GT HR IL IT JP KR LV MX NO PE PT PY RO RU SV TH TW UY VE VN".split(),
        slice(2, None),
    ),
    "CH": slice(None),
    "FR": slice(4, None),
    "SE": slice(2, -2),
}

# Spellings of a country, and territories that use the register of another country.
_REGISTER_OF = {
    **dict.fromkeys("BL GF GP MF MQ PM RE YT".split(), "FR"),
    "AX": "FI",
    "SJ": "NO",
    "EL": "GR",
    "UK": "GB",
    "XI": "GB",
}
_VAT_OF = {**_REGISTER_OF, "IM": "GB"}
# VAT numbers reduced to the company's own, and numbers of the import scheme (IM... is not the Isle of Man).
_MORE_VAT_MODULES = {"CH": ("ch.uid",), "IM": ("eu.oss",), "IN": ("in_.pan",), "NO": ("no.orgnr",)}

_PREFIX = re.compile(r"([A-Z]{2})\s*:\s*(.+)")
_NOT_COMPACT = re.compile(r"[^A-Z0-9&Ñ]")  # Mexican numbers hold & and Ñ
_UK = re.compile(r"(\d{6,8})|([A-Z]{2})(\d{4,6})|[A-Z]{2}\d{5}[A-Z]|R\d{7}")
_GERMAN_WORDS = re.compile(r"\b(?:AMTSGERICHT|REGISTERGERICHT|HANDELSREGISTER|AG)\b|[_,()]")
_GERMAN = re.compile(
    r"(?P<before>\D*?)\s*\b(?P<register>HRA|HRB|GNR|PR|VR)(?:[\s.-]*NR\b)?[\s.:-]*(?P<number>\d{1,6})(?P<after>\D*)",
    re.ASCII,
)


class National(NamedTuple):
    """A usable national number: `value` is its normal form, empty if it cannot be a key; `valid` means checked."""

    value: str
    valid: bool


def check_registration(text: str, country: str) -> National | None:
    """The registration number in `text`, or None if no register of the country writes such a number.

    `text` is upper-case, without a label; `country` is ISO 3166-1 alpha-2 or empty. A prefix with a colon (`FR:...`) comes
    before the record's country; one without (`SE...`) counts where that country refuses the number and its check digit
    holds. Without any country the value is empty, for two countries may give the same number; so it is for a German
    number without its court.
    """
    home = _REGISTER_OF.get(country, country) if _is_country(country) else ""
    prefixed = _PREFIX.fullmatch(text)
    if prefixed and _is_country(prefixed[1]):
        claimed = _REGISTER_OF.get(prefixed[1], prefixed[1])
        found = _in_register(claimed, prefixed[2])
        if found or home in ("", claimed):
            return found
        text = prefixed[2]  # `NO: 123` may also mean the word number
    found = _in_register(home, text) if home else None
    if found:
        return found
    compact = _compact(text)
    for module in MODULES.get(compact[:2], ()):
        if module not in _NO_CHECK_DIGIT and (number := _validated(module, compact[2:]) or _validated(module, compact)):
            return National(f"{compact[:2]}:{number}", True)
    return National("", False) if not home and _plausible(compact) else None


def check_vat(text: str, country: str) -> National | None:
    """The VAT number in `text`, or None if the country's rules refuse it.

    `text` is upper-case, without a label; `country` is ISO 3166-1 alpha-2 or empty and matters only to a number without
    prefix. A country without rules gives a value that is not valid but usable from 5 digits on; no country, an empty value.
    Greece is GR, Northern Ireland GB, Monaco FR.
    """
    compact = _compact(text)
    home = _VAT_OF.get(country, country) if _is_country(country) else ""
    written = compact[:2] if _is_country(compact[:2]) or compact[:2] == "EU" else ""
    prefix = _REGISTER_OF.get(written, written)
    for claimed in dict.fromkeys(c for c in (home, prefix) if c):
        if number := _valid_vat(claimed, compact):
            return National(number, True)
    rest = compact[2:]
    claimed = prefix if prefix and (_vat_modules(prefix) or rest[:1].isdigit() or not home) else home
    if claimed and _vat_modules(claimed):
        return None
    number = rest if prefix and claimed == prefix else compact
    if sum(map(str.isdigit, number)) < 5:
        return None
    return National(claimed + number if claimed else "", False)


def registration_of_vat(vat: str) -> str:
    """The registration number inside a valid VAT number in normal form, in normal form; empty if it holds none."""
    part = _IN_VAT.get(vat[:2])
    # Monaco's numbers look French but hold no SIREN.
    if part is None or (vat.startswith("FR") and vat[4:7] == "000"):
        return ""
    found = _in_register(vat[:2], vat[part])
    return found.value if found and found.valid else ""


def _in_register(country: str, text: str) -> National | None:
    if country == "DE":
        return _german(text)
    compact = _compact(text)
    spellings = dict.fromkeys((compact.removeprefix(country), compact))
    for module in MODULES.get(country, ()):
        # The Romanian trade register writes slashes that tell its parts.
        for spelling in (text,) if module == "ro.onrc" else spellings:
            if number := _validated(module, spelling):
                # A company's ABN holds its ACN.
                number = _validated("au.acn", number[2:]) or number if module == "au.abn" else number
                return National(f"{country}:{number}", True)
    if country == "GB":
        number = next(filter(None, map(_british, spellings)), "")
        return National(f"GB:{number}", False) if number else None
    if country in FORMATS:
        number = next(filter(FORMATS[country].fullmatch, spellings), "")
        if number:
            return National(f"{country}:{number}", False)
    known = country in MODULES or country in FORMATS
    if (not known or country in _OPEN) and _plausible(compact):
        return National(f"{country}:{compact}", False)
    return None


def _british(number: str) -> str:
    """Companies House: 8 digits, or 2 letters and 6 digits; lost leading zeros come back."""
    found = _UK.fullmatch(number)
    if not found:
        return ""
    if found[1]:
        return found[1].zfill(8)
    return found[2] + found[3].zfill(6) if found[2] else number


def _german(text: str) -> National | None:
    """Handelsregister: `DE:COURT_REGISTER_NUMBER`; each court counts from 1, so that a number without it is no key."""
    found = _GERMAN.fullmatch(_GERMAN_WORDS.sub(" ", text).strip())
    if not found:
        return None
    before, after = found["before"].strip(), found["after"].strip()
    court, mark = (before, after) if before else (after, "")
    if not before:
        first, _, others = after.partition(" ")
        # A mark of 1 to 3 letters follows the number; Ulm and Hof are courts.
        if len(first) <= 3 and not _german_court(after):
            court, mark = others.strip(), first
    if not court:
        return National("", False)
    key = _german_court(court)
    if not key or len(mark) > 3:
        return None
    if key == "BERLINCHARLOTTENBURG":
        mark = ""  # always B, often left out
    return National("DE:" + "_".join(filter(None, (key, found["register"], found["number"].lstrip("0"), mark))), True)


def _german_court(court: str) -> str:
    """Key of a court that keeps a register: its official name as folded capitals; empty if unknown."""
    register = _module("de.handelsregisternummer")
    key = _folded(court)
    for spelling in (key, key.replace("AE", "A").replace("OE", "O").replace("UE", "U")):
        if spelling in _official_courts():
            return spelling
        try:
            return _folded(register.validate(f"{spelling} HRB 1").removesuffix(" HRB 1"))
        except ValidationError:
            continue
    return ""


@cache
def _official_courts() -> frozenset[str]:
    return frozenset(map(_folded, _module("de.handelsregisternummer").GERMAN_COURTS))


def _folded(text: str) -> str:
    return fold(text).replace(" ", "").upper()


def _valid_vat(country: str, compact: str) -> str:
    for module in _vat_modules(country):
        for spelling in dict.fromkeys((compact, compact.removeprefix(country))):
            if number := _validated(module, spelling):
                return number if country == "MC" else country + number.removeprefix(country)
    return ""


@cache
def _vat_modules(country: str) -> tuple[str, ...]:
    module = get_cc_module(country, "vat")
    names = () if module is None else (cast(ModuleType, module).__name__.removeprefix("stdnum."),)
    return (*names, *_MORE_VAT_MODULES.get(country, ()))


def _validated(module: str, text: str) -> str:
    """The company's number as the module writes it, without blanks; empty if it refuses."""
    number = _PREPARE[module](text) if module in _PREPARE else text
    if not number or (module in _SHAPES and not _SHAPES[module].fullmatch(number)):
        return ""
    try:
        number = "".join(str(_module(module).validate(number)).upper().split())
    except ValidationError:
        return ""
    return _REDUCE[module](number) if module in _REDUCE else number


@cache
def _module(name: str) -> ModuleType:
    return import_module(f"stdnum.{name}")


@cache
def _codes() -> frozenset[str]:
    return frozenset(countries().values()) | _REGISTER_OF.keys()


def _is_country(code: str) -> bool:
    return code in _codes()


def _compact(text: str) -> str:
    return _NOT_COMPACT.sub("", text)


def _plausible(compact: str) -> bool:
    """What a register without known rules may have written."""
    return len(compact) >= 5 and sum(map(str.isdigit, compact)) >= 4
