"""Noise on the attributes of a record: what a feed does not carry, writes otherwise, or gets wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anyascii import anyascii
from stdnum import cusip, figi, isin
from stdnum.gb import sedol
from stdnum.iso7064 import mod_97_10

from em_core.pairs.noise_channels import Channel
from em_core.pairs.noise_letters import typo
from em_core.pairs.noise_lexicon import countries
from em_core.pairs.noise_random import Dice, Mix
from em_core.pairs.noise_words import Scene
from em_core.schema import IDENTIFIERS
from em_core.text.identifiers import State, check_identifier

_LETTERS, _DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
# The check digits of a body, by the standard of the identifier. Numbers of registers have no check digits of one kind.
_CHECK: dict[str, tuple[int, Callable[[str], str]]] = {
    "lei": (2, mod_97_10.calc_check_digits),
    "isin": (1, isin.calc_check_digit),
    "cusip": (1, cusip.calc_check_digit),
    "sedol": (1, sedol.calc_check_digit),
    "figi": (1, figi.calc_check_digit),
}
# Registered office here, business there: where trading addresses of such firms usually are.
_HOLDING_PLACES = frozenset("KY LU IE BM VG JE GG IM NL CY MT MU SG HK PA LI BS".split())
_TRADING_PLACES = Mix(
    {"US": 0.45, "GB": 0.2, "DE": 0.07, "FR": 0.05, "CH": 0.06, "HK": 0.05, "CN": 0.06, "JP": 0.03, "SG": 0.03}
)
_ANY_PLACE = Mix(
    {
        "US": 0.3,
        "GB": 0.15,
        "DE": 0.1,
        "FR": 0.07,
        "NL": 0.06,
        "CH": 0.05,
        "CN": 0.06,
        "HK": 0.05,
        "CA": 0.05,
        "IE": 0.04,
        "SG": 0.04,
        "IN": 0.03,
    }
)
_STREETS = (
    ("Street", "St"),
    ("Road", "Rd"),
    ("Avenue", "Ave"),
    ("Boulevard", "Blvd"),
    ("Suite", "Ste"),
    ("straße", "str."),
    ("Floor", "Fl"),
)


def _is_valid(kind: str, value: str) -> bool:
    return check_identifier(kind, value).state in (State.VALID, State.UNCHECKED)


def broken_identifier(kind: str, value: str, dice: Dice) -> str:
    """The identifier with one character wrong, swapped or missing, so that its check digits (where it has some) fail."""
    for _ in range(20):
        spot = dice.below(len(value) - 1)
        roll = dice.below(3)
        if roll == 0:
            wrong = value[:spot] + dice.pick(_DIGITS if value[spot].isdigit() else _LETTERS) + value[spot + 1 :]
        elif roll == 1:
            wrong = value[:spot] + value[spot + 1] + value[spot] + value[spot + 2 :]
        else:
            wrong = value[:spot] + value[spot + 1 :]
        if kind not in _CHECK or not _is_valid(kind, wrong):
            return wrong
    return value[:-1]  # the length alone makes it invalid


def _no_check_digits(body: str) -> str:
    return ""


def invented_identifier(kind: str, value: str, dice: Dice) -> str:
    """A valid identifier with the same first characters (issuer, country) that belongs to nobody known."""
    digits, check = _CHECK.get(kind, (0, _no_check_digits))
    head = 6 if kind == "lei" else 1 if kind == "sedol" else 3
    body = value[:head] + "".join(
        dice.pick(_DIGITS) if letter.isdigit() else dice.pick(_LETTERS) for letter in value[head : len(value) - digits]
    )
    return body + check(body)


def _identifier_noise(
    kind: str, value: str, dice: Dice, foreign: float, broken: float, donors: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """The identifier as the feed has it, and the operator that hit it or an empty text."""
    roll = dice.uniform()
    if not _is_valid(kind, value):
        return value, ""
    if roll < foreign:
        other = dice.pick(donors[kind]) if donors.get(kind) else value
        return (other if other != value else invented_identifier(kind, value, dice)), f"foreign_{kind}"
    if roll < foreign + broken:
        return broken_identifier(kind, value, dice), f"broken_{kind}"
    if roll > 0.97:
        style = dice.below(3)
        text = value.lower() if style == 0 else f" {value}" if style == 1 else " ".join(re.findall(".{1,4}", value))
        return text.strip() or value, f"form_{kind}" if text.strip() != value else ""
    return value, ""


def _country_text(code: str, form: str) -> str:
    country = countries().get(code)
    if country is None or form == "alpha2":
        return code
    return getattr(country, form) or country.english


def _city_text(value: str, dice: Dice) -> str:
    roll = dice.uniform()
    if roll < 0.12:
        return value.upper()
    if roll < 0.2 and not value.isascii():
        return anyascii(value) or value
    return typo(value, Scene(dice)) if roll > 0.97 else value


def _postal_text(value: str, dice: Dice) -> str:
    roll = dice.uniform()
    if roll < 0.5 and value.startswith("0") and value.isdigit():
        return value.lstrip("0") or value  # a spreadsheet took it for a number
    return value.replace(" ", "") if roll < 0.6 else value


def _website_text(value: str, dice: Dice) -> str:
    bare = re.sub(r"^[a-z]+://", "", value, flags=re.IGNORECASE).rstrip("/")
    style = dice.below(5)
    return (value, bare, bare.removeprefix("www."), f"https://{bare}/", f"{bare}/en")[style]


def _address_text(value: str, dice: Dice) -> str:
    if dice.chance(0.4):
        for long, short in _STREETS:
            value = value.replace(long, short)
    return value.upper() if dice.chance(0.1) else value


_FORMS: dict[str, Callable[[str, Dice], str]] = {
    "city": _city_text,
    "postal_code": _postal_text,
    "website": _website_text,
    "address": _address_text,
}


def noisy_attributes(
    record: Mapping[str, Any],
    dice: Dice,
    channel: Channel,
    keep: Mapping[str, float],
    rates: Mapping[str, float],
    donors: Mapping[str, Sequence[str]],
) -> tuple[dict[str, str | None], list[str]]:
    """The feed's version of all attributes but the name, and the operators that hit.

    `record`: attribute -> text or None. `keep`: attribute -> share of records that carry it. `rates`: `foreign_identifier`,
    `broken_identifier`, `changed_country`. `donors`: identifiers of other entities by kind; without them a wrong identifier
    is invented, valid and nobody's. A missing attribute stays missing.
    """
    out: dict[str, str | None] = {}
    hits: list[str] = []
    for attribute, value in record.items():
        # A stream for each attribute: whether a record has a city must not change its country.
        own = dice.fork(attribute)
        if value is None:
            out[attribute] = None
            continue
        if not own.chance(keep.get(attribute, 0.0)):
            out[attribute] = None
            if keep.get(attribute, 0.0) > 0:  # a column that the feed does not have at all is no event
                hits.append(f"missing_{attribute}")
            continue
        hit = ""
        text = value
        if attribute in IDENTIFIERS:
            text, hit = _identifier_noise(
                attribute, value, own, rates["foreign_identifier"], rates["broken_identifier"], donors
            )
        elif attribute == "country":
            if own.chance(rates["changed_country"]):
                text = (_TRADING_PLACES if value in _HOLDING_PLACES else _ANY_PLACE).draw(own)
                hit = "changed_country" if text != value else ""
            text = _country_text(text, channel.mixes["country"].draw(own))
            hit = hit or ("form_country" if text != value else "")
        elif attribute in _FORMS:
            text = _FORMS[attribute](value, own)
            hit = f"form_{attribute}" if text != value else ""
        out[attribute] = text
        if hit:
            hits.append(hit)
    return out, hits
