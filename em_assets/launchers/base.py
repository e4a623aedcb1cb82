"""The contract of a launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import dagster as dg


class Launcher(dg.ConfigurableResource, ABC):
    """Runs a console script of the `entity-matching` distribution and waits for it."""

    @abstractmethod
    def run(
        self, context: dg.AssetExecutionContext, entry_point: str, arguments: Sequence[str], env: Mapping[str, str]
    ) -> dg.MaterializeResult:
        """Run `entry_point` with `arguments`; what it reports through Dagster Pipes comes back.

        Raises `dagster.Failure` if it fails, is cancelled or ends without a report.
        """
