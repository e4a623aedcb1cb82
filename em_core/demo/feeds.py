"""The demo's files: a reference, three feeds in a drop folder, and the truth of the two that our noise model writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from em_core.demo.gleif import read_gleif, sample_gleif
from em_core.demo.sec import read_registrants
from em_core.errors import UserError
from em_core.files import write_table
from em_core.pairs.noise import NoiseSettings, perturb
from em_core.pairs.noise_lexicon import split_form, squeeze
from em_core.pairs.noise_random import key_hash
from em_core.storage.atomic import atomic_file

SEC, CRM, INVOICE = "sec_registrants", "crm_export", "invoice_feed"
#: Share of the unseen firms whose names begin like a name of the reference.
NEAR_NAMESAKES = 1 / 3
#: Share of the invoice vendors that stand twice, under two numbers.
REPEATED_VENDORS = 0.03
_POOL = 30  # unseen firms looked at for each one wanted
_CRM_NOISE = NoiseSettings(profile="crm", keep={"lei": 0.15}, broken_identifier=0.03, foreign_identifier=0.02)
_INVOICE_NOISE = NoiseSettings(profile="invoice", keep={"lei": 0.0})


@dataclass(frozen=True)
class DemoData:
    """What was written: files, and rows of each."""

    reference: Path
    truth: Path
    feeds: tuple[Path, ...]
    rows: dict[str, int]


def _by_hash(frame: pd.DataFrame, seed: int, label: str) -> pd.DataFrame:
    """Rows in the order of a hash of their key: random, and the same whatever else is there."""
    hashes = np.fromiter((key_hash(seed, f"{label}\x1f{key}") for key in frame["entity_id"]), np.uint64, len(frame))
    return frame.iloc[np.argsort(hashes, kind="stable")]


def _first_words(name: str) -> str:
    """The first two words without article: what near namesakes share. Empty if that says nothing."""
    words = [
        word for word in split_form(name).body.split() if squeeze(word) not in ("", "the", "and", "of", "stichting")
    ][:2]
    key = squeeze("".join(words))
    return key if len(words) == 2 and len(key) > 6 else ""


def unseen_firms(rest: pd.DataFrame, reference: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` records that are not in the reference, about a third of them near namesakes of one that is.

    A record with the very name and country of a reference entity is no clear "none of these" and is left out.
    Raises `UserError` if too few are left.
    """
    pool = _by_hash(rest, seed, "unseen").head(_POOL * count)
    taken = set(reference["name"].map(squeeze) + "\x1f" + reference["country"].fillna(""))
    pool = pool[~(pool["name"].map(squeeze) + "\x1f" + pool["country"].fillna("")).isin(taken)]
    if len(pool) < count:
        raise UserError(
            f"the demo wants {count} firms outside its reference, but only {len(pool)} are left: ask for fewer rows"
        )
    near_keys = set(reference["name"].map(_first_words)) - {""}
    near = pool[pool["name"].map(_first_words).isin(near_keys)].head(round(count * NEAR_NAMESAKES))
    far = pool[~pool["entity_id"].isin(near["entity_id"])].head(count - len(near))
    return pd.concat([near, far])


def _records(
    seen: pd.DataFrame,
    unseen: pd.DataFrame,
    noise: NoiseSettings,
    donors: pd.DataFrame,
    repeated: int,
    seed: int,
    label: str,
) -> pd.DataFrame:
    """Noisy records in random order with `truth` (None = not in the reference)."""
    truth = pd.concat([seen["entity_id"], pd.Series(None, index=unseen.index, dtype=object)])
    rows = pd.concat([seen, unseen])
    parts = [perturb(rows, seed, noise, donors).assign(truth=truth.to_numpy(), entity_id=rows["entity_id"].to_numpy())]
    if repeated:
        again = seen.head(repeated)
        second = perturb(again, seed + 1, noise, donors)
        parts.append(second.assign(truth=again["entity_id"].to_numpy(), entity_id=again["entity_id"].to_numpy()))
    return _by_hash(pd.concat(parts, ignore_index=True), seed, f"order {label}").reset_index(drop=True)


def _write_text(frame: pd.DataFrame, path: Path, separator: str, encoding: str, line_end: str) -> Path:
    with atomic_file(path) as temporary:
        frame.to_csv(temporary, sep=separator, index=False, encoding=encoding, lineterminator=line_end)
    return path


def write_demo(
    landing_dir: Path | str,
    reference_path: Path | str,
    truth_path: Path | str,
    rows: int | None = 50_000,
    crm: int = 5_000,
    invoice: int = 5_000,
    unseen_share: float = 0.2,
    seed: int = 7,
) -> DemoData:
    """Write the demo: the same arguments give the same bytes.

    - `reference_path`: `rows` GLEIF records (None = all but some thousand that are held back as unseen firms).
    - `landing_dir`: `sec_registrants.csv` (no truth exists), `crm_export.csv` (as a spreadsheet saves it: semicolons, byte order
      mark) with `crm` records, `invoice_feed.csv` with `invoice` records. `unseen_share` of the latter two are firms outside the
      reference, a third of them near namesakes; some CRM records carry an LEI, a few of these broken or of another firm; some
      vendors stand twice.
    - `truth_path`: `source_system` (the feed's file stem), `source_id`, `entity_id` (empty = truly not in the reference).

    Each file is written aside and then renamed. Raises `UserError` on sizes that cannot be, or if a data package is missing.
    """
    if not 0 <= unseen_share < 1 or min(crm, invoice) < 1:
        raise UserError("the demo needs at least one record in each feed and an unseen share from 0 to below 1")
    landing, reference_path, truth_path = Path(landing_dir), Path(reference_path), Path(truth_path)
    records, registrants = read_gleif(), read_registrants()
    wanted = {CRM: round(crm * unseen_share), INVOICE: round(invoice * unseen_share)}
    held_back = _POOL // 6 * sum(wanted.values())
    reference = sample_gleif(
        records, min(len(records) if rows is None else rows, max(1, len(records) - held_back)), seed
    )
    rest = records[~records["entity_id"].isin(reference["entity_id"])]
    # Dealt out, so that both feeds get near namesakes and no firm is in both.
    unseen = _by_hash(unseen_firms(rest, reference, sum(wanted.values()), seed), seed, "deal")
    strangers = {CRM: unseen.head(wanted[CRM]), INVOICE: unseen.tail(wanted[INVOICE])}
    seen = {CRM: crm - wanted[CRM], INVOICE: invoice - wanted[INVOICE]}
    again = {CRM: 0, INVOICE: round(seen[INVOICE] * REPEATED_VENDORS)}
    if max(seen[CRM], seen[INVOICE]) > len(reference):
        raise UserError(
            f"the demo reference has {len(reference)} rows, too few for feeds of {crm} and {invoice} records"
        )
    made = {
        feed: _records(
            _by_hash(reference, seed, feed).head(seen[feed] - again[feed]),
            strangers[feed],
            noise,
            reference,
            again[feed],
            seed,
            feed,
        )
        for feed, noise in ((CRM, _CRM_NOISE), (INVOICE, _INVOICE_NOISE))
    }
    accounts, vendors = made[CRM], made[INVOICE]
    account_ids = [f"ACC-{100_000 + 7 * row}" for row in range(len(accounts))]
    vendor_ids = [f"{40_000 + 3 * row:010d}" for row in range(len(vendors))]
    crm_file = pd.DataFrame(
        {
            "Account ID": account_ids,
            "Account Name": accounts["name"],
            "Country": accounts["country"],
            "Industry": accounts["industry"],
            "LEI": accounts["lei"],
        }
    )
    invoice_file = pd.DataFrame({"VENDOR_NO": vendor_ids, "VENDOR_NAME": vendors["name"], "CTRY": vendors["country"]})
    truth = pd.DataFrame(
        {
            "source_system": [CRM] * len(accounts) + [INVOICE] * len(vendors),
            "source_id": account_ids + vendor_ids,
            "entity_id": [*accounts["truth"], *vendors["truth"]],
        }
    )
    write_table(reference, reference_path)
    _write_text(truth, truth_path, ",", "utf-8", "\n")
    feeds = (
        _write_text(registrants, landing / f"{SEC}.csv", ",", "utf-8", "\n"),
        _write_text(crm_file, landing / f"{CRM}.csv", ";", "utf-8-sig", "\r\n"),
        _write_text(invoice_file, landing / f"{INVOICE}.csv", ",", "utf-8", "\n"),
    )
    counts = {
        "reference": len(reference),
        SEC: len(registrants),
        CRM: len(accounts),
        INVOICE: len(vendors),
        "truth": len(truth),
    }
    return DemoData(reference_path, truth_path, feeds, counts)
