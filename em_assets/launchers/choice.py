"""Which launcher a heavy step takes: a small YAML file says it, not code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from em_assets.failures import bad_input_fails
from em_assets.launchers.base import Launcher
from em_assets.launchers.local import LocalLauncher, LocalSettings
from em_assets.launchers.remote import DatabricksSettings
from em_core.errors import UserError

Step = Literal["ditto_model", "vector_index", "match_results"]
Kind = Literal["local", "databricks"]


class LauncherChoice(BaseModel):
    """The file that `EM_LAUNCHERS` names."""

    model_config = ConfigDict(extra="forbid")

    default: Kind = "local"
    """where steps run that `steps` does not name"""
    steps: dict[Step, Kind] = Field(default_factory=dict)
    """where single steps run"""
    local: LocalSettings = Field(default_factory=LocalSettings)
    databricks: DatabricksSettings | None = None

    @model_validator(mode="after")
    def _described(self) -> LauncherChoice:
        if self.databricks is None and "databricks" in {self.default, *self.steps.values()}:
            raise ValueError("a step is sent to databricks, but there is no section 'databricks'")
        return self


def read_choice(path: Path) -> LauncherChoice:
    """The choice in a YAML file; UserError with file and key where it is not one."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    try:
        return LauncherChoice.model_validate(found or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}") from None


class Launchers(dg.ConfigurableResource):
    """Gives each heavy step its launcher. `file` as `EM_LAUNCHERS` names it; empty: everything runs on this machine."""

    file: str = ""

    def of(self, step: Step) -> Launcher:
        """The launcher of a step. Nothing of Databricks is imported unless a step goes there."""
        with bad_input_fails():
            choice = read_choice(Path(self.file)) if self.file else LauncherChoice()
        if choice.steps.get(step, choice.default) == "local" or choice.databricks is None:
            return LocalLauncher(choice.local)
        from em_assets.launchers.databricks import DatabricksLauncher

        return DatabricksLauncher(choice.databricks)
