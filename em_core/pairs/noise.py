"""The noise model: a master's entity as a feed would write it.

It makes the training pairs of the matcher, which sees no labels, and the demo's feeds with known truth. The rates in
`data/channels.toml` were tuned on real listing names; `benchmarks/noise_realism.py` compares them.

The noise of a record depends on the seed and its `entity_id` alone: neither on the order of the rows nor on what other rows
there are. Another seed gives another version of the same entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from em_core.errors import UserError
from em_core.pairs.noise_attributes import noisy_attributes
from em_core.pairs.noise_channels import LEGAL, OPERATORS, Channel, channel_mix, channels, profiles
from em_core.pairs.noise_letters import bare_punctuation, cased, fitted, transliterated
from em_core.pairs.noise_random import Dice, Mix
from em_core.pairs.noise_words import Scene, junk_text, like
from em_core.schema import IDENTIFIERS, SOURCE

#: Columns of the answer of `perturb`, before `operators`.
SOURCE_ATTRIBUTES = tuple(column for column in SOURCE.columns if column not in SOURCE.key)
_PLAIN_ATTRIBUTES = tuple(column for column in SOURCE_ATTRIBUTES if column not in ("name", "aliases"))
_SWAP_PARTNERS = ("city", "address", "industry", "country")


class NoiseSettings(BaseModel):
    """What kind of feed the noise imitates. Shares are in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = Field(default="mixed", description="crm, invoice, exchange or mixed")
    channels: dict[str, float] = Field(default={}, description="channel weights in place of the profile's")
    keep: dict[str, float] = Field(
        default={}, description="share of records that carry an attribute, in place of the channel's"
    )
    foreign_identifier: float = Field(
        default=0.005, ge=0, le=1, description="identifiers that belong to another entity"
    )
    broken_identifier: float = Field(default=0.01, ge=0, le=1, description="identifiers whose check digits fail")
    changed_country: float = Field(
        default=0.02, ge=0, le=1, description="countries of business in place of the registered office"
    )
    swapped: float = Field(default=0.003, ge=0, le=1, description="records whose name and another column are swapped")

    def mix(self) -> Mix[str]:
        """Channels to draw from. Raises `UserError` on an unknown profile or channel."""
        if self.channels:
            return channel_mix(self.channels)
        if self.profile not in profiles():
            raise UserError(f"noise: no profile {self.profile!r}; known: {', '.join(profiles())}")
        return channel_mix(profiles()[self.profile])


@dataclass(slots=True)
class _NameInWork:
    """A name and the operators that changed it so far."""

    text: str
    hits: list[str]

    def take(self, label: str, new: str) -> bool:
        """Accept a change; refuse one that changes nothing or leaves no letter or digit."""
        if new == self.text or not new.strip() or (any(map(str.isalnum, self.text)) and not any(map(str.isalnum, new))):
            return False
        self.text = new
        self.hits.append(label)
        return True


def _change_words(work: _NameInWork, scene: Scene, channel: Channel, dice: Dice) -> None:
    """Content operators: each on its own share; a record that none of them hit gets one by force."""
    form = channel.mixes["legal"].draw(dice)
    if form != "keep":
        work.take(f"legal_{form}", LEGAL[form](work.text, scene))
    for label, operator in OPERATORS.items():
        share = channel.operators.get(label, 0.0)
        # Draw for every operator of the model, so that a new share of one leaves the others' draws alone.
        if dice.chance(share):
            work.take(label, operator(work.text, scene))
    if not work.hits:
        shares = {label: share for label, share in channel.operators.items() if share > 0}
        while shares and not work.hits:
            label = Mix(shares).draw(dice)
            del shares[label]
            work.take(label, OPERATORS[label](work.text, scene))


def _tail(work: _NameInWork, scene: Scene, channel: Channel, dice: Dice) -> str:
    if not channel.junk or not dice.chance(channel.junk_share):
        return ""
    return like(work.text, junk_text(channel.mixes["junk"].draw(dice), scene))


def _gap(text: str, tail: str, room: int, aligned: bool) -> str:
    """What stands between name and tail, `room` characters being free for both."""
    if tail[0] in "^*" or (tail[0] == "-" and tail[1:2].isalpha()):
        return ""
    if aligned and len(tail) + 2 <= room:
        return "  "
    return "" if text.endswith(".") and len(tail) + 1 > room else " "


def _into_field(work: _NameInWork, tail: str, scene: Scene, channel: Channel, dice: Dice) -> None:
    """Tail and name into the width of the channel's name field."""
    width = channel.mixes["width"].draw(dice)
    fit, drop, aligned = dice.chance(channel.fit), dice.chance(channel.drop_words), dice.chance(channel.aligned)
    crowded = dice.chance(channel.crowded)
    if tail and channel.column:
        work.take("junk", f"{work.text[: channel.column]:<{channel.column}}{tail}")
        tail = ""
    elif width and fit:
        if tail and len(work.text) + 1 + len(tail) > width and crowded:
            tail = ""
        room = width - (len(tail) + 1 if tail else 0)
        if room >= 6 and len(work.text) > room:
            work.take("fitted", fitted(work.text, room, scene, drop))
    if tail:
        gap = _gap(work.text, tail, width - len(work.text) if width else 99, aligned)
        if not width or len(work.text) + len(gap) < width:  # else the field has no room for any of it
            work.take("junk", work.text + gap + tail)
    if width and len(work.text) > width:
        work.take("truncated", work.text[:width].rstrip())


def _noisy_name(name: str, scene: Scene, channel: Channel, dice: Dice) -> tuple[str, list[str]]:
    """The name as the channel writes it, and the operators that changed it: none if and only if it is unchanged."""
    work = _NameInWork(" ".join(name.split()), [])
    if not work.text:
        return name, []
    if not dice.chance(channel.clean):
        _change_words(work, scene, channel, dice)
    tail = _tail(work, scene, channel, dice)
    if dice.chance(channel.ascii):
        work.take("folded", transliterated(work.text, scene))
    if dice.chance(channel.bare):
        work.take("punctuation", bare_punctuation(work.text, scene))
    style = channel.mixes["case"].draw(dice)
    work.take(f"case_{style}", cased(work.text, style))
    _into_field(work, cased(tail, "upper") if style == "upper" else tail, scene, channel, dice)
    if work.text == name or not work.hits:
        return name, []  # operators that undid each other have changed nothing
    return work.text, list(dict.fromkeys(work.hits))


def _text(value: Any) -> str | None:
    return None if value is None or value is pd.NA or value != value or not str(value).strip() else str(value)


def _columns(frame: pd.DataFrame) -> dict[str, list[str | None]]:
    absent: list[str | None] = [None] * len(frame)
    return {
        column: [_text(value) for value in frame[column].to_numpy(dtype=object)] if column in frame.columns else absent
        for column in ("name", *_PLAIN_ATTRIBUTES)
    }


def _aliases(frame: pd.DataFrame) -> Iterable[tuple[str, ...]]:
    if "aliases" not in frame.columns:
        return [()] * len(frame)
    return [
        tuple(str(alias) for alias in value if str(alias).strip())
        if isinstance(value, (list, tuple, np.ndarray))
        else ()
        for value in frame["aliases"]
    ]


def _donors(donors: pd.DataFrame | None) -> Mapping[str, Sequence[str]]:
    if donors is None:
        return {}
    return {kind: sorted(donors[kind].dropna().astype(str).unique()) for kind in IDENTIFIERS if kind in donors.columns}


def perturb(
    frame: pd.DataFrame,
    seed: int,
    settings: NoiseSettings | None = None,
    donors: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Write reference entities as a feed would.

    `frame`: reference contract, n rows; `entity_id` and `name` must be there, absent attributes count as missing.
    `donors`: entities whose identifiers may turn up on the wrong record; without them such identifiers are invented,
    valid and nobody's.

    Returns n rows in the same order and with the same index: the attributes of the source contract and `operators`, the names
    of the operators that changed the record, in order, joined by `+`, empty for an untouched record. A missing name stays
    missing and a present one never becomes empty. `aliases` are always empty: feeds carry none; operators use them.

    Raises `UserError` on a missing column, an unknown profile or channel.
    """
    settings = settings or NoiseSettings()
    for column in ("entity_id", "name"):
        if column not in frame.columns:
            raise UserError(f"noise: the reference has no column {column!r}")
    names, known, lent = settings.mix(), channels(), _donors(donors)
    rates = settings.model_dump(include={"foreign_identifier", "broken_identifier", "changed_country"})
    keeps = {name: {**known[name].keep, **settings.keep} for name in names.choices}
    columns = _columns(frame)
    out: dict[str, list[Any]] = {column: [] for column in SOURCE_ATTRIBUTES}
    operators: list[str] = []
    keys = frame["entity_id"].astype(str).tolist()
    rows = zip(keys, _aliases(frame), *columns.values(), strict=True)
    for key, aliases, name, *values in tqdm(rows, total=len(keys), desc="noise", unit="rec", delay=5, leave=False):
        dice = Dice.of(seed, key)
        channel_name = names.draw(dice.fork("channel"))
        channel = known[channel_name]
        record = dict(zip(_PLAIN_ATTRIBUTES, values, strict=True))
        new = name
        hits: list[str] = []
        if name is not None:
            scene = Scene(dice.fork("words"), record["country"], record["city"], aliases, channel.dotted)
            new, hits = _noisy_name(name, scene, channel, dice.fork("name"))
        attributes, attribute_hits = noisy_attributes(
            record, dice.fork("attributes"), channel, keeps[channel_name], rates, lent
        )
        hits += attribute_hits
        if new is not None and dice.fork("swap").chance(settings.swapped):
            partner = next((column for column in _SWAP_PARTNERS if attributes[column]), None)
            if partner is not None and attributes[partner] != new:
                new, attributes[partner] = attributes[partner], new
                hits.append(f"swapped_{partner}")
        out["name"].append(new)
        out["aliases"].append([])
        for column, value in attributes.items():
            out[column].append(value)
        operators.append("+".join(hits))
    answer = pd.DataFrame(
        {column: pd.Series(values, dtype=object, index=frame.index) for column, values in out.items()}
    )
    answer["operators"] = pd.Series(operators, dtype=object, index=frame.index)
    return answer
