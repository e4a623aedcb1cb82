"""Several processes that train one model, as `torchrun` and `accelerate launch` start them, one for each GPU.

Every process sees the same batches and learns from its share of each; the gradients are summed before a step. So the
steps do not depend on the number of processes, beyond rounding and dropout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from torch import distributed, nn

from em_core.ditto.launch import launched
from em_core.ditto.model import best_device
from em_core.errors import UserError

T = TypeVar("T")
PATIENCE = timedelta(hours=6)  # the other processes wait while the main one validates


@dataclass(frozen=True)
class Processes:
    """This process (`rank`, the main one has 0) among `count`, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of the rows of a batch; together the parts are the batch."""
        return rows[self.rank :: self.count]

    def from_main(self, value: T) -> T:
        """The main process's `value` (anything that pickles), in every process."""
        if self.count == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    def same_weights(self, model: nn.Module) -> None:
        """Copy the main process's weights into every process's `model`."""
        if self.count > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all processes' gradients."""
        if self.count > 1:
            for parameter in parameters:
                if parameter.grad is None:  # a batch smaller than the number of processes
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)

    def sum(self, value: float) -> float:
        """The sum of all processes' values."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.item()


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that the launcher started, connected for the length of the block; alone if there was no launcher.

    Raises `UserError` if there are more processes on this machine than GPUs.
    """
    if not launched():
        yield Processes(0, 1, best_device())
        return
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    device = best_device()
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise UserError(f"process {local} of this machine has no GPU; start {torch.cuda.device_count()} processes")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, count, device)
    finally:
        distributed.destroy_process_group()
