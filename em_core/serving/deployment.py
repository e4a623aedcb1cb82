"""A Model Serving endpoint that holds one registered matcher: made, or brought to another version, as often as one likes.

Calls of the serving API (docs.databricks.com/api/workspace/servingendpoints), by the SDK's bare client: the SDK of the oldest supported
runtime does not know every field.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from em_core.errors import UserError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_PATH = "/api/2.0/serving-endpoints"
log = logging.getLogger(__name__)


class EndpointSettings(BaseModel):
    """What serves."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    model: str = Field(description="registered model, catalog.schema.model")
    version: int = Field(ge=1)
    size: str = Field("Small", description="Small: 4 requests at a time, Medium: 16, Large: 64")
    compute: str = Field("CPU", description="workload type")
    scale_to_zero: bool = True


def wanted_config(settings: EndpointSettings) -> dict[str, Any]:
    """The configuration as the API takes it."""
    served = f"{settings.model.rpartition('.')[2]}-{settings.version}"
    return {
        "served_entities": [
            {
                "name": served,
                "entity_name": settings.model,
                "entity_version": str(settings.version),
                "workload_size": settings.size,
                "workload_type": settings.compute,
                "scale_to_zero_enabled": settings.scale_to_zero,
            }
        ],
        "traffic_config": {"routes": [{"served_model_name": served, "traffic_percentage": 100}]},
    }


def deploy_endpoint(
    client: WorkspaceClient, settings: EndpointSettings, seconds: float = 3600, pause: float = 15
) -> str:
    """Make the endpoint serve that version and wait until it does; `created`, `updated` or `unchanged`.

    The version before answers until the new one is ready. Raises `UserError` if the service refuses, fails or needs longer than `seconds`.
    """
    found, config = _find(client, settings.name), wanted_config(settings)
    if found is None:
        _ask(client, "POST", _PATH, {"name": settings.name, "config": config})
        done = "created"
    else:
        if _busy(found):
            found = _wait(client, settings.name, seconds, pause)
        if _serves(found, config):
            return "unchanged"
        _ask(client, "PUT", f"{_PATH}/{settings.name}/config", config)
        done = "updated"
    if not _serves(_wait(client, settings.name, seconds, pause), config):
        raise UserError(f"serving endpoint {settings.name}: version {settings.version} did not come up")
    return done


def _find(client: WorkspaceClient, name: str) -> dict[str, Any] | None:
    from databricks.sdk.errors import NotFound

    try:
        return dict(client.api_client.do("GET", f"{_PATH}/{name}"))  # type: ignore[arg-type]
    except NotFound:
        return None


def _ask(client: WorkspaceClient, method: str, path: str, body: dict[str, Any]) -> None:
    from databricks.sdk.errors import DatabricksError

    try:
        client.api_client.do(method, path, body=body)
    except DatabricksError as error:
        raise UserError(f"serving: {str(error).splitlines()[0]}") from None


def _busy(found: dict[str, Any]) -> bool:
    state = found.get("state") or {}
    return state.get("config_update") == "IN_PROGRESS" or (
        state.get("ready") == "NOT_READY" and bool(found.get("pending_config"))
    )


def _wait(client: WorkspaceClient, name: str, seconds: float, pause: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        found = _find(client, name)
        if found is None:
            raise UserError(f"serving endpoint {name} was deleted meanwhile")
        if not _busy(found):
            if (found.get("state") or {}).get("config_update") == "UPDATE_FAILED":
                raise UserError(f"serving endpoint {name}: the update failed ({_why(found)})")
            return found
        if time.monotonic() > deadline:
            raise UserError(f"serving endpoint {name}: not ready after {seconds:.0f} s; it may still come up")
        log.info("%s is not ready yet", name)
        time.sleep(pause)


def _why(found: dict[str, Any]) -> str:
    entities = (found.get("pending_config") or {}).get("served_entities") or [{}]
    state = entities[0].get("state") or {}
    return str(state.get("deployment_state_message") or "no reason is given; see its build log")


def _serves(found: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether the configuration in force is the wanted one, in what we set."""
    now = ((found.get("config") or {}).get("served_entities") or [{}])[0]
    return all(now.get(key) == value for key, value in config["served_entities"][0].items())
