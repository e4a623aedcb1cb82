"""The step `em_serving_endpoint`: the registered champion answers at a serving endpoint; made, or brought to that version."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from em_core.steps.step import Outcome, Say, add_registry_arguments, registry_of, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_serving_endpoint", description=__doc__, allow_abbrev=False)
    add_registry_arguments(out)
    add = out.add_argument
    add("--endpoint", required=True, metavar="NAME", help="name of the endpoint")
    add("--alias", default="champion", help="alias whose version is served (default: champion)")
    add(
        "--size", default="Small", choices=("Small", "Medium", "Large"),
        help="4, 16 or 64 requests at a time (default: Small)",
    )  # fmt: skip
    add("--always-on", action="store_true", help="never scale to zero: no request then waits for a start")
    add("--seconds", type=float, default=3600, metavar="S", help="how long to wait until it is ready (default: 3600)")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.deploy import MATCHER_MODEL
    from em_core.serving.deployment import EndpointSettings, deploy_endpoint
    from em_core.workspace import workspace_client

    found = registry_of(arguments).existing().must_get(MATCHER_MODEL, arguments.alias)
    settings = EndpointSettings(
        name=arguments.endpoint,
        model=found.name,
        version=found.version,
        size=arguments.size,
        scale_to_zero=not arguments.always_on,
    )
    done = deploy_endpoint(workspace_client(), settings, arguments.seconds)
    say(f"endpoint {arguments.endpoint} serves version {found.version}: {done}")
    return Outcome(found.uri, {"endpoint": arguments.endpoint, "model": found.uri, "what": done})


if __name__ == "__main__":
    raise SystemExit(main())
