"""The step `em_build_index`: the stored reference becomes a candidate index; of an older one only what changed is worked anew."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from em_core.steps.step import Outcome, Say, add_store_arguments, optional_path, run_step

if TYPE_CHECKING:
    import pandas as pd

    from em_core.retrieval.index import CandidateIndex, RetrievalSettings
    from em_core.retrieval.known import KnownVectors


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_build_index", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add = out.add_argument
    add(
        "--output-path",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="index folder; an older index is brought up to date",
    )
    add("--config", type=optional_path, metavar="FILE", help="YAML file with settings; see docs/operations.md")
    add(
        "--vectors",
        type=optional_path,
        metavar="FOLDER",
        help="what em_embed_reference wrote: names that have a vector there are not encoded here",
    )
    add("--anew", action="store_true", help="build from nothing even where an older index could be changed")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Build or change the index and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.errors import UserError
    from em_core.retrieval.index import CandidateIndex
    from em_core.retrieval.known import KnownVectors
    from em_core.settings import load_settings
    from em_core.storage.names import REFERENCE_TABLE
    from em_core.storage.places import open_store

    settings = load_settings(arguments.config).retrieval
    store = open_store(arguments.tables)
    reference = store.read(REFERENCE_TABLE)
    known = None
    if arguments.vectors is not None:
        if settings.encoder is None:
            raise UserError(f"--vectors {arguments.vectors}: the settings name no encoder (retrieval.encoder)")
        known = KnownVectors.load(arguments.vectors)
    folder: Path = arguments.output_path
    index = None if arguments.anew else changed_index(folder, reference, settings, say, known)
    how = "changed"
    if index is None:
        say(f"indexing {len(reference):,} entities")
        index, how = CandidateIndex.build(reference, settings, progress=True, known=known), "built anew"
    index.save(folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return Outcome(
        index.version,
        {
            "entities": len(reference),
            "names": len(index.owner),
            "n_grams": int(index.lexical.matrix.shape[1]),
            "encoder": index.settings.encoder or "none: no vector channel",
            "megabytes": round(size / 1e6, 1),
            "how": how,
            "rows_changed_since_n_grams_were_learned": index.changed,
            "folder": str(folder),
        },
        store,
        len(reference),
    )


def changed_index(
    folder: Path,
    reference: pd.DataFrame,
    settings: RetrievalSettings,
    say: Say,
    known: KnownVectors | None = None,
) -> CandidateIndex | None:
    """The index in `folder` with the rows of `reference`; None where it has to be built.

    That is so where there is none, it has other settings, or too much changed (`retrieval.refit_share`).
    """
    from em_core.errors import UserError
    from em_core.files import fingerprint_rows
    from em_core.retrieval.folder import MANIFEST
    from em_core.retrieval.index import CandidateIndex
    from em_core.schema import REFERENCE

    if not (folder / MANIFEST).is_file():
        return None
    try:
        index = CandidateIndex.load(folder, whole=True)
    except UserError as error:
        say(str(error))
        return None
    if index.settings != settings:
        return None
    columns = list(REFERENCE.columns)
    old = dict(zip(index.reference["entity_id"], fingerprint_rows(index.reference, columns), strict=True))
    digests, before = fingerprint_rows(reference, columns), reference["entity_id"].map(old)
    added, updated = before.isna().to_numpy(), (before.notna() & (before != digests)).to_numpy()
    removed = sorted(set(old) - set(reference["entity_id"]))
    moved = int(added.sum()) + len(removed) + int(updated.sum())
    if (index.changed + moved) / max(1, index.learned) > settings.refit_share:
        return None
    say(f"{int(added.sum()):,} entities came, {len(removed):,} went, {int(updated.sum()):,} changed")
    if known is not None and index.encoder is not None:
        index.encoder = known.before(index.encoder)
    if updated.any():
        index.update(reference[updated].reset_index(drop=True))
    if removed:
        index.remove(removed)
    if added.any():
        index.add(reference[added].reset_index(drop=True))
    return index


if __name__ == "__main__":
    raise SystemExit(main())
