"""Channels and profiles of the noise model: which operator how often, out of `data/channels.toml`, checked when read."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from em_core.errors import UserError
from em_core.pairs import noise_letters as letters
from em_core.pairs import noise_words as words
from em_core.pairs.noise_lexicon import tails
from em_core.pairs.noise_random import Mix
from em_core.schema import ATTRIBUTES

Operator = Callable[[str, words.Scene], str]

LEGAL: dict[str, Operator] = {
    "short": words.legal_short,
    "written": words.legal_written,
    "dropped": words.legal_dropped,
    "changed": words.legal_changed,
    "added": words.legal_added,
}
# In the order in which they happen: from what the name is, through how it is written, to what damages it.
OPERATORS: dict[str, Operator] = {
    "alias": words.alias,
    "article": words.article,
    "brand": words.brand,
    "acronym": words.acronym,
    "word_dropped": words.word_dropped,
    "word_added": words.word_added,
    "inflected": words.inflected,
    "expanded": words.expanded,
    "abbreviated": words.abbreviated,
    "shortened": words.shortened,
    "reordered": words.reordered,
    "parted": letters.parted,
    "glued": letters.glued,
    "punctuation": letters.punctuation,
    "typo": letters.typo,
    "ocr": letters.ocr,
    "place": words.place,
    "status": words.status,
    "other_party": words.other_party,
    "prefixed": words.prefixed,
}
COUNTRY_FORMS = ("alpha2", "alpha3", "english", "local")
Share = float


class Channel(BaseModel):
    """How one kind of feed writes a record. Shares are in [0, 1]; mixes are weights of any scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean: Share = Field(ge=0, le=1, description="records whose words stay as they are")
    case: dict[Literal["keep", "upper", "lower", "title"], float] = {"keep": 1.0}
    ascii: Share = Field(default=0.0, ge=0, le=1, description="records written in ASCII alone")
    bare: Share = Field(default=0.0, ge=0, le=1, description="records without punctuation")
    dotted: Share = Field(default=0.5, ge=0, le=1, description="abbreviations that end in a full stop")
    width: dict[int, float] = Field(default={0: 1.0}, description="width of the name field in characters; 0 = no limit")
    fit: Share = Field(
        default=0.0, ge=0, le=1, description="too long names that are abbreviated to fit before they are cut"
    )
    drop_words: Share = Field(default=0.0, ge=0, le=1, description="of these, those that lose whole words")
    aligned: Share = Field(default=0.0, ge=0, le=1, description="tails that stand after two blanks where there is room")
    crowded: Share = Field(default=0.0, ge=0, le=1, description="tails left out where the name alone fills the field")
    column: int = Field(default=0, ge=0, description="column in which the tail stands; 0 = after the name")
    legal: dict[str, float] = {"keep": 1.0}
    junk_share: Share = Field(default=0.0, ge=0, le=1, description="records with a tail of the kinds in `junk`")
    junk: dict[str, float] = {}
    operators: dict[str, float] = {}
    keep: dict[str, float] = {}
    country: dict[str, float] = {"alpha2": 1.0}

    @field_validator("legal", "operators", "keep", "country", "junk")
    @classmethod
    def _known(cls, value: dict[str, float], info: Any) -> dict[str, float]:
        known = {
            "legal": ["keep", *LEGAL],
            "operators": OPERATORS,
            "keep": ATTRIBUTES,
            "country": COUNTRY_FORMS,
            "junk": tails()["junk"],
        }[info.field_name]
        unknown = sorted(set(value) - set(known))
        if unknown or any(share < 0 for share in value.values()):
            raise ValueError(f"unknown or negative: {unknown or value}; known: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _has_junk(self) -> Channel:
        if self.junk_share > 0 and not self.junk:
            raise ValueError("junk_share without junk")
        return self

    @cached_property
    def mixes(self) -> dict[str, Mix[Any]]:
        """The mixes of this channel, ready to draw."""
        mixes: dict[str, Mix[Any]] = {
            "case": Mix(dict(self.case)),
            "width": Mix(self.width),
            "legal": Mix(self.legal),
            "country": Mix(self.country),
        }
        if self.junk:
            mixes["junk"] = Mix(self.junk)
        return mixes


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((files("em_core.pairs") / "data" / "channels.toml").read_text(encoding="utf-8"))


@cache
def channels() -> dict[str, Channel]:
    """All channels by name."""
    return {name: Channel.model_validate(entry) for name, entry in _data()["channels"].items()}


@cache
def profiles() -> dict[str, dict[str, float]]:
    """Profile -> weight of each channel."""
    return dict(_data()["profiles"])


def channel_mix(weights: dict[str, float]) -> Mix[str]:
    """Names of channels to draw from. Raises `UserError` on an unknown channel or without a positive weight."""
    unknown = sorted(set(weights) - set(channels()))
    if unknown:
        raise UserError(f"noise: no channel {unknown[0]!r}; known: {', '.join(channels())}")
    if min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0:
        raise UserError("noise: channel weights must be zero or more, with one above zero")
    return Mix(weights)
