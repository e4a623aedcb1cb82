"""What company knowledge is worth: names as keys piece by piece, the exact ladder, candidates, identifiers, speed.

    python benchmarks/company_knowledge.py --data ../shared/data/companies

Three kinds of names against their truth: exchange short names (master of listed companies), SEC registrants under other vendors' names,
patent assignees under their other spellings. A fifth of the SEC and patent entities, chosen by digest, and the groups marked unseen of
the exchange data are taken out of the reference: their right answer is none. Nothing is learned but which rungs may decide alone, and
that on training queries. The libraries rigour and cleanco are compared where they can be imported; they are no dependency.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd

from em_core.decision.exact import RUNGS, ExactStage
from em_core.decision.policy import PolicySettings
from em_core.evaluation.intervals import clopper_pearson
from em_core.files import read_table
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.pairs.splits import unit_interval
from em_core.retrieval.lexical import LexicalIndex
from em_core.schema import SOURCE, prepare_reference, prepare_source
from em_core.text import names as names_module
from em_core.text.fold import fold_all
from em_core.text.forms import form_agreement
from em_core.text.identifiers import check_identifiers
from em_core.text.name_table import name_table
from em_core.text.names import parse_name
from em_core.text.profile import profile
from em_core.text.repair import one_edit_repair

_OTHER_NAMES = ("listing_company", "listing_security", "nq_name", "fd_short_name", "fd_long_name")


class Task(NamedTuple):
    """`reference`: `name`, `truth` and what else a profile knows; `queries`: the same. Equal `truth` is right; "" is none."""

    name: str
    reference: pd.DataFrame
    queries: pd.DataFrame


def exchange(folder: Path, split: str) -> Task:
    """Exchange short names of one split against the master without the unseen groups."""
    reference, train, valid = (read_table(folder / f"{n}.csv") for n in ("reference", "queries_train", "queries_valid"))
    unseen = {g for q in (train, valid) for g in q.loc[q["unseen"] == "True", "group_id"]}
    reference = reference[~reference["group_id"].isin(unseen)].reset_index(drop=True)
    queries = train if split == "train" else valid
    truth = queries["group_id"].where(queries["unseen"] != "True", "")
    return Task(
        f"exchange short names, {split}",
        reference.assign(truth=reference["group_id"])[["name", "truth", "country"]],
        queries.assign(truth=truth)[["name", "truth", "country", "primary"]],
    )


def _hide(reference: pd.DataFrame, queries: pd.DataFrame, name: str) -> Task:
    """A fifth of the entities leaves the reference."""
    gone = set(reference["truth"][unit_interval(reference["truth"], 5, "hide") < 0.2])
    kept = reference[~reference["truth"].isin(gone)].reset_index(drop=True)
    return Task(
        name,
        kept,
        queries.assign(truth=queries["truth"].where(~queries["truth"].isin(gone), "")).reset_index(drop=True),
    )


def registrants(folder: Path) -> Task:
    """SEC names as the master (one row for each CIK), the distinct names of five other sources as queries."""
    table = read_table(folder / "us_sec_listing_gold.csv").fillna("")
    reference = table.drop_duplicates("cik").assign(truth=lambda t: t["cik"], name=lambda t: t["sec_name"])[
        ["name", "truth"]
    ]
    queries = table.melt(id_vars=["cik"], value_vars=list(_OTHER_NAMES), value_name="name")
    queries = queries[queries["name"] != ""].drop_duplicates(["cik", "name"]).rename(columns={"cik": "truth"})
    return _hide(reference, queries[["name", "truth"]], "SEC registrants under other vendors' names")


def assignees(folder: Path) -> Task:
    """The most mentioned spelling of each cluster as the master, its other spellings as queries."""
    table = read_table(folder / "patentsview_nber-subset_assignee_clusters.csv")
    order = np.lexsort((table["organization"], -table["mentions"].astype(int)))
    table = table.iloc[order].rename(columns={"unique_id": "truth", "organization": "name"})
    first = ~table["truth"].duplicated()
    return _hide(table[first][["name", "truth"]], table[~first][["name", "truth"]], "patent assignees, other spellings")


Keys = Callable[[np.ndarray], pd.DataFrame]


def _plain(key: Callable[[np.ndarray], np.ndarray]) -> Keys:
    return lambda texts: pd.DataFrame({"key": key(texts), "form": ""})


def _casefold(texts: np.ndarray) -> np.ndarray:
    return np.array([" ".join(str(t).casefold().split()) for t in texts], dtype=object)


def _parsed(column: str, form: bool) -> Keys:
    def keys(texts: np.ndarray) -> pd.DataFrame:
        table = name_table(texts)
        return pd.DataFrame({"key": table[column], "form": table["form"] if form else ""})

    return keys


KEYS: dict[str, Keys] = {
    "as written, letter case aside": _plain(_casefold),
    "folded": _plain(fold_all),
    "core alone (forms and designators ignored)": _parsed("compact", False),
    "NAME: core + designators + legal form": _parsed("name_key", False),
    "CORE: core + designators, forms that do not exclude each other": _parsed("core_key", True),
}


def _other_libraries() -> dict[str, Keys]:
    """Names without legal forms as other libraries leave them, folded."""
    found: dict[str, Keys] = {}
    if importlib.util.find_spec("cleanco"):
        from cleanco import basename

        found["cleanco: basename, folded"] = _plain(lambda texts: fold_all([basename(str(t)) for t in texts]))
    if importlib.util.find_spec("rigour"):
        # The compiled part alone: the package around it wants PyICU.
        from rigour._core import remove_org_types

        casefold = 1 << 2
        found["rigour: org types removed, folded"] = _plain(
            lambda texts: fold_all([remove_org_types(str(t).casefold(), casefold, 0, "") for t in texts])
        )
    return found


def judge(task: Task, keys: Keys, country: bool) -> dict[str, object]:
    """Share of the queries that exactly one entity's key equals, how often it is right, and the share that several equal."""
    left, right = keys(task.queries["name"].to_numpy(dtype=object)), keys(task.reference["name"].to_numpy(dtype=object))
    right = right.assign(entity=np.arange(len(right)))
    if country:
        left["key"], right["key"] = (
            left["key"] + "|" + task.queries["country"],
            right["key"] + "|" + task.reference["country"],
        )
    pairs = left[left["key"] != ""].reset_index(names="query").merge(right, on="key", suffixes=("", "_there"))
    pairs = pairs[[form_agreement(a, b) > 0 for a, b in zip(pairs["form"], pairs["form_there"], strict=True)]]
    count = np.bincount(pairs["query"], minlength=len(left))
    alone = pairs[count[pairs["query"]] == 1]
    found, truth = task.reference["truth"].to_numpy()[alone["entity"]], task.queries["truth"].to_numpy()[alone["query"]]
    right_count = int((found == truth).sum())
    low, high = clopper_pearson(right_count, len(alone)) if len(alone) else (0.0, 1.0)
    return {
        "found alone": f"{len(alone) / len(left):.3f}",
        "precision": f"{right_count / max(1, len(alone)):.4f} [{low:.4f}, {high:.4f}] n={len(alone):,}",
        "several": f"{(count > 1).mean():.3f}",
    }


@contextmanager
def without(piece: str) -> Iterator[None]:
    """Parsing with one piece of knowledge switched off."""
    off: dict[str, tuple[str, Any]] = {
        "security descriptions": ("cut_security", lambda words: (words, [])),
        "designators": ("cut_designators", lambda words, bracketed=False: (words, [])),
        "legal forms at the end": ("_cut_form", lambda words: (words, None)),
        "legal forms in front": ("_cut_leading_form", lambda words, alone: (words, None)),
        "other names (dba, formerly)": ("_split_tails", lambda name: (name, ())),
    }
    attribute, replacement = off[piece]
    with patch.object(names_module, attribute, replacement):
        yield


PIECES = (
    "security descriptions",
    "designators",
    "legal forms at the end",
    "legal forms in front",
    "other names (dba, formerly)",
)


def show(rows: list[dict[str, object]]) -> None:
    """Print rows as Markdown."""
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[c]) for c in columns) + " |")
    print(flush=True)


def names_as_keys(tasks: list[Task]) -> None:
    """Coverage and precision by key, then with one piece left out."""
    show(
        [
            {"names": task.name, "key": label + (" + country" if country else ""), **judge(task, keys, country)}
            for task in tasks
            for label, keys in (_other_libraries() | KEYS).items()
            for country in ((False, True) if "country" in task.queries else (False,))
        ]
    )
    rows = []
    for task in tasks:
        for piece in PIECES:
            with without(piece):
                found = judge(task, KEYS["CORE: core + designators, forms that do not exclude each other"], False)
            rows.append({"names": task.name, "CORE without": piece} | found)
    show(rows)


def _contract(frame: pd.DataFrame, country: bool) -> pd.DataFrame:
    columns = ["name", "country"] if country and "country" in frame else ["name"]
    return prepare_source(frame[columns].assign(source_id=np.arange(len(frame)).astype(str)), system="benchmark")


def ladder(deciding: Task, judged: Task) -> None:
    """Each rung's precision on training queries, which decides whether it is automatic, and on validation queries."""
    settings = PolicySettings()
    for country in (False, True):
        reference = prepare_reference(
            deciding.reference.assign(entity_id=np.arange(len(deciding.reference)).astype(str))
        )
        stage = ExactStage.build(profile(reference), reference["aliases"])
        rows, automatic, outcome = [], set(), {}
        for task in (deciding, judged):
            hits = stage(profile(_contract(task.queries, country)))
            truth, groups = task.queries["truth"].to_numpy(), task.reference["truth"].to_numpy()
            outcome[task.name] = {c: (hits.of(c) >= 0, groups[hits.of(c)] == truth) for c in RUNGS}
            last = hits, truth, groups
        for code in RUNGS:
            mine, right = outcome[deciding.name][code]
            if mine.sum() == 0:
                continue
            may = mine.sum() >= settings.rung_labels and right[mine].mean() >= settings.rung_precision
            automatic |= {code} if may else set()
            mine_too, right_too = outcome[judged.name][code]
            low, high = clopper_pearson(int(right_too[mine_too].sum()), int(mine_too.sum()))
            rows.append(
                {
                    "rung": code,
                    "training": f"{right[mine].mean():.4f} n={mine.sum():,}",
                    "automatic": "yes" if may else "no",
                    "validation": f"{right_too[mine_too].mean():.4f} [{low:.4f}, {high:.4f}] n={mine_too.sum():,}",
                }
            )
        print(f"The ladder, {'name and country' if country else 'name only'}\n")
        show(rows)
        hits, truth, groups = last
        rung, entity = hits.first(automatic)
        sure = rung != ""
        for label, mask in (
            ("all", np.ones(len(sure), bool)),
            ("not primary", (judged.queries["primary"] != "True").to_numpy()),
        ):
            took = sure & mask
            right_count = int((groups[entity[took]] == truth[took]).sum())
            low, high = clopper_pearson(right_count, int(took.sum()))
            print(
                f"validation, {label}: decided by automatic rungs {took.sum() / mask.sum():.3f}, precision {right_count / took.sum():.4f} "
                f"[{low:.4f}, {high:.4f}] n={took.sum():,}; AMBIGUOUS {(hits.state[mask] == 'ambiguous').mean():.4f}"
            )
        print(flush=True)


def candidates(tasks: list[Task]) -> None:
    """Lexical candidates by the folded text and by the search text: recall, and what was lost and gained."""
    rows = []
    for task in tasks:
        known = task.queries[task.queries["truth"] != ""].reset_index(drop=True)
        best = {}
        for label, text in (
            ("folded text", fold_all),
            ("search text", lambda t: name_table(np.asarray(t, dtype=object))["search"].to_numpy()),
        ):
            index = LexicalIndex.build(text(task.reference["name"]))
            query, found = index.search(index.encode(text(known["name"])), 20)
            place = np.arange(len(query)) - np.searchsorted(query, query)
            hit = task.reference["truth"].to_numpy()[found] == known["truth"].to_numpy()[query]
            rank = np.full(len(known), 99)
            np.minimum.at(rank, query[hit], place[hit])
            best[label] = rank
            rows.append(
                {
                    "names": task.name,
                    "retrieved by": label,
                    **{f"recall@{k}": f"{(rank < k).mean():.4f}" for k in (1, 5, 10, 20)},
                }
            )
        before, after = best["folded text"] < 10, best["search text"] < 10
        rows[-1]["retrieved by"] = (
            f"search text (of ten: {int((after & ~before).sum())} gained, {int((before & ~after).sum())} lost)"
        )
    show(rows)


def identifiers(size: int) -> None:
    """Noisy GLEIF records with right, foreign and broken LEIs: what the conflict rule and the repair hint make of them."""
    from em_core.demo.gleif import load_gleif

    rows = load_gleif(size)
    reference = prepare_reference(rows.drop(columns="category"))
    noisy = perturb(rows, 3, NoiseSettings(keep={"lei": 1.0}, foreign_identifier=0.2, broken_identifier=0.2), reference)
    operators = noisy["operators"]
    source = prepare_source(
        noisy.reindex(columns=list(SOURCE.columns)).assign(source_id=rows["entity_id"], source_system="noise")
    )
    stage = ExactStage.build(profile(reference), reference["aliases"])
    records = profile(source)
    hits = stage(records)
    known = stage.known("lei").has
    foreign, broken = operators.str.contains("foreign_lei").to_numpy(), operators.str.contains("broken_lei").to_numpy()
    right = ~foreign & ~broken & (records["full"] != "").to_numpy()
    sample = np.flatnonzero(broken)[:2000]
    meant = [one_edit_repair("lei", str(records["lei_bad"].iloc[i]), known) for i in sample]
    good = sum(m == rows["lei"].iloc[i] for m, i in zip(meant, sample, strict=True))
    named = sum(m is not None for m in meant)
    agrees = (hits.state == "hit") & (hits.rung == "LEI")
    conflict = hits.state == "conflict"
    outcomes = [
        (f"right LEI, noisy name ({right.sum():,})", "agrees", agrees[right].mean()),
        ("", "CONFLICT (false alarm)", conflict[right].mean()),
        (f"another entity's LEI ({foreign.sum():,})", "CONFLICT", conflict[foreign].mean()),
        (f"broken LEI ({broken.sum():,})", "never a key", (hits.of("LEI")[broken] < 0).mean()),
        (
            f"broken LEI, first {len(sample):,}",
            f"one-edit hint given; right of {named:,} given: {good:,}",
            named / max(1, len(sample)),
        ),
    ]
    show([{"records": who, "outcome": what, "share": f"{share:.4f}"} for who, what, share in outcomes])


def speed(size: int) -> None:
    """Distinct values on one core, nothing cached before."""
    from em_core.demo.gleif import load_gleif

    rows = load_gleif(size)
    texts = rows["name"].drop_duplicates().tolist()
    start = time.process_time()
    for text in texts:
        parse_name(text)
    parse = time.process_time() - start
    start = time.process_time()
    check_identifiers(rows[["lei"]], rows["country"].to_numpy(dtype=object))
    leis = time.process_time() - start
    start = time.process_time()
    profile(prepare_reference(rows.drop(columns="category")))
    whole = time.process_time() - start
    show(
        [
            {"step": "parse_name", "values": f"{len(texts):,}", "a minute": f"{60 * len(texts) / parse:,.0f}"},
            {"step": "check_identifiers, LEI", "values": f"{len(rows):,}", "a minute": f"{60 * len(rows) / leis:,.0f}"},
            {
                "step": "profile (whole reference row)",
                "values": f"{len(rows):,}",
                "a minute": f"{60 * len(rows) / whole:,.0f}",
            },
        ]
    )


def main() -> None:
    """Print every table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the companies data")
    parser.add_argument("--gleif", type=int, default=50_000, help="GLEIF rows for identifiers and speed")
    arguments = parser.parse_args()
    train, valid = exchange(arguments.data, "train"), exchange(arguments.data, "valid")
    tasks = [valid, registrants(arguments.data), assignees(arguments.data)]
    names_as_keys(tasks)
    ladder(train, valid)
    candidates(tasks)
    identifiers(arguments.gleif)
    speed(arguments.gleif)


if __name__ == "__main__":
    main()
