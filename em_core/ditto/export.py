"""Exporting a trained model to faster runtimes, and choosing the one to score with by measuring them all here.

Whoever trained the model gets the runtime that is fastest on that machine, as long as scores and decisions stay what they
were. Called on a model folder, at the end of training or at any time later on another kind of machine.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit

from em_core.ditto.calibrate import figures
from em_core.ditto.folder import load_folder
from em_core.ditto.model import PairClassifier, has_bf16
from em_core.ditto.prepare import Preparation
from em_core.ditto.runtime import (
    CHOICE,
    FOLDER,
    PLAIN,
    Batch,
    Measured,
    Runtime,
    RuntimeChoice,
    build_runtime,
    cpu_features,
    exported_file,
    import_openvino,
)
from em_core.ditto.scoring import score_batches
from em_core.ditto.tokens import EncodedPairs, PairTokeniser

log = logging.getLogger(__name__)

TOLERANCE = 0.005  # mean change of a probability
JUDGED = 1_000  # most validation pairs that scores are compared on
TIMED = 256  # most pairs of a timing round
ROUNDS = 3
CALIBRATION = 300  # pairs that the ranges of the 8-bit numbers are taken from
_CALIBRATION_BATCH = 3
_LIBRARIES = ("torch", "openvino", "nncf")


def export_runtimes(
    folder: Path, train: pd.DataFrame, valid: pd.DataFrame, tolerance: float = TOLERANCE
) -> RuntimeChoice:
    """Export the model in `folder`, measure every runtime that this machine has, keep the best one's files.

    The fastest wins whose probabilities change by less than `tolerance` on average and which loses no F1 at the threshold,
    both against torch in single precision on `valid`. `train` calibrates the 8-bit numbers. Both frames have `left_entity`,
    `right_entity`, `label`. Writes `runtime/` in the folder, replacing an older one, and returns what `runtime.json` holds.
    A library that is not installed is left out of the comparison. Raises `UserError` if the folder is no Ditto model.
    """
    classifier, tokenizer, manifest = load_folder(folder)
    tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
    target = folder / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    names = [PLAIN]
    if has_bf16(torch.device("cpu")):
        names.append("torch-bf16")
    prepare = Preparation.load(folder)
    sample = train.sample(min(CALIBRATION, len(train)), random_state=0)
    names += export_networks(classifier, tokeniser, _encoded(tokeniser, prepare, sample), target)
    valid = valid.sample(min(JUDGED, len(valid)), random_state=0)
    measured = _measure(
        {name: build_runtime(name, target, classifier) for name in names},
        tokeniser,
        _encoded(tokeniser, prepare, valid),
        valid["label"].to_numpy(),
        manifest.temperature,
        manifest.encoder_threshold,
    )
    chosen = _choose(measured, tolerance)
    kept = [] if chosen.startswith("torch") else [Path(exported_file(chosen)).stem]
    for file in target.iterdir():
        if file.stem not in kept:
            file.unlink()
    choice = RuntimeChoice(
        chosen=chosen,
        weights=manifest.digest,
        files={file.name: file.stat().st_size for file in sorted(target.iterdir())},
        cpu=cpu_features(),
        threads=torch.get_num_threads(),
        tolerance=tolerance,
        pairs=len(valid),
        measured=tuple(measured),
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES if importlib.util.find_spec(name)},
    )
    (target / CHOICE).write_text(choice.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return choice


def export_networks(
    classifier: PairClassifier, tokeniser: PairTokeniser, pairs: EncodedPairs, target: Path
) -> list[str]:
    """Write to `target` what the installed libraries can make of the network; the names of the runtimes that it serves here.

    `pairs` show which numbers turn up inside, for arithmetic of 8 bits.
    """
    try:
        openvino = import_openvino()
    except ImportError:
        log.info("OpenVINO is not installed, torch scores; the extra is entity-matching[fast]")
        return []
    cuts = np.split(np.arange(len(pairs)), range(_CALIBRATION_BATCH, len(pairs), _CALIBRATION_BATCH))
    batches = [tokeniser.arrays(pairs, rows) for rows in cuts]
    network = _convert(openvino, classifier, batches[0])
    # Half-precision weights would move scores by 1e-4, which is enough to flip a decision at the threshold.
    openvino.save_model(network, target / "fp32.xml", compress_to_fp16=False)
    arithmetics = ["fp32"]
    if importlib.util.find_spec("nncf") is None:
        log.info("NNCF is not installed, 8-bit scoring is left out; the extra is entity-matching[fast]")
    else:
        openvino.save_model(_quantise(network, batches), target / "int8.xml")
        arithmetics.append("int8")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        arithmetics += [{"fp32": "bf16", "int8": "int8-bf16"}[arithmetic] for arithmetic in arithmetics]
    return [f"openvino-{arithmetic}" for arithmetic in arithmetics]


def _encoded(tokeniser: PairTokeniser, prepare: Preparation, pairs: pd.DataFrame) -> EncodedPairs:
    return tokeniser.encode(prepare(pairs["left_entity"].tolist()), prepare(pairs["right_entity"].tolist()))


def _convert(openvino: Any, classifier: PairClassifier, example: Batch) -> Any:
    """The network with any number of pairs and tokens; the example must not be one pair alone."""
    tensors = {name: torch.from_numpy(array) for name, array in example.items()}
    with warnings.catch_warnings():
        # The branches that tracing fixes depend on the kind of attention, not on the batch; the rest is between libraries.
        for kind in (torch.jit.TracerWarning, DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        return openvino.convert_model(classifier, example_input=tensors)


def _quantise(network: Any, batches: Sequence[Batch]) -> Any:
    """The network with weights and activations of 8 bits, their ranges taken from the batches."""
    with _quiet_nncf():
        import nncf

        # Not nncf.set_log_level, which also sets the level of every handler there, such as the application's.
        logging.getLogger("nncf").setLevel(logging.ERROR)
        return nncf.quantize(
            network, nncf.Dataset(list(batches)), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)
        )


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[None]:
    """NNCF writes to standard output, where the metrics of the run stand alone, and sets the class of all new loggers."""
    before = logging.getLoggerClass()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.setLoggerClass(before)


def _measure(
    runtimes: dict[str, Runtime],
    tokeniser: PairTokeniser,
    pairs: EncodedPairs,
    labels: np.ndarray,
    temperature: float,
    threshold: float,
) -> list[Measured]:
    """Each runtime's speed and how its scores differ from those of the first; rounds take turns, the machine may be shared."""
    scores = {name: expit(score_batches(r, tokeniser, pairs) / temperature) for name, r in runtimes.items()}
    plain = scores[PLAIN]
    timed = pairs.take(np.arange(min(TIMED, len(pairs))))
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(ROUNDS):
        for name, runtime in runtimes.items():
            began = time.perf_counter()
            score_batches(runtime, tokeniser, timed)
            seconds[name].append(time.perf_counter() - began)
    return [
        Measured(
            runtime=name,
            pairs_per_second=round(len(timed) / float(np.median(seconds[name])), 1),
            mean_change=float(np.abs(scores[name] - plain).mean()),
            max_change=float(np.abs(scores[name] - plain).max()),
            flips=int(((scores[name] >= threshold) != (plain >= threshold)).sum()),
            f1=figures(scores[name], labels, threshold)["f1"],
        )
        for name in runtimes
    ]


def _choose(measured: list[Measured], tolerance: float) -> str:
    """The fastest of those that change little and lose nothing; the first, plain torch, is always one of them."""
    plain = measured[0]
    fit = [plain] + [m for m in measured[1:] if m.mean_change < tolerance and m.f1 >= plain.f1]
    best = max(fit, key=lambda m: m.pairs_per_second)
    for m in measured:
        log.info(
            "%s: %.0f pairs/s, mean score change %.5f, %d decisions changed, F1 %.4f%s",
            *(m.runtime, m.pairs_per_second, m.mean_change, m.flips, m.f1, ", chosen" if m is best else ""),
        )
    return best.runtime
