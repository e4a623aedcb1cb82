"""How near the noise model comes to real feeds: the same statistics on real name pairs and on ours, side by side.

    python benchmarks/noise_realism.py --data DIR [--sample 4000] [--transfer]

DIR holds `reference.csv`, `queries_train.csv`, `us_sec_listing_gold.csv` and `patentsview_nber-subset_assignee_clusters.csv`.
The noise is put on the same reference names that the real feeds write, so that the rows compare. Nothing here reads validation data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sparse_dot_topn import sp_matmul_topn

from em_core.pairs.noise import NoiseSettings, perturb
from em_core.pairs.noise_channels import channels, profiles
from em_core.pairs.noise_lexicon import split_form, squeeze
from em_core.text.places import country_codes

CANDIDATES = 10


def read(path: Path) -> pd.DataFrame:
    """A CSV as text; nothing is taken for missing."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def listing_pairs(data: Path, reference: pd.DataFrame) -> pd.DataFrame:
    """Real exchange short names and the master's name: columns name, ref, entity_id, group_id, source_system, primary."""
    queries = read(data / "queries_train.csv")
    return queries.merge(reference[["entity_id", "name"]].rename(columns={"name": "ref"}), on="entity_id")


def registrant_pairs(data: Path) -> pd.DataFrame:
    """SEC registrant names and the listing's long name, where they share a rare enough start (reused tickers make false pairs)."""
    gold = read(data / "us_sec_listing_gold.csv")
    pairs = gold[["sec_name", "fd_long_name"]].rename(columns={"sec_name": "name", "fd_long_name": "ref"})
    pairs = pairs[(pairs["name"] != "") & (pairs["ref"] != "")].drop_duplicates("ref")
    same_start = [squeeze(a)[:4] == squeeze(b)[:4] for a, b in zip(pairs["name"], pairs["ref"], strict=True)]
    pairs = pairs[same_start].reset_index(drop=True)
    return pairs.assign(entity_id=pairs["ref"], group_id=pairs["ref"])


def assignee_pairs(data: Path) -> pd.DataFrame:
    """Every other written form of a patent assignee and its most mentioned form."""
    forms = read(data / "patentsview_nber-subset_assignee_clusters.csv")
    forms["mentions"] = forms["mentions"].astype(float)
    canonical = forms.sort_values("mentions", ascending=False, kind="stable").drop_duplicates("unique_id")
    pairs = forms.merge(
        canonical[["unique_id", "organization"]].rename(columns={"organization": "ref"}), on="unique_id"
    )
    pairs = pairs[pairs["organization"] != pairs["ref"]].rename(
        columns={"organization": "name", "unique_id": "entity_id"}
    )
    return pairs.assign(group_id=pairs["entity_id"]).reset_index(drop=True)


def pair_measures(names: pd.Series, refs: pd.Series) -> pd.DataFrame:
    """Label-free measures of each (name, master's name) pair."""
    a, b = names.str.casefold().tolist(), refs.str.casefold().tolist()
    tokens = [(set(squeezed_words(x)), set(squeezed_words(y))) for x, y in zip(a, b, strict=True)]
    bodies = [split_form(y) for y in refs]
    squeezed = [(squeeze(x), squeeze(y)) for x, y in zip(a, b, strict=True)]
    return pd.DataFrame(
        {
            "same": [x == y for x, y in zip(a, b, strict=True)],
            "same letters": [x == y for x, y in squeezed],
            "token sort": cpdist(a, b, scorer=fuzz.token_sort_ratio),
            "ratio": cpdist(a, b, scorer=fuzz.ratio),
            "partial": cpdist(a, b, scorer=fuzz.partial_ratio),
            "length ratio": names.str.len().to_numpy() / refs.str.len().to_numpy(),
            "length": names.str.len().to_numpy(),
            "31 characters": names.str.len().to_numpy() == 31,
            "jaccard": [len(x & y) / max(1, len(x | y)) for x, y in tokens],
            "upper": names.str.isupper().to_numpy(),
            "prefix (cut)": [
                len(x) < len(y) and y.startswith(x) and x != squeeze(p.body)
                for (x, y), p in zip(squeezed, bodies, strict=True)
            ],
            "form lost": [
                p.form is not None and squeeze(p.written) not in x and split_form(n).form is None
                for p, (x, _), n in zip(bodies, squeezed, names, strict=True)
            ],
            "first word kept": [
                x.split()[0] == y.split()[0] if x.split() and y.split() else False for x, y in zip(a, b, strict=True)
            ],
            "one-letter slip": [any(slip(x, y) for x in s - t for y in t - s) for s, t in tokens],
            "abbreviated": [any(short_of(x, y) for x in s - t for y in t - s) for s, t in tokens],
            "new words": [sum(not any(short_of(x, y) or slip(x, y) for y in t) for x in s - t) for s, t in tokens],
            "lost words": [len(t - s) for s, t in tokens],
            "stops": [x.count(".") for x in a],
            "digits": [sum(map(str.isdigit, x)) - sum(map(str.isdigit, y)) for x, y in zip(a, b, strict=True)],
        }
    )


def squeezed_words(text: str) -> list[str]:
    """Words as letters and digits alone; a full stop inside a word separates."""
    return [word for word in (squeeze(part) for part in text.replace(".", " ").replace("-", " ").split()) if word]


def slip(x: str, y: str) -> bool:
    """One edit apart in a word of five letters or more, and not one cut from the other."""
    return (
        len(y) > 4
        and len(x) > 3
        and not y.startswith(x)
        and not x.startswith(y)
        and Levenshtein.distance(x, y, score_cutoff=1) == 1
    )


def short_of(x: str, y: str) -> bool:
    """x is y cut or with letters left out."""
    if not 2 <= len(x) < len(y) or x[0] != y[0]:
        return False
    rest = iter(y)
    return all(letter in rest for letter in x)


def candidates(names: pd.Series, master: pd.Series, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 10) and cosines (n, 10) of the nearest master names by character n-grams; -1 where there are fewer."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
    right = vectorizer.fit_transform(master.str.lower())
    left = vectorizer.transform(names.str.lower())
    top = sp_matmul_topn(left, right.T.tocsr(), top_n=CANDIDATES, sort=True, n_threads=threads).tocsr()
    positions = np.full((len(names), CANDIDATES), -1)
    cosines = np.zeros((len(names), CANDIDATES))
    for row, (start, end) in enumerate(zip(top.indptr[:-1], top.indptr[1:], strict=True)):
        positions[row, : end - start] = top.indices[start:end]
        cosines[row, : end - start] = top.data[start:end]
    return positions, cosines


def summary(pairs: pd.DataFrame, measures: pd.DataFrame, master: pd.DataFrame, threads: int) -> dict[str, float]:
    """One row of the table."""
    positions, _ = candidates(pairs["name"], master["name"], threads)
    groups = np.append(master["group_id"].to_numpy(), "")
    right = groups[positions] == pairs["group_id"].to_numpy()[:, None]
    m = measures
    return {
        "pairs": len(pairs),
        "same": m["same"].mean(),
        "same letters": m["same letters"].mean(),
        "upper": m["upper"].mean(),
        "token sort p5": m["token sort"].quantile(0.05),
        "p25": m["token sort"].quantile(0.25),
        "p50": m["token sort"].quantile(0.5),
        "length p5": m["length ratio"].quantile(0.05),
        "l p50": m["length ratio"].quantile(0.5),
        "l p95": m["length ratio"].quantile(0.95),
        "=31": m["31 characters"].mean(),
        "jaccard": m["jaccard"].mean(),
        "cut": m["prefix (cut)"].mean(),
        "form lost": m["form lost"].mean(),
        "abbreviated": m["abbreviated"].mean(),
        "new words": (m["new words"] > 0).mean(),
        "slip": m["one-letter slip"].mean(),
        "first word": m["first word kept"].mean(),
        "top-1": right[:, 0].mean(),
        "recall@10": right.any(axis=1).mean(),
    }


def two_sample_auc(real: pd.DataFrame, ours: pd.DataFrame, seed: int) -> float:
    """Area under the curve of a classifier that tells real pairs from ours: 0.5 = it cannot (Lopez-Paz, Oquab, ICLR 2017)."""
    size = min(len(real), len(ours))
    both = pd.concat([real.sample(size, random_state=seed), ours.sample(size, random_state=seed)]).astype(float)
    label = np.repeat([1, 0], size)
    model = HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=15, random_state=seed)
    return float(
        roc_auc_score(label, cross_val_predict(model, both.to_numpy(), label, cv=3, method="predict_proba")[:, 1])
    )


def noisy(entities: pd.DataFrame, settings: NoiseSettings, seed: int) -> pd.DataFrame:
    """Pairs of our noise on these reference rows."""
    made = perturb(entities, seed, settings)
    return pd.DataFrame(
        {
            "name": made["name"].to_numpy(),
            "ref": entities["name"].to_numpy(),
            "group_id": entities["group_id"].to_numpy(),
            "entity_id": entities["entity_id"].to_numpy(),
        }
    )


def _cell(column: str, value: float) -> str:
    if np.isnan(value):
        return ""
    if column in ("pairs", "records/s"):
        return f"{int(value):,}"
    return f"{value:.0f}" if column in ("token sort p5", "p25", "p50") else f"{value:.3f}"


def markdown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A table with one line for each feed."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| feed | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(_cell(column, row.get(column, np.nan)) for column in columns) + " |")
    return "\n".join(lines)


def scored_candidates(
    pairs: pd.DataFrame, master: pd.DataFrame, threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n * 10, f), label of each candidate, and whether it is there: a small scorer's view of retrieval."""
    positions, cosines = candidates(pairs["name"], master["name"], threads)
    there = positions >= 0
    flat = np.where(there, positions, 0).ravel()
    query = np.repeat(pairs["name"].str.lower().to_numpy(), CANDIDATES)
    found = master["name"].str.lower().to_numpy()[flat]
    bodies = {name: split_form(name).body for name in {*query, *found}}
    qb, fb = [bodies[n] for n in query], [bodies[n] for n in found]
    best_other = np.where(np.arange(CANDIDATES) == 0, cosines[:, [1]], cosines[:, [0]])
    features = [
        cosines.ravel(), (cosines - best_other).ravel(), np.tile(np.arange(CANDIDATES), len(pairs)),
        cpdist(qb, fb, scorer=fuzz.ratio), cpdist(qb, fb, scorer=fuzz.token_sort_ratio), cpdist(qb, fb, scorer=fuzz.partial_ratio),
        cpdist(list(query), list(found), scorer=fuzz.ratio), cpdist(list(query), list(found), scorer=fuzz.partial_ratio),
        np.array([len(a) - len(b) for a, b in zip(qb, fb, strict=True)]),
        np.array([a.split()[0] == b.split()[0] if a.split() and b.split() else False for a, b in zip(qb, fb, strict=True)]),
        np.array([len(a) for a in qb]),
    ]  # fmt: skip
    label = (master["group_id"].to_numpy()[flat] == np.repeat(pairs["group_id"].to_numpy(), CANDIDATES)) & there.ravel()
    return np.column_stack(features), label, there


def recall_at_precision(probability: np.ndarray, right: np.ndarray, known: int, precision: float) -> float:
    """Share of the known queries accepted with the right entity at the lowest threshold that keeps the precision."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(right[order])
    enough = np.flatnonzero(hits / np.arange(1, len(order) + 1) >= precision)
    return float(hits[enough[-1]] / known) if len(enough) else 0.0


def transfer(reference: pd.DataFrame, real: pd.DataFrame, sample: int, seed: int, threads: int) -> str:
    """Train a small scorer on our noise or on real names, test both on other real names; 20 % unseen in training and test."""
    rng = np.random.default_rng(seed)
    groups = reference["group_id"].unique()
    half = set(rng.choice(groups, len(groups) // 2, replace=False))
    train_side, test_side = reference["group_id"].isin(half), ~reference["group_id"].isin(half)
    hidden = {
        side: set(rng.choice(reference.loc[mask, "group_id"].unique(), int(0.2 * mask.sum() * 0.98)))
        for side, mask in (("train", train_side), ("test", test_side))
    }
    masters = {
        side: reference[mask & ~reference["group_id"].isin(hidden[side])].reset_index(drop=True)
        for side, mask in (("train", train_side), ("test", test_side))
    }
    test = real[~real["group_id"].isin(half)]
    test = test.sample(min(len(test), sample), random_state=seed).reset_index(drop=True)
    x_test, y_test, there = scored_candidates(test, masters["test"], threads)
    known = int((~test["group_id"].isin(hidden["test"])).sum())
    entities = reference[train_side].sample(min(int(train_side.sum()), sample), random_state=seed)
    sources = {
        "real names": real[real["group_id"].isin(half)]
        .sample(min(sample, int(real["group_id"].isin(half).sum())), random_state=seed)
        .reset_index(drop=True)
    }
    sources |= {f"noise: {profile}": noisy(entities, NoiseSettings(profile=profile), seed) for profile in profiles()}
    rows = {}
    for label, pairs in sources.items():
        x, y, present = scored_candidates(pairs, masters["train"], threads)
        model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=seed)
        model.fit(x[present.ravel()], y[present.ravel()])
        probability = np.where(there, model.predict_proba(x_test)[:, 1].reshape(-1, CANDIDATES), -1)
        best = probability.argmax(axis=1)
        right = y_test.reshape(-1, CANDIDATES)[np.arange(len(test)), best]
        top = probability.max(axis=1)
        taken = top >= 0.9
        rows[label] = {
            "pairs": len(pairs),
            "top-1": right.sum() / known,
            "R@P99": recall_at_precision(top, right, known, 0.99),
            "R@P95": recall_at_precision(top, right, known, 0.95),
            "accepted at p >= .9": taken.mean(),
            "precision at p >= .9": right[taken].mean() if taken.any() else np.nan,
        }
    return markdown(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the company data")
    parser.add_argument("--sample", type=int, default=4000, help="pairs of each feed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels", action="store_true", help="one line for each channel too")
    parser.add_argument(
        "--transfer", action="store_true", help="also train a small scorer on our noise and test it on real names"
    )
    options = parser.parse_args()

    reference = read(options.data / "reference.csv")
    reference["country"] = country_codes(reference["country"])
    listed = listing_pairs(options.data, reference)
    registrants, assignees = registrant_pairs(options.data), assignee_pairs(options.data)
    registrant_master = registrants[["ref", "group_id", "entity_id"]].rename(columns={"ref": "name"})
    assignee_master = assignees.drop_duplicates("entity_id")[["ref", "group_id", "entity_id"]].rename(
        columns={"ref": "name"}
    )
    real = {
        "real: exchange, primary": (listed[listed["primary"] == "True"], reference),
        "real: exchange, other listings": (listed[listed["primary"] == "False"], reference),
        "real: SEC registrants": (registrants, registrant_master),
        "real: patent assignees": (assignees, assignee_master),
    }
    rows: dict[str, dict[str, float]] = {}
    kept: dict[str, pd.DataFrame] = {}
    for label, (pairs, master) in real.items():
        pairs = pairs.sample(min(len(pairs), options.sample), random_state=options.seed).reset_index(drop=True)
        kept[label] = pair_measures(pairs["name"], pairs["ref"])
        rows[label] = summary(pairs, kept[label], master, options.threads)
    entities = reference[reference["entity_id"].isin(listed["entity_id"])]
    entities = entities.sample(min(len(entities), options.sample), random_state=options.seed)
    feeds = {f"noise: {profile}": (entities, reference, NoiseSettings(profile=profile)) for profile in profiles()}
    feeds["noise: crm on SEC names"] = (registrant_master, registrant_master, NoiseSettings(profile="crm"))
    feeds["noise: crm on assignees"] = (assignee_master, assignee_master, NoiseSettings(profile="crm"))
    if options.channels:
        feeds |= {f"channel: {name}": (entities, reference, NoiseSettings(channels={name: 1})) for name in channels()}
    auc: dict[str, dict[str, float]] = {}
    for label, (base, master, settings) in feeds.items():
        started = time.perf_counter()
        pairs = noisy(base, settings, options.seed)
        seconds = time.perf_counter() - started
        measures = pair_measures(pairs["name"], pairs["ref"])
        rows[label] = {**summary(pairs, measures, master, options.threads), "records/s": len(pairs) / seconds}
        auc[label] = {other: two_sample_auc(measured, measures, options.seed) for other, measured in kept.items()}
    print(markdown(rows))
    print("\nCan a classifier tell them apart? Area under the curve, 0.5 = no\n")
    print(markdown(auc))
    if options.transfer:
        print(
            "\nA small scorer (11 features, no country) trained on each, tested on real exchange names of other firms, 20 % unseen\n"
        )
        print(transfer(reference, listed, options.sample, options.seed, options.threads))


if __name__ == "__main__":
    main()
