"""The vectors of a reference's names on Spark: what takes a transformer hours on one machine.

A static encoder needs none of this: it encodes names by a sparse product, where the index is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from em_core.retrieval.encoders import NameEncoder, make_encoder
from em_core.schema import REFERENCE
from em_core.spark import contract, ddl
from em_core.storage.arrow import from_arrow

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SPELLING_SCHEMA = pa.schema([("text", pa.string())])
VECTOR_SCHEMA = pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float32()))])


def spellings(reference: DataFrame) -> DataFrame:
    """(text) every name of every entity, own, other and former, in the spelling that the index compares; each once.

    `reference` has the columns of the reference contract. Raises `UserError` if `entity_id` or `name` is missing.
    """
    return contract(reference, REFERENCE).mapInArrow(_spelled, ddl(SPELLING_SCHEMA)).distinct()


def embed(texts: DataFrame, encoder: str) -> DataFrame:
    """(text, vector) of each row of `texts`, unit vectors by the encoder `encoder` as `make_encoder` knows it.

    Each worker process opens the encoder once; a folder must be one that the workers see.
    """

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                vectors = _encoder(encoder).encode(np.array(batch.column(0).to_pylist(), dtype=object))
                ends = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
                cells = pa.ListArray.from_arrays(ends, pa.array(vectors.ravel(), pa.float32()))
                yield pa.RecordBatch.from_arrays([batch.column(0), cells], schema=VECTOR_SCHEMA)

    return texts.select("text").mapInArrow(work, ddl(VECTOR_SCHEMA))


def _spelled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from em_core.retrieval.entity_names import entity_names
    from em_core.text.profile import profile

    for batch in batches:
        if batch.num_rows:
            rows = from_arrow(pa.Table.from_batches([batch]))
            aliases = rows["aliases"].map(lambda names: [] if names is None else list(names))
            names = entity_names(profile(rows.assign(aliases=aliases)), aliases)["search"]
            texts = pd.unique(names.to_numpy(dtype=object))
            yield pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=SPELLING_SCHEMA)


@lru_cache(maxsize=1)
def _encoder(name: str) -> NameEncoder:
    return make_encoder(name, [])
