"""The step `em_promote_matcher`: the challenger becomes champion if it beats the one in use; the champion is put on the newest index.

With `--version` a person names the version, past the gate; with `--rollback` the champion before this one comes back.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, add_registry_arguments, add_store_arguments, registry_of, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_promote_matcher", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add_registry_arguments(out)
    add = out.add_argument
    add("--index", type=Path, required=True, metavar="FOLDER", help="index folder that em_build_index wrote")
    add("--output-path", type=Path, required=True, metavar="FOLDER", help="matcher folder that matching opens")
    add(
        "--records",
        type=int,
        default=300,
        metavar="N",
        help="fewest records with known answers to compare by (default: 300)",
    )
    one = out.add_mutually_exclusive_group()
    one.add_argument("--version", type=int, metavar="N", help="make this registered version the champion")
    one.add_argument("--rollback", action="store_true", help="go back to the champion before this one")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Decide, deploy and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.deploy import MATCHER_MODEL, consider, deploy
    from em_core.evaluation.promotion import GateSettings
    from em_core.storage.names import EVALUATION_TABLE
    from em_core.storage.places import open_store

    store, registry = open_store(arguments.tables), registry_of(arguments).existing()
    metrics: dict[str, float] = {}
    if arguments.rollback:
        verdict = f"rolled back to version {registry.rollback(MATCHER_MODEL).version}"
    elif arguments.version is not None:
        registry.promote(MATCHER_MODEL, arguments.version, {"verdict": "by hand"})
        verdict = f"version {arguments.version} is champion by hand"
    else:
        evaluation = store.read(EVALUATION_TABLE)
        found = consider(
            registry, evaluation, arguments.index, GateSettings(records=arguments.records), {"run_id": arguments.run_id}
        )
        verdict, metrics = found.reason, found.metrics()
    say(verdict)
    done = deploy(registry, arguments.index, arguments.output_path)
    told = {
        "verdict": verdict,
        "registered_version": done.registered,
        "matcher_version": done.version,
        "reference_version": done.reference_version,
        "deployed": done.note,
        "metrics": metrics,
    }
    return Outcome(done.version, told, store)


if __name__ == "__main__":
    raise SystemExit(main())
