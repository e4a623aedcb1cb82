"""Exchange short names against a master of listed companies: ours beside others, same data, each as a process of its own.

    python benchmarks/companies.py --data ../shared/data/companies [--only WORD ...] [--limit N] [--entities N]

Validation queries only; the groups marked `unseen` (of both splits) are dropped from the reference, so their right answer is
none. Another entity of the same group counts as right. `source_id` and `source_system` are never features. Peers with needs of their
own run in virtual environments that this script makes (`--environments`); one that cannot be installed or run is reported as such.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from em_core.evaluation.curves import recall_at_precision
from em_core.evaluation.intervals import clopper_pearson
from em_core.files import read_table

PEERS = Path(__file__).parent / "peers"
_COLUMNS = (
    "method", "queries", "recall@10", "top-1", "R@P99", "R@P95", "auto precision", "auto recall", "steps, seconds", "process s", "peak MB",
)  # fmt: skip

# A process inherits the peak memory of the one that starts it, so a small one stands between.
_LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as out:
    out.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


@dataclass(frozen=True)
class Method:
    """A row of the table: a script below `peers`, what it may see, and what it needs."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    labels: bool = False
    country: bool = False
    packages: tuple[str, ...] = ()
    """requirements of an environment of its own; none: it runs in this one"""


def _methods() -> list[Method]:
    emm, logic, grouper = ("emm==2.1.11",), ("nomenklatura==4.17.4", "pandas"), ("string-grouper==0.8.0",)
    plain = [
        Method("rapidfuzz ratio", "rapidfuzz_best.py", ("--scorer", "ratio")),
        Method("rapidfuzz token_sort", "rapidfuzz_best.py", ("--scorer", "token_sort_ratio")),
        Method("TF-IDF only", "tfidf.py"),
        Method("string-grouper", "string_grouper_match.py", packages=grouper),
    ]
    peers = [
        Method(
            f"{name}{', with country' if country else ''}", script, labels=labels, country=country, packages=packages
        )
        for name, script, labels, packages in (
            ("nomenklatura logic-v2 over TF-IDF top 5", "nomenklatura_match.py", False, logic),
            ("EMM supervised, labels", "emm_match.py", True, emm),
            ("gradient boosting over TF-IDF top 10, labels", "boosting.py", True, ()),
        )
        for country in (False, True)
    ]
    ours = [
        Method(
            f"ours, {'labels' if labels else 'no labels'}, {'with country' if country else 'name only'}{'' if ditto else ', no Ditto'}",
            "ours.py", () if ditto else ("--no-ditto",), labels, country,
        )
        for ditto in (False, True) for labels in (False, True) for country in (False, True)
    ]  # fmt: skip
    return plain + peers + ours


def load(
    folder: Path, limit: int | None, entities: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Reference without the unseen groups, training and validation queries.

    `limit`: so many validation queries. `entities`: so many reference entities, those of the queries first; training queries of other
    entities go with them.
    """
    reference, train, valid = (read_table(folder / f"{n}.csv") for n in ("reference", "queries_train", "queries_valid"))
    unseen = {g for q in (train, valid) for g in q.loc[q["unseen"] == "True", "group_id"]}
    reference = reference[~reference["group_id"].isin(unseen)].reset_index(drop=True)
    if limit is not None:
        valid = valid.sample(min(limit, len(valid)), random_state=0).reset_index(drop=True)
    if entities is not None:
        asked = reference["group_id"].isin(valid["group_id"])
        others = reference[~asked].sample(max(0, min(entities, len(reference)) - int(asked.sum())), random_state=0)
        reference = reference[asked | reference.index.isin(others.index)].reset_index(drop=True)
        known = train["entity_id"].isin(reference["entity_id"])
        none = train[train["unseen"] == "True"].sample(frac=known.mean(), random_state=0)
        train = train[known | train.index.isin(none.index)].reset_index(drop=True)
    return reference, train, valid


@dataclass(frozen=True)
class Ran:
    """What one process gave: its answers or why there are none, seconds, and its peak memory (children included)."""

    answers: pd.DataFrame | None
    fault: str
    steps: dict[str, object]
    seconds: float
    peak_mb: int


def environment(packages: tuple[str, ...], folder: Path) -> tuple[Path, str]:
    """Python of an environment that has the packages, made where it is missing, and why it could not be made ("" = it could)."""
    if not packages:
        return Path(sys.executable), ""
    place = folder / "-".join(packages).replace("==", "-")
    python, done = place / "bin" / "python", place / "installed"
    if not done.is_file():
        venv.create(place, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        installed = subprocess.run(command, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            return python, _last_line(installed.stderr)
        done.touch()
    return python, ""


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def run(method: Method, inputs: dict[str, Path], python: Path) -> Ran:
    """One method as a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        out, said, wrong, memory = (Path(scratch) / name for name in ("answers.csv", "stdout", "stderr", "memory"))
        command = [str(python), str(PEERS / method.script), "--reference", str(inputs["reference"]), "--out", str(out)]
        command += ["--queries", str(inputs["queries_country" if method.country else "queries"])]
        if method.labels:
            command += ["--train", str(inputs["train_country" if method.country else "train"])]
        # An environment of its own must not see this one's packages.
        own = {} if python == Path(sys.executable) else {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
        launched = [sys.executable, "-S", "-c", _LAUNCHER, str(memory), *command, *method.arguments]
        start = time.perf_counter()
        with said.open("w") as stdout, wrong.open("w") as stderr:
            done = subprocess.run(launched, stdout=stdout, stderr=stderr, env={**os.environ, **own}, check=False)
        seconds, peak = time.perf_counter() - start, int(memory.read_text()) // 1024
        if done.returncode != 0 or not out.is_file():
            return Ran(None, _last_line(wrong.read_text()), {}, seconds, peak)
        steps = json.loads(said.read_text().strip().splitlines()[-1])
        kinds = {"query": int, "entity_id": str, "score": float}
        # Only a score may be missing: entity NA is an entity.
        answers = pd.read_csv(out, dtype=kinds, keep_default_na=False, na_values={"score": [""]})
        return Ran(answers, "", steps, seconds, peak)


def rows(method: Method, ran: Ran, valid: pd.DataFrame, groups: pd.Series) -> list[dict[str, str]]:
    """Table rows for all queries and for the hard ones. `groups`: entity_id -> group."""
    cost = {
        "steps, seconds": ", ".join(f"{step} {value}" for step, value in ran.steps.items() if isinstance(value, float)),
        "process s": f"{ran.seconds:.0f}", "peak MB": f"{ran.peak_mb:,}",
    }  # fmt: skip
    if ran.answers is None:
        return [{"method": method.name, "queries": f"not run: {ran.fault}", **cost}]
    answers = ran.answers.assign(group=ran.answers["entity_id"].map(groups).fillna(""))
    first = answers.drop_duplicates("query").set_index("query").reindex(range(len(valid)))
    wanted = valid["group_id"].to_numpy()
    right = (first["group"] == wanted).to_numpy()
    found = np.zeros(len(valid), dtype=bool)
    found[answers["query"].to_numpy()[answers["group"].to_numpy() == wanted[answers["query"]]]] = True
    known, confidence = (valid["unseen"] != "True").to_numpy(), first["score"].to_numpy(dtype=float)
    out = []
    for label, mask in (
        ("all", np.ones(len(valid), dtype=bool)),
        ("not primary", (valid["primary"] != "True").to_numpy()),
    ):
        asked = int((known & mask).sum())
        point = {t: recall_at_precision(confidence[mask], right[mask], asked, t).recall or 0.0 for t in (0.99, 0.95)}
        line = {
            "method": method.name, "queries": f"{label} ({mask.sum():,}; {asked:,} known)",
            "recall@10": f"{found[known & mask].mean():.4f}", "top-1": f"{right[known & mask].mean():.4f}",
            "R@P99": f"{point[0.99]:.4f}", "R@P95": f"{point[0.95]:.4f}",
        }  # fmt: skip
        if "decision" in first:
            took = (first["decision"] == "auto_match").to_numpy() & mask
            low, high = clopper_pearson(int((right & took).sum()), int(took.sum()))
            line["auto precision"] = (
                f"{right[took].mean():.4f} [{low:.4f}, {high:.4f}] n={took.sum():,}" if took.any() else "none"
            )
            line["auto recall"] = f"{(right & took & known).sum() / asked:.4f}"
        out.append(line | cost)
    return out


def queries(frame: pd.DataFrame, country: bool) -> pd.DataFrame:
    """What a matcher may see of a query: the columns of a source."""
    return frame[["source_system", "source_id", "name", *(["country"] if country else [])]]


def write_inputs(reference: pd.DataFrame, train: pd.DataFrame, valid: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """What the methods may see, as CSV: tables with and without the queries' country."""
    train = train.assign(entity_id=train["entity_id"].where(train["unseen"] != "True", ""))
    tables = {
        # A master whose country nobody asks for stays what it is; the query side decides what can be compared.
        "reference": reference.drop(columns="group_id"),
        "queries": valid[["name"]],
        "queries_country": valid[["name", "country"]],
        "train": train[["name", "entity_id"]],
        "train_country": train[["name", "country", "entity_id"]],
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in tables}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with reference.csv, queries_train.csv, queries_valid.csv"
    )
    parser.add_argument("--limit", type=int, help="so many validation queries only")
    parser.add_argument("--entities", type=int, help="so many reference entities only, those of the queries among them")
    parser.add_argument("--only", nargs="+", default=[], help="only methods whose name contains one of these words")
    parser.add_argument("--skip", nargs="+", default=[], help="no method whose name contains one of these words")
    parser.add_argument(
        "--environments", type=Path, default=Path("build/peers"), help="folder for the peers' environments"
    )
    options = parser.parse_args()
    reference, train, valid = load(options.data, options.limit, options.entities)
    groups = reference.set_index("entity_id")["group_id"]
    print(f"{len(reference):,} entities, {len(train):,} labelled records, {len(valid):,} queries\n")
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(reference, train, valid, Path(folder))
        for method in _methods():
            chosen = not options.only or any(word in method.name for word in options.only)
            if not chosen or any(word in method.name for word in options.skip):
                continue
            python, fault = environment(method.packages, options.environments.absolute())
            ran = Ran(None, f"not installed: {fault}", {}, 0.0, 0) if fault else run(method, inputs, python)
            for row in rows(method, ran, valid, groups):
                print("| " + " | ".join(row.get(column, "") for column in _COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
