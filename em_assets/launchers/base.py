"""The contract of a launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dagster as dg


@dataclass(frozen=True)
class Place:
    """An argument that names a file or folder here, and what the step does with it.

    `read`: it is carried to where the step runs. `write`: what the step leaves there is carried back after success. `shared`: read
    and written in place (tables), so both sides must see the same storage.
    """

    path: Path
    role: Literal["read", "write", "shared"]


Argument = str | Place


class Launcher(ABC):
    """Runs a console script of the `entity-matching` distribution and waits for it."""

    @abstractmethod
    def run(
        self,
        context: dg.AssetExecutionContext,
        entry_point: str,
        arguments: Sequence[Argument],
        env: Mapping[str, str],
    ) -> dg.MaterializeResult:
        """Run `entry_point` with `arguments`; what it reports through Dagster Pipes comes back.

        `env` are variables for a process on this machine. Raises `dagster.Failure` if the step fails, runs out of time, or ends
        without a report; an interrupt stops the step and is raised again.
        """


def reported(results: Sequence[object], metadata: Mapping[str, dg.MetadataValue]) -> dg.MaterializeResult:
    """The one materialization that the step reported; `dagster.Failure` with `metadata` where it reported none."""
    made = [result for result in results if isinstance(result, dg.MaterializeResult)]
    if len(made) != 1:
        raise dg.Failure(
            f"the step ended well but reported {len(made)} materializations instead of one: its messages were lost or it never "
            "opened Dagster Pipes",
            metadata=metadata,
        )
    return made[0]
