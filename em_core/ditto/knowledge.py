"""Domain knowledge injection (section 4.1 of the Ditto paper): typed spans are marked and written in one way.

A mark is an upper-case word in front of its span, as `PHONE 2136271453`. The encoder then sees what kind of thing it
compares, and two spellings of one value become one. Regular expressions and `em_core.text` do the finding, so that a
score needs no language model beside the encoder. A span that cannot be read with certainty stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from em_core.ditto.serialise import Record
from em_core.ditto.spans import (
    CURRENCY_CODES,
    DATES,
    EDGE,
    END,
    MEASURE,
    NUMBER,
    SHORT_DATE,
    UNIT_OF,
    calendar_day,
    readings,
)
from em_core.text.domains import registrable_domain
from em_core.text.fold import fold
from em_core.text.identifiers import KINDS, check_identifier
from em_core.text.names import parse_name
from em_core.text.places import country_code
from em_core.text.postal import postal_key

_CURRENCIES = {"$": "usd", "us$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "₹": "inr"}

_STATES = (
    "al ak az ar ca co ct de dc fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa "
    "ri sc sd tn tx ut vt va wa wv wi wy"
)
_ZIP_PLUS_FOUR = re.compile(r"\d{5}-\d{4}")

# One pass over the text, the surest kind first, so that no span is read twice.
_PATTERNS = {
    "url": r"(?:https?://|www\.)[^\s,;]+",
    **DATES,
    "short_date": SHORT_DATE,
    "phone": r"(?<![\w.,/-])(?:\+?\d{1,3}[\s.-]?)?(?:\(\d{2,4}\)|\d{3})[\s./-]{1,3}\d{3,4}[\s.-]\d{3,4}(?![\w-])",
    "zip": rf"(?<=\b(?:{'|'.join(_STATES.split())})\s)\d{{5}}(?:-\d{{4}})?(?![\w-])",
    "price": rf"(?:us\$|[$€£¥₹])\s?(?:{NUMBER}){END}|{EDGE}(?:{NUMBER})\s(?:{CURRENCY_CODES})\b",
    "unit": MEASURE,
    "percent": rf"{EDGE}(?:{NUMBER})\s?%",
    "number": rf"{EDGE}(?:{NUMBER}){END}",
    "code": r"(?<![\w/.-])(?=[\w/.-]*\d)(?=[\w/.-]*[^\W\d_])[^\W_][\w/.-]{2,}\w(?![\w/-])",
}
_GENERAL = (
    "url", "iso_date", "day_month", "month_day", "short_date", "phone", "zip", "percent", "number", "code",
)  # fmt: skip
_PRODUCT = ("url", "iso_date", "day_month", "month_day", "price", "unit", "percent", "number", "code")

_BRAND_ATTRIBUTES = frozenset({"brand", "manufacturer", "maker", "vendor"})
_NO_BRAND = frozenset("a an and for from in new of on the to with".split())
_COUNTRY_ATTRIBUTES = frozenset({"country", "country_code", "nation"})
_SITE_ATTRIBUTES = frozenset({"website", "url", "homepage", "web", "domain"})
_POSTAL_ATTRIBUTES = frozenset({"postal_code", "postcode", "zip", "zip_code", "zipcode"})
# Identifiers whose length and check digits tell them from any other word.
_STANDING = {20: "lei", 12: "isin"}
_LONG_NUMBER = 7  # digits from which a number is a name


def general(record: Record) -> Record:
    """Numbers, percentages, dates, phones, addresses of web sites, US zip codes and codes of letters and digits."""
    return [(name, _postal(value, "") if _key(name) in _POSTAL_ATTRIBUTES else _mark(value, _GENERAL_SPANS, "ID"))
            for name, value in record]  # fmt: skip


def product(record: Record) -> Record:
    """Prices, measures in one unit's spelling, model numbers, long product numbers and the brand.

    The brand is an attribute of that name or the first word of the title, if it is a word.
    """
    out: Record = []
    for i, (name, value) in enumerate(record):
        key = _key(name)
        if key == "price" and re.fullmatch(NUMBER, value):
            marked = f"PRICE {_plain_number(value)}"
        elif key in _BRAND_ATTRIBUTES:
            marked = f"BRAND {value.lower()}" if value else value
        else:
            marked = _mark(value, _PRODUCT_SPANS, "MODEL")
            first, _, rest = value.partition(" ")
            if i == 0 and first.isalpha() and len(first) > 1 and first.lower() not in _NO_BRAND:
                marked = f"BRAND {first} {_mark(rest, _PRODUCT_SPANS, 'MODEL')}".rstrip()
        out.append((name, marked))
    return out


def company(record: Record) -> Record:
    """The name parsed (core, legal form, what tells group members apart), countries as codes, identifiers checked.

    The name is the first attribute; a name that no script's letter is in stays. Texts about a firm are read as
    `general` does, and carry `LEI` and `ISIN` where the check digits hold.
    """
    country = next((country_code(value) or "" for name, value in record if _key(name) in _COUNTRY_ATTRIBUTES), "")
    return [(name, _company_name(value) if i == 0 else _company_value(_key(name), value, country))
            for i, (name, value) in enumerate(record)]  # fmt: skip


def _company_name(value: str) -> str:
    parsed = parse_name(value)
    if not parsed.core:
        return value
    parts = [
        parsed.core,
        f"FORM {parsed.form}" if parsed.form else "",
        f"PART {parsed.designators.replace(':', ' ')}" if parsed.designators else "",
        f"SECURITY {parsed.security}" if parsed.security else "",
        *(f"ALSO {fold(other)}" for _, other in parsed.also),
    ]
    return " ".join(part for part in parts if part)


def _company_value(key: str, value: str, country: str) -> str:
    if key in _COUNTRY_ATTRIBUTES:
        return country_code(value) or value
    if key in KINDS:
        return check_identifier(key, value, country).value or value
    if key in _SITE_ATTRIBUTES:
        return registrable_domain(value) or value
    if key in _POSTAL_ATTRIBUTES:
        return _postal(value, country)
    return _mark(value, _GENERAL_SPANS, "ID")


KNOWLEDGE: dict[str, Callable[[Record], Record]] = {"company": company, "product": product, "general": general}


def _spans(kinds: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{kind}>{_PATTERNS[kind]})" for kind in kinds), re.IGNORECASE)


_GENERAL_SPANS, _PRODUCT_SPANS = _spans(_GENERAL), _spans(_PRODUCT)


def _mark(text: str, spans: re.Pattern[str], code: str) -> str:
    """`text` with each span of one of the kinds marked; `code` marks words of letters and digits."""

    def marked(match: re.Match[str]) -> str:
        kind, span = match.lastgroup, match.group()
        return _code(span, code) if kind == "code" else _WRITE[kind or ""](span)

    return spans.sub(marked, text)


def _key(attribute: str) -> str:
    return attribute.lower().replace("-", "_")


def _plain_number(text: str) -> str:
    """1,234.50 -> 1234.5. What begins with a zero (007) is a name, not a quantity, and stays."""
    if text[0] == "0" and text[1:2].isdigit():
        return text
    return f"{Decimal(text.replace(',', '')).normalize():f}"


def _number(text: str) -> str:
    return f"ID {text}" if text.isdigit() and len(text) >= _LONG_NUMBER else _plain_number(text)


def _percent(text: str) -> str:
    return f"PERCENT {_plain_number(text[:-1].rstrip())}"


def _price(text: str) -> str:
    number = re.search(NUMBER, text)
    assert number is not None  # the pattern of a price holds one
    currency = (text[: number.start()] + text[number.end() :]).strip().lower()
    return f"PRICE {_CURRENCIES.get(currency, currency)} {_plain_number(number.group())}"


def _measure(text: str) -> str:
    number = re.match(NUMBER, text)
    assert number is not None  # the pattern of a measure begins with one
    return f"UNIT {_plain_number(number.group())} {UNIT_OF[text[number.end() :].strip(' -').lower()]}"


def _url(text: str) -> str:
    return f"URL {re.sub(r'^(?:https?://)?(?:www[.])?', '', text.lower()).rstrip('/.')}"


def _phone(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    return f"PHONE {digits[1:] if len(digits) == 11 and digits[0] == '1' else digits}"


def _zip(text: str) -> str:
    return f"ZIP {text[:5]}"


def _postal(text: str, country: str) -> str:
    key = postal_key(text, country or ("US" if _ZIP_PLUS_FOUR.fullmatch(text) else ""))
    return f"ZIP {key}" if key else text


def _date(text: str) -> str:
    day = calendar_day(text)
    return f"DATE {day.isoformat()}" if day else text


def _short_date(text: str) -> str:
    """3/14/2004 -> ISO. Where both numbers can be the month, the order is unknown and only the separator is set."""
    days = readings(text)
    if len(days) == 1:
        return f"DATE {days[0].isoformat()}"
    return f"DATE {'/'.join(str(int(part)) for part in re.split('[/.]', text))}" if days else text


def _code(text: str, mark: str) -> str:
    compact = re.sub(r"[^\w]|_", "", text)
    kind = _STANDING.get(len(compact))
    if kind is not None and check_identifier(kind, compact).value:
        return f"{kind.upper()} {compact.upper()}"
    return f"{mark} {compact.lower()}"


_WRITE: dict[str, Callable[[str], str]] = {
    "url": _url,
    **dict.fromkeys(DATES, _date),
    "short_date": _short_date,
    "phone": _phone,
    "zip": _zip,
    "price": _price,
    "unit": _measure,
    "percent": _percent,
    "number": _number,
}
