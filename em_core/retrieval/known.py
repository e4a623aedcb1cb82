"""Vectors that were made elsewhere, by text: for a reference so large that a cluster reads its names with a transformer.

A folder of Parquet files (`text`, `vector`), which Spark writes, and `_encoder.json`, which says what made them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from em_core.errors import UserError
from em_core.retrieval.encoders import NameEncoder
from em_core.text.rarity import Texts

FACTS = "_encoder.json"  # Spark and Arrow pass over what starts with _
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownVectors:
    """`vectors` (n, d) float16 unit rows, as an index keeps them, of n distinct `texts`, made by the encoder with this fingerprint."""

    encoder: str
    fingerprint: str
    texts: pd.Index = field(repr=False)
    vectors: np.ndarray = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> KnownVectors:
        """Open what `em_embed_reference` wrote. Raises `UserError` for a folder that is something else or was not finished."""
        import pyarrow.dataset as ds

        name, fingerprint = read_facts(folder)
        try:
            table = ds.dataset(folder, format="parquet").to_table(columns=["text", "vector"])
            # Chunk by chunk: the numbers of all together are more than Arrow's lists can count.
            chunks = [pa.array([], pa.list_(pa.float32())), *table["vector"].cast(pa.list_(pa.float32())).chunks]
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{folder}: no table of vectors ({str(error).splitlines()[0]})") from error
        texts = pd.Index(table["text"].to_pandas().astype(object))
        lengths = np.unique(np.concatenate([c.value_lengths().to_numpy(zero_copy_only=False) for c in chunks]))
        parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
        if len(lengths) != 1 or texts.has_duplicates or not all(np.isfinite(part).all() for part in parts):
            raise UserError(f"{folder}: wants one vector of finite numbers, all of one length, for each text")
        vectors = np.concatenate([part.astype(np.float16) for part in parts])
        return cls(name, fingerprint, texts, vectors.reshape(len(texts), -1))

    def before(self, encoder: NameEncoder) -> NameEncoder:
        """The encoder that made these, asked only for texts that are missing here. Raises `UserError` if it is another one."""
        if encoder.fingerprint != self.fingerprint:
            raise UserError(
                f"the vectors were made by {self.encoder} ({self.fingerprint}), not by the encoder of the settings ({encoder.fingerprint})"
            )
        return _KnownFirst(self, encoder)


@dataclass(frozen=True)
class _KnownFirst:
    """See `KnownVectors.before`."""

    known: KnownVectors
    encoder: NameEncoder

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        wanted = np.asarray(texts, dtype=object)
        at = self.known.texts.get_indexer(pd.Index(wanted, dtype=object))
        missing = at < 0
        out = self.known.vectors[at].astype(np.float32)
        if missing.any():
            log.info("%d of %d names have no vector yet and are encoded here", missing.sum(), len(wanted))
            out[missing] = self.encoder.encode(wanted[missing], progress)
        return out


def read_facts(folder: Path) -> tuple[str, str]:
    """(name, fingerprint) of the encoder that made the vectors in `folder`. Raises `UserError` if it does not say."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return str(facts["encoder"]), str(facts["fingerprint"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: no vectors of em_embed_reference, or not finished") from error


def write_facts(folder: Path, encoder: str, fingerprint: str) -> None:
    """Say what made the vectors in `folder`; the last thing to be written."""
    (folder / FACTS).write_text(json.dumps({"encoder": encoder, "fingerprint": fingerprint}), encoding="utf-8")
