"""Settings of the Databricks launcher; nothing of Databricks is imported here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Volume = Annotated[str, Field(pattern=r"^/Volumes/[^/]+/[^/]+/[^/]+(/.*)?$")]


class DatabricksSettings(BaseModel):
    """Where and how a step runs as a `python_wheel_task`. Host and credentials come from the SDK's own places, never from here."""

    model_config = ConfigDict(extra="forbid")

    volume: Volume
    """Unity Catalog volume (or folder on one) for Pipes messages and for files that go to the step and come back"""
    wheel: str
    """the wheel of this distribution, as the workspace sees it: a volume or workspace path"""
    package: str = "entity-matching"
    existing_cluster_id: str | None = None
    new_cluster: dict[str, Any] | None = None
    """a cluster for this run alone, as the Jobs API takes it"""
    environment: dict[str, Any] | None = None
    """serverless: the `spec` of the task's environment; the wheel is added to its dependencies"""
    paths: dict[str, str] = Field(default_factory=dict)
    """folders that both sides see: path here -> path there; what lies in one is not copied"""
    arguments: dict[str, list[str]] = Field(default_factory=dict)
    """more arguments of an entry point, for example `{train_ditto: [--mlflow-tracking-uri, databricks]}`"""
    stream_output: bool = True
    """show in Dagster what the step writes to stdout and stderr; costs some seconds at the end of each step"""
    timeout_seconds: int = Field(default=6 * 3600, gt=0)
    """the remote run is ended after that"""
    poll_seconds: float = Field(default=5, gt=0)
    retry_seconds: int = Field(default=300, gt=0)
    """so long a refused or failing call of the workspace (429, 503, no connection) is tried again"""

    @model_validator(mode="after")
    def _one_compute(self) -> DatabricksSettings:
        given = [n for n in ("existing_cluster_id", "new_cluster", "environment") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                "name one of existing_cluster_id, new_cluster and environment" + (f", not {given}" if given else "")
            )
        return self
