"""How steps fail: bad data at once and with its sentence, a busy disk or network after some more tries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from em_core.errors import UserError

# For steps that read and write files, tables or the registry.
RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@contextmanager
def bad_input_fails() -> Iterator[None]:
    """Turn a `UserError` into a failure that no retry repeats; its sentence is the description."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(str(error), metadata={"bad_input": str(error)}, allow_retries=False) from error
