"""An endpoint is made, brought to another version, left alone; what cannot be is told in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core.errors import UserError
from em_core.serving.deployment import EndpointSettings, deploy_endpoint
from tests.workspace.endpoints import Endpoints
from tests.workspace.server import Workspace, serve

MODEL = "main.matching.entity_matcher"


@pytest.fixture
def standing_in(tmp_path: Path) -> Iterator[tuple[Endpoints, Any]]:
    pytest.importorskip("databricks.sdk")
    from databricks.sdk import WorkspaceClient

    space = Workspace(Path("python"), tmp_path)
    space.endpoints = Endpoints({(MODEL, "1"), (MODEL, "2"), (MODEL, "99")})
    server = serve(space)
    yield (
        space.endpoints,
        WorkspaceClient(host=f"http://127.0.0.1:{server.server_port}", token=space.token, auth_type="pat"),
    )
    server.shutdown()


def settings(version: int, **more: Any) -> EndpointSettings:
    return EndpointSettings(name="matching-dev", model=MODEL, version=version, **more)


def test_made_updated_and_left_alone(standing_in: tuple[Endpoints, Any]) -> None:
    endpoints, client = standing_in
    assert deploy_endpoint(client, settings(1), 5, 0.01) == "created"
    assert deploy_endpoint(client, settings(1), 5, 0.01) == "unchanged" and endpoints.writes == 1
    assert deploy_endpoint(client, settings(2), 5, 0.01) == "updated"
    assert deploy_endpoint(client, settings(2, size="Medium"), 5, 0.01) == "updated" and endpoints.writes == 3
    (entity,) = endpoints.serving["matching-dev"]["config"]["served_entities"]
    assert entity["entity_version"] == "2" and entity["workload_size"] == "Medium"


def test_a_version_that_does_not_come_up_leaves_the_one_before(standing_in: tuple[Endpoints, Any]) -> None:
    endpoints, client = standing_in
    deploy_endpoint(client, settings(1), 5, 0.01)
    with pytest.raises(UserError, match="the image could not be built"):
        deploy_endpoint(client, settings(99), 5, 0.01)
    (entity,) = endpoints.serving["matching-dev"]["config"]["served_entities"]
    assert entity["entity_version"] == "1"


def test_what_is_not_there_or_takes_too_long_is_told(standing_in: tuple[Endpoints, Any]) -> None:
    _, client = standing_in
    with pytest.raises(UserError, match="has no version 7"):
        deploy_endpoint(client, settings(7), 5, 0.01)
    with pytest.raises(UserError, match="not ready after 0 s"):
        deploy_endpoint(client, settings(1).model_copy(update={"name": "other"}), 0, 0.01)
    with pytest.raises(ValueError, match="name"):
        EndpointSettings(name="no blanks", model=MODEL, version=1)
