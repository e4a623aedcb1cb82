"""How dates, numbers, currencies and measures are written: the vocabulary of `knowledge` and `quantities`."""

from __future__ import annotations

import re
from datetime import date

EDGE, END = r"(?<![\w.,])", r"(?![\w]|[.,]\d)"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
CURRENCY_CODES = "usd|eur|gbp|jpy|inr|cad|aud|chf|cny"

MONTHS = {m: i for i, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
# A day that is sure. Two digits are a year between hyphens alone: `28-Mar-11`.
DATES = {
    "iso_date": rf"{EDGE}\d{{4}}-\d{{1,2}}-\d{{1,2}}{END}",
    "day_month": rf"{EDGE}\d{{1,2}}(?:(?:st|nd|rd|th)?[\s-]{_MONTH}[\s,-]+\d{{4}}|-{_MONTH}-\d{{2}}){END}",
    "month_day": rf"\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\s?,?\s\d{{4}}{END}",
}
SHORT_DATE = rf"{EDGE}\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{4}}{END}"
_CENTURY = 69  # two digits below it are years of this century, as POSIX has it

_UNITS = {
    "gb": "gb gbyte gbytes gigabyte gigabytes", "mb": "mb mbyte megabyte megabytes", "tb": "tb terabyte terabytes",
    "kb": "kb kilobyte kilobytes", "mhz": "mhz megahertz", "ghz": "ghz gigahertz", "hz": "hz hertz",
    "in": "in inch inches \" ''", "ft": "ft feet foot", "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres", "oz": "oz ounce ounces", "lb": "lb lbs pound pounds",
    "kg": "kg kgs kilogram kilograms", "g": "g gram grams", "ml": "ml milliliter milliliters", "l": "l liter liters litre litres",
    "gal": "gal gallon gallons", "w": "w watt watts", "v": "v volt volts", "mah": "mah", "mp": "mp megapixel megapixels",
    "dpi": "dpi", "rpm": "rpm", "btu": "btu btus", "fps": "fps", "pack": "pack pk packs",
}  # fmt: skip
UNIT_OF = {spelling: unit for unit, spellings in _UNITS.items() for spelling in spellings.split()}
_UNIT = "|".join(re.escape(spelling) for spelling in sorted(UNIT_OF, key=len, reverse=True))
MEASURE = rf"{EDGE}(?:{NUMBER})[\s-]?(?!in[\s-]\d)(?:{_UNIT})(?![\w'])"  # not 3 in 1


def calendar_day(written: str) -> date | None:
    """The day that a span of one of the patterns `DATES` names; None if no calendar has it (30 February)."""
    numbers = re.findall(r"\d+", written)
    month = re.search(r"[a-z]{3,}", written.lower())
    if month is None:
        year, number, day = (int(part) for part in numbers)
    else:
        day, year, number = int(numbers[0]), int(numbers[1]), MONTHS[month.group()[:3]]
        if len(numbers[1]) == 2:
            year += 2000 if year < _CENTURY else 1900
    return _day(year, number, day)


def readings(written: str) -> list[date]:
    """The days that a span of the pattern `SHORT_DATE` may name: two where either number can be the month, none if no calendar has it."""
    first, second, year = map(int, re.split("[/.]", written))
    return [day for day in dict.fromkeys([_day(year, first, second), _day(year, second, first)]) if day]


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
