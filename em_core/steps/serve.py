"""The step `em_serving_endpoint`: the champion that is registered for serving answers at an endpoint; made or updated."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_serving_endpoint", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add("--endpoint", required=True, metavar="NAME", help="name of the endpoint")
    add("--model", required=True, metavar="NAME", help="registered model, catalog.schema.model")
    add("--alias", default="champion", help="alias whose version is served (default: champion)")
    add("--registry-uri", default="databricks-uc", metavar="URI", help="default: databricks-uc")
    add(
        "--size",
        default="Small",
        choices=("Small", "Medium", "Large"),
        help="4, 16 or 64 requests at a time (default: Small)",
    )
    add(
        "--always-on",
        action="store_true",
        help="never scale to zero: the first request after a pause then needs no start",
    )
    add("--seconds", type=float, default=3600, metavar="S", help="how long to wait until it is ready (default: 3600)")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.serving.deployment import EndpointSettings, deploy_endpoint
    from em_core.storage import ModelRegistry
    from em_core.workspace import workspace_client

    namespace, _, name = arguments.model.rpartition(".")
    registry = ModelRegistry("databricks", "entity_matching", registry_uri=arguments.registry_uri, namespace=namespace)
    version = registry.must_get(name, arguments.alias).version
    settings = EndpointSettings(
        name=arguments.endpoint,
        model=arguments.model,
        version=version,
        size=arguments.size,
        scale_to_zero=not arguments.always_on,
    )
    done = deploy_endpoint(workspace_client(), settings, arguments.seconds)
    say(f"endpoint {arguments.endpoint} serves version {version}: {done}")
    return Outcome(f"{arguments.model}/{version}", {"endpoint": arguments.endpoint, "version": version, "what": done})


if __name__ == "__main__":
    raise SystemExit(main())
