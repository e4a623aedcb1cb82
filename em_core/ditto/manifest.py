"""The manifest of a model folder, `ditto.json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from em_core.ditto.blend import Blend
from em_core.ditto.settings import TrainSettings


class Manifest(BaseModel):
    """What a reader needs beside the weights: how to serialise, how to cut, how to read the score, where it comes from."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    attributes: tuple[str, ...]
    max_length: int
    pooling: Literal["mean", "cls"]
    threshold: float  # of the probability that `predict` gives by default
    temperature: float  # of the encoder's logits
    encoder_threshold: float
    blend: Blend | None = None  # None: an encoder alone
    base_model: str
    settings: TrainSettings
    data: dict[str, str]  # role of each file of pairs -> SHA-256
    metrics: dict[str, Any]
    libraries: dict[str, str]
    files: dict[str, int] = {}
    digest: str = ""  # SHA-256 of the weights
