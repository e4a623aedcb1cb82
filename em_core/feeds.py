"""Feeds through the store: landed files into `bronze`, decisions into `silver`, accepted decisions into `gold`.

Every feed is one landed file, its name the column `source_file`. Feeds are worked through in groups, so that thousands of small files cost
one write for each group and never more memory than a group.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from em_core.errors import UserError
from em_core.files import MAPPING_SUFFIX, fingerprint, fingerprint_texts, is_feed, read_mapping, read_table
from em_core.matcher import Matcher, Timings
from em_core.policy_table import record_policy
from em_core.rematch import DIGESTS, REUSED, flips, rematch
from em_core.schema import RESULT, RESULT_SCHEMA, SOURCE, prepare_source
from em_core.storage import TableStore
from em_core.storage.names import CHANGE_TABLE, DECISION_TABLE, FILE, RESULT_TABLE, SOURCE_TABLE

# Columns that say which run wrote a row, not what it says: alone they are no change.
WHO_AND_WHEN = ("run_id", "matched_at")
_GROUP = 20_000
log = logging.getLogger(__name__)
_text = pa.string()
DECISION_SCHEMA = pa.schema([*RESULT_SCHEMA, pa.field(FILE, _text), *(pa.field(name, _text) for name in DIGESTS)])
PUBLISHED_SCHEMA = RESULT_SCHEMA.append(pa.field(FILE, _text))


@dataclass
class Landed:
    """What reading some landed files did. `rows`: file -> records; `broken`: file -> why it could not be read."""

    rows: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    without_name: int = 0
    preview: pd.DataFrame = field(default_factory=pd.DataFrame)
    digests: dict[str, str] = field(default_factory=dict)


def read_feed(path: Path) -> pd.DataFrame:
    """One landed file as the source contract; `<feed>.mapping.yaml` beside it maps its headers. Raises `UserError`."""
    system = path.name.split(".")[0]
    mapping_file = path.parent / f"{system}{MAPPING_SUFFIX}"
    mapping = read_mapping(mapping_file) if mapping_file.is_file() else None
    return prepare_source(read_table(path), mapping, path.name, system)


def landed_files(landing: Path) -> list[str]:
    """Names of the feeds in a folder. Raises `UserError` if there is no such folder."""
    if not landing.is_dir():
        raise UserError(f"{landing}: no such folder")
    return sorted(path.name for path in landing.iterdir() if path.is_file() and is_feed(path.name))


def stored_feeds(store: TableStore) -> list[str]:
    """Names of the feeds that the source table holds."""
    if not store.exists(SOURCE_TABLE):
        return []
    return sorted(store.read(SOURCE_TABLE, columns=[FILE])[FILE].unique())


def land_feeds(store: TableStore, landing: Path, files: Sequence[str]) -> Landed:
    """Read landed files into the source table. A file that cannot be read keeps what it had delivered before."""
    out, group, waiting = Landed(), {}, 0
    for file in files:
        try:
            group[file] = read_feed(landing / file)
        except UserError as error:
            out.broken[file] = str(error)
            continue
        out.rows[file] = len(group[file])
        out.digests[file] = fingerprint(group[file])
        waiting += len(group[file])
        if waiting >= _GROUP:
            _store(store, group, out)
            group, waiting = {}, 0
    if group:
        _store(store, group, out)
    return out


def _store(store: TableStore, group: Mapping[str, pd.DataFrame], out: Landed) -> None:
    rows = pd.concat([frame.assign(**{FILE: file}) for file, frame in group.items()], ignore_index=True)
    # The same record in two files of one group: the file that comes last has the last word, as it would one by one.
    rows = rows.drop_duplicates(list(SOURCE.key), keep="last")
    counts = store.upsert(SOURCE_TABLE, rows, key=SOURCE.key, scope={FILE: list(group)})
    out.counts.update(inserted=counts.inserted, updated=counts.updated, deleted=counts.deleted)
    out.without_name += int(rows["name"].isna().sum())
    if out.preview.empty:
        out.preview = rows.head(8)


@dataclass
class MatchedFeeds:
    """What matching some feeds did; everything counted in records."""

    records: int = 0
    changed: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    timings: Timings = field(default_factory=Timings)
    matcher_version: str = ""
    model_version: str = ""
    digest: str = ""

    @property
    def reused(self) -> int:
        """Records whose decision stood."""
        return self.why[REUSED]


def groups(store: TableStore, files: Sequence[str], size: int = _GROUP) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Files and their stored source rows (with the column `source_file`), as many files at a time as hold about `size` records."""
    if not store.exists(SOURCE_TABLE):
        return
    wanted = list(dict.fromkeys(files))
    counts = store.read(SOURCE_TABLE, columns=[FILE])[FILE].value_counts()
    group, held = [], 0
    for place, file in enumerate(wanted):
        group.append(file)
        held += int(counts.get(file, 0))
        if held >= size or place == len(wanted) - 1:
            yield group, store.read(SOURCE_TABLE, filter={FILE: group})
            group, held = [], 0


def match_feeds(
    store: TableStore,
    matcher: Matcher,
    files: Sequence[str],
    *,
    run_id: str,
    full: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = log.info,
) -> MatchedFeeds:
    """Bring the decisions of these feeds up to date in `silver.match_results`; only what is affected is matched again.

    `say` hears of each group of feeds that is done.
    """
    record_policy(store, matcher)
    digests = []
    out = MatchedFeeds(matcher_version=matcher.version, model_version=matcher.model_version)
    for group, rows in groups(store, files):
        source = rows[list(SOURCE.columns)]
        previous = None
        if store.exists(DECISION_TABLE):
            previous = store.read(DECISION_TABLE, filter={"source_system": sorted(set(source["source_system"]))})
        done = rematch(matcher, source, previous, run_id=run_id, full=full, progress=progress, timings=out.timings)
        results = done.results.assign(**{FILE: rows[FILE].to_numpy(dtype=object)})
        counts = store.upsert(
            DECISION_TABLE,
            results,
            key=RESULT.key,
            scope={FILE: group},
            ignore=WHO_AND_WHEN,
            schema=DECISION_SCHEMA,
        )
        out.records += len(results)
        out.changed += counts.changed
        out.decisions.update(results["decision"])
        out.methods.update(results["method"])
        out.why.update(done.counts())
        digests.append(fingerprint(results[[*RESULT.key, "matched_entity_id", "decision", "confidence"]]))
        say(f"{len(group)} feed(s), {out.records:,} records so far, {out.reused:,} of them reused")
    out.digest = fingerprint_texts(digests)
    return out


@dataclass
class Published:
    """What publishing did. `flips`: see `em_core.rematch.flips`."""

    records: int
    changed: int
    flips: pd.DataFrame
    digest: str


def publish(store: TableStore, files: Sequence[str], *, run_id: str) -> Published:
    """Make the decisions of these feeds the published ones, and write down what flipped, from what to what and why.

    A record's row in `gold.match_changes` has the key (source_system, source_id, run_id).
    """
    told, records, changed, digests = [], 0, 0, []
    for start in range(0, len(files), 500):
        group = list(files[start : start + 500])
        if not store.exists(DECISION_TABLE):
            break
        after = store.read(DECISION_TABLE, filter={FILE: group})
        before = store.read(RESULT_TABLE, filter={FILE: group}) if store.exists(RESULT_TABLE) else after.iloc[:0]
        rows = after[[*RESULT.columns, FILE]]
        # Told before it is done: a run that dies in between tells it again under its own id, never not at all.
        flipped = flips(before, after)
        if len(flipped):
            stamp = pd.Timestamp(datetime.now(UTC))
            told.append(flipped.assign(run_id=run_id, changed_at=stamp))
            store.upsert(CHANGE_TABLE, told[-1], key=[*RESULT.key, "run_id"])
        counts = store.upsert(
            RESULT_TABLE, rows, key=RESULT.key, scope={FILE: group}, ignore=WHO_AND_WHEN, schema=PUBLISHED_SCHEMA
        )
        records, changed = records + len(rows), changed + counts.changed
        digests.append(fingerprint(rows.drop(columns=list(WHO_AND_WHEN))))
    flipped = pd.concat(told, ignore_index=True) if told else pd.DataFrame(columns=[*RESULT.key, "change", "why"])
    return Published(records, changed, flipped, fingerprint_texts(digests))
