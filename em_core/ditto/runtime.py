"""What runs the network: torch, or OpenVINO where it was measured on this kind of machine to be faster and as right.

`em_core.ditto.export` measures and writes the folder `runtime/` of a model; here it is opened again.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from em_core.ditto.model import PairClassifier

log = logging.getLogger(__name__)

FOLDER = "runtime"
CHOICE = "runtime.json"
PLAIN = "torch-fp32"

Batch = Mapping[str, np.ndarray]

# What decides how fast and how exactly a processor multiplies small numbers.
_FEATURES = ("avx512_vnni", "avx_vnni", "amx_int8", "avx512_bf16", "amx_bf16")


class Runtime(Protocol):
    """Runs the network over batches; `token_budget` is how many tokens, padding included, a batch should have."""

    name: str
    token_budget: int

    def logits(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """Logits of each batch, shape (pairs,), in the order of the batches; a batch is int64 arrays (pairs, tokens)."""


class TorchRuntime:
    """The classifier itself, on its own device."""

    def __init__(self, classifier: PairClassifier, bf16: bool = False) -> None:
        self.classifier = classifier.eval()
        self.device = next(classifier.parameters()).device
        self.bf16 = bf16
        self.name = "torch-bf16" if bf16 else PLAIN
        self.token_budget = 65536 if self.device.type == "cuda" else 2048

    def logits(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """See `Runtime`."""
        for batch in batches:
            tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
            with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                logits = self.classifier(**tensors)
            yield logits.float().cpu().numpy()


class OpenVinoRuntime:
    """An exported network on the CPU. Batches are computed while the next ones are put together."""

    token_budget = 2048

    def __init__(self, name: str, file: Path, threads: int) -> None:
        self.name = name
        openvino = import_openvino()
        self._streams = min(2, threads)
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            # Every process would pin its threads to the same first cores: two workers of a machine shared one.
            "ENABLE_CPU_PINNING": False,
            "NUM_STREAMS": self._streams,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16"
            if name.endswith("bf16")
            else "f32",  # the default is whatever is fastest there
        }
        self._model = openvino.Core().compile_model(file, "CPU", options)

    def logits(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """See `Runtime`."""
        idle = [self._model.create_infer_request() for _ in range(self._streams + 1)]  # one waits while the others run
        busy: deque[Any] = deque()
        for batch in batches:
            if not idle:
                idle.append(busy.popleft())
                yield _finished(idle[-1])
            busy.append(idle.pop())
            busy[-1].start_async(dict(batch))
        yield from map(_finished, busy)


def _finished(request: Any) -> np.ndarray:
    request.wait()
    return request.get_output_tensor(0).data.ravel().copy()


class Measured(BaseModel):
    """One runtime on the validation pairs, beside torch in single precision."""

    model_config = ConfigDict(frozen=True)

    runtime: str
    pairs_per_second: float  # median of the rounds
    mean_change: float  # of the calibrated probability
    max_change: float
    flips: int  # decisions at the threshold that changed
    f1: float


class RuntimeChoice(BaseModel):
    """`runtime.json`: which runtime scores fastest within the tolerance, and what was measured where."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    chosen: str
    weights: str  # SHA-256 of the weights that were exported
    files: dict[str, int]  # name and bytes of each exported file
    cpu: tuple[str, ...]
    threads: int
    tolerance: float
    pairs: int
    measured: tuple[Measured, ...]
    libraries: dict[str, str]


def import_openvino() -> Any:
    """The package `openvino`; raises ImportError if it is not installed.

    It would report its use to its vendor over the network, which is none of this package's business: the reporting
    module is hidden from it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: an import of it fails
    import openvino

    return openvino


def cpu_features() -> tuple[str, ...]:
    """The instruction sets of this processor that speed or arithmetic of a runtime depend on."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # absent from older torch
    return (torch.backends.cpu.get_cpu_capability(), *(name for name in _FEATURES if known.get(name)))


def build_runtime(name: str, folder: Path, classifier: PairClassifier) -> Runtime:
    """The runtime `name` of those that `em_core.ditto.export` measures; exported files lie in `folder`.

    Raises ImportError without OpenVINO and RuntimeError for a file that it cannot compile here.
    """
    library, _, arithmetic = name.partition("-")
    if library == "torch":
        return TorchRuntime(classifier, arithmetic == "bf16")
    return OpenVinoRuntime(name, folder / exported_file(name), torch.get_num_threads())


def exported_file(name: str) -> str:
    """The file that an OpenVINO runtime is compiled from; its weights lie beside it with the suffix `.bin`."""
    return "int8.xml" if "int8" in name else "fp32.xml"


def open_runtime(model: Path, weights: str, classifier: PairClassifier) -> Runtime:
    """The runtime that was chosen for the model folder `model`, or plain torch.

    Torch serves a GPU, and takes over, with a line in the log, where the chosen runtime cannot run or its arithmetic would
    not be the one that was measured. `weights` is the digest of the model's weights.
    """
    path = model / FOLDER / CHOICE
    if next(classifier.parameters()).device.type != "cpu" or not path.is_file():
        return TorchRuntime(classifier)
    chosen = "the measured runtime"
    try:
        choice = RuntimeChoice.model_validate_json(path.read_text(encoding="utf-8"))
        chosen = choice.chosen
        obstacle = _obstacle(choice, path.parent, weights)
        if obstacle is None:
            return build_runtime(chosen, path.parent, classifier)
    except (ValidationError, UnicodeDecodeError):
        obstacle = f"{CHOICE} is damaged"
    except ImportError:
        obstacle = "OpenVINO is not installed; the extra is entity-matching[fast]"
    except RuntimeError as error:  # what OpenVINO raises for anything amiss
        obstacle = str(error).strip().splitlines()[-1]
    log.warning("%s: scoring with torch instead of %s: %s", model, chosen, obstacle)
    return TorchRuntime(classifier)


def _obstacle(choice: RuntimeChoice, folder: Path, weights: str) -> str | None:
    """Why the choice does not hold here, or None."""
    if choice.weights != weights:
        return "it was exported from other weights"
    for name, size in choice.files.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            return f"{FOLDER}/{name} is missing or not {size} bytes long"
    # Single precision is the same everywhere; eight bits saturate without VNNI, and bfloat16 may be emulated.
    if not choice.chosen.endswith("fp32") and choice.cpu != cpu_features():
        return f"measured on a CPU with {' '.join(choice.cpu)}, this one has {' '.join(cpu_features())}"
    return None
