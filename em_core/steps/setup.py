"""The step `em_setup_catalog`: schemas, volumes, the published tables with comments, quality views and grants of a catalog."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_setup_catalog", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add("--catalog", required=True, metavar="NAME", help="catalog that everything goes into")
    add(
        "--make-catalog",
        choices=("yes", "no"),
        default="no",
        help="make the catalog too; needs the right to (default: no)",
    )
    add("--reader", action="append", default=[], metavar="GROUP", help="may read gold; may be repeated")
    add("--writer", action="append", default=[], metavar="GROUP", help="may read and write everything; may be repeated")
    add("--dry-run", action="store_true", help="print the statements and run none")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Set the catalog up and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.files import fingerprint_texts
    from em_core.storage.catalog import setup_statements
    from em_core.storage.places import open_engine

    statements = setup_statements(
        arguments.catalog, make_catalog=arguments.make_catalog == "yes",
        readers=_given(arguments.reader), writers=_given(arguments.writer),
    )  # fmt: skip
    if arguments.dry_run:
        sys.stderr.write(";\n".join(statements) + ";\n")
    else:
        engine = open_engine()
        for statement in statements:
            say(statement.partition(" (")[0])
            engine.query(statement)
    return Outcome(fingerprint_texts(statements), {"statements": len(statements), "run": not arguments.dry_run})


def _given(names: list[str]) -> list[str]:
    """A job parameter that is left empty names nobody."""
    return [name for name in names if name.strip()]


if __name__ == "__main__":
    raise SystemExit(main())
