"""The exact stage: an ordered ladder of rules on checked identifiers, tickers, domains and names.

Every rung says for every record which entity it points to, if it points to exactly one. Whether a rung may decide alone depends on the
precision that it was measured to have on records with known answers (see `em_core.fit`), never on a constant.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from em_core.decision.settle import distinct_pairs, settle
from em_core.retrieval.entity_names import NAME_COLUMNS, entity_names, other_names
from em_core.retrieval.key_index import KeyIndex
from em_core.retrieval.lookups import Lookups, entity_keys
from em_core.retrieval.products import place_in_run
from em_core.schema import IDENTIFIERS
from em_core.text.compare import compare_names
from em_core.text.forms import form_agreement
from em_core.text.identifiers import identifier_keys
from em_core.text.name_table import name_table

# Identifier -> code of its rung, the surest first: one that names a legal entity before one that names a security.
_RUNG_OF = {
    "lei": "LEI", "registration_number": "REGISTRATION", "vat": "VAT", "cik": "CIK", "isin": "ISIN", "cusip": "CUSIP",
    "sedol": "SEDOL", "figi": "FIGI",
}  # fmt: skip
assert set(_RUNG_OF) == set(IDENTIFIERS)
#: Code -> what its agreement is called in a sentence. The order is the order of the ladder.
RUNGS: dict[str, str] = {
    "LEI": "LEI", "REGISTRATION": "registration number", "VAT": "VAT number", "CIK": "CIK", "ISIN": "ISIN", "CUSIP": "CUSIP",
    "SEDOL": "SEDOL",
    "FIGI": "FIGI",
    "CUSIP_ISSUER": "issuer (first six characters of the CUSIP)",
    "TICKER_EXCHANGE": "ticker on the same exchange",
    "TICKER_COUNTRY": "ticker in the same country",
    "DOMAIN_NAME": "web domain and a fitting name",
    "NAME_COUNTRY": "name and country",
    "NAME_UNIQUE": "name, which no other reference entity has,",
    "ALIAS_COUNTRY": "former or other name and country",
    "ALIAS_UNIQUE": "former or other name, which no other reference entity has,",
    "CORE_COUNTRY": "name without legal form and country",
    "CORE_UNIQUE": "name without legal form, which no other reference entity has,",
}  # fmt: skip
_ORDER = {code: position for position, code in enumerate(RUNGS)}
IDENTIFIER_RUNGS = tuple(_RUNG_OF.values())
# A tie on these is a tie for good: nothing weaker can break it.
_TYING = (*IDENTIFIER_RUNGS, "NAME_COUNTRY", "NAME_UNIQUE", "CORE_COUNTRY", "CORE_UNIQUE")


@dataclass(frozen=True)
class ExactHits:
    """Outcome of the ladder for n records; entities are positions, -1 = none.

    `ladder` (n, rungs): the one entity that each rung points to. `state`: "" (no rung points anywhere), "hit", "conflict", "ambiguous".
    `rung`, `entity`: of the first rung that points to one entity, or of the conflict or tie; `other`: its second side. `why`: a half
    sentence for a conflict or tie. `notes`: (n,) what helped a rung, such as the alias that hit or the attribute that broke a tie, by rung.
    """

    ladder: np.ndarray
    state: np.ndarray
    rung: np.ndarray
    entity: np.ndarray
    other: np.ndarray
    why: np.ndarray
    notes: dict[str, np.ndarray] = field(repr=False)

    def first(self, rungs: Collection[str]) -> tuple[np.ndarray, np.ndarray]:
        """(rung code, entity) of the first of these rungs that points to one entity, "" and -1 where none or the state forbids it."""
        rung, entity = np.full(len(self.state), "", dtype=object), np.full(len(self.state), -1, dtype=np.int64)
        for code in RUNGS:
            if code in rungs:
                mine = (entity < 0) & (self.ladder[:, _ORDER[code]] >= 0) & (self.state == "hit")
                rung[mine], entity[mine] = code, self.ladder[mine, _ORDER[code]]
        return rung, entity

    def of(self, code: str) -> np.ndarray:
        """(n,) entity that one rung points to where no identifier is in conflict, -1 = none."""
        return np.where(self.state == "conflict", -1, self.ladder[:, _ORDER[code]])


@dataclass(frozen=True)
class ExactStage:
    """From identifiers, tickers, domains and names to entity positions of one reference."""

    lookups: Lookups = field(repr=False)

    @classmethod
    def build(cls, entities: pd.DataFrame, aliases: pd.Series) -> ExactStage:
        """`entities`: reference profiles (see `em_core.text.profile`) in index order; `aliases`: lists of other names, same length."""
        return cls(Lookups.build(entities, entity_names(entities, aliases)))

    def known(self, kind: str) -> KeyIndex:
        """The identifiers of one kind that the reference carries, of entities."""
        return self.lookups.keys[kind]

    def compare(self, records: pd.DataFrame, rows: np.ndarray, entity: np.ndarray) -> pd.DataFrame:
        """`compare_names` of record profiles `rows` and entity positions, by the entity's most fitting name."""
        left = records.iloc[rows].reset_index(drop=True)
        best = compare_names(left, self.lookups.entities.take(entity, NAME_COLUMNS))
        other = self.lookups.others
        begin, end = (np.searchsorted(other.entity, entity, side=side) for side in ("left", "right"))
        aliased = np.flatnonzero((best["score"].to_numpy() < 0.5) & (end > begin))
        if len(aliased):
            at = np.repeat(aliased, (end - begin)[aliased])
            pairs = pd.DataFrame({"at": at, "name": begin[at] + place_in_run(at)})
            by_alias = compare_names(
                left.iloc[pairs["at"]].reset_index(drop=True), other.table.take(pairs["name"].to_numpy())
            ).assign(at=pairs["at"])
            top = by_alias.sort_values(["at", "score"], ascending=[True, False]).drop_duplicates("at").set_index("at")
            top = top[
                (top["score"].to_numpy() >= 0.5) & (top["score"].to_numpy() > best["score"].to_numpy()[top.index])
            ]
            best.loc[top.index, ["relation", "score", "differ"]] = top[["relation", "score", "differ"]]
        return best

    def __call__(self, records: pd.DataFrame, hidden: np.ndarray | None = None) -> ExactHits:
        """Walk the ladder for n record profiles. `hidden` (n,) names an entity position that must not be found (-1 = none)."""
        walk = _Walk(self, records, np.full(len(records), -1, dtype=np.int64) if hidden is None else hidden)
        walk.by_identifier()
        walk.by_issuer_ticker_and_domain()
        walk.by_name()
        return walk.hits()


class _Walk:
    """One walk of n records up the ladder."""

    def __init__(self, stage: ExactStage, records: pd.DataFrame, hidden: np.ndarray) -> None:
        n = len(records)
        self.stage, self.records, self.hidden = stage, records, hidden
        self.ladder = np.full((n, len(RUNGS)), -1, dtype=np.int64)
        self.tied = {code: np.full((n, 2), -1, dtype=np.int64) for code in _TYING}
        self.state, self.why = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
        self.rung = np.full(n, "", dtype=object)
        self.entity, self.other = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        self.notes: dict[str, np.ndarray] = {}

    def visible(self, row: np.ndarray, entity: np.ndarray) -> np.ndarray:
        """(p,) bool: the entity may be found for this record."""
        return entity != self.hidden[row]

    def note(self, code: str, rows: np.ndarray, text: np.ndarray | str) -> None:
        """Keep what helped a rung."""
        notes = self.notes.setdefault(code, np.full(len(self.records), "", dtype=object))
        notes[rows] = text

    def put(self, code: str, row: np.ndarray, entity: np.ndarray) -> None:
        """A rung's finds: one entity is a hit; of several the attributes may settle one, else it is a tie."""
        row, entity = distinct_pairs(row, entity)
        alone = np.bincount(row, minlength=len(self.records))[row] == 1
        self.ladder[row[alone], _ORDER[code]] = entity[alone]
        settled, tie, reasons = settle(row[~alone], entity[~alone], self.records, self.stage.lookups.entities)
        self.ladder[settled[:, 0], _ORDER[code]] = settled[:, 1]
        self.note(code, settled[:, 0], reasons)
        if code in self.tied:
            self.tied[code][tie[:, 0]] = tie[:, 1:]

    def by_identifier(self) -> None:
        """Checked identifiers: all that hit must agree on an entity, and its name must not be clearly another one's."""
        found = identifier_keys(self.records)
        rows, entities, codes = [], [], []
        for kind, rung in _RUNG_OF.items():
            mine = found[found["kind"] == kind]
            query, entity = self.stage.lookups.find(kind, mine["key"].to_numpy(dtype=object))
            row, entity = distinct_pairs(mine["row"].to_numpy()[query], entity)
            seen = self.visible(row, entity)
            rows.append(row[seen])
            entities.append(entity[seen])
            codes.append(np.full(int(seen.sum()), _ORDER[rung]))
        row, entity, code = np.concatenate(rows), np.concatenate(entities), np.concatenate(codes)
        if not len(row):
            return
        table = pd.DataFrame({"row": row, "entity": entity, "code": code})
        kinds = table.groupby("row")["code"].nunique()
        support = table.groupby(["row", "entity"])["code"].nunique()
        agreed = support[
            support.to_numpy() == kinds.loc[support.index.get_level_values("row")].to_numpy()
        ].reset_index()
        self._clash(table, np.setdiff1d(row, agreed["row"].to_numpy()))
        for position in np.unique(code):
            mine = table[table["code"].to_numpy() == position].merge(agreed[["row", "entity"]], on=["row", "entity"])
            self.put(list(RUNGS)[position], mine["row"].to_numpy(), mine["entity"].to_numpy())
        self._check_names()

    def _clash(self, table: pd.DataFrame, rows: np.ndarray) -> None:
        """Rows whose identifiers agree on no entity: both sides are named."""
        if not len(rows):
            return
        mine = table[table["row"].isin(rows)].sort_values(["row", "code", "entity"])
        first = mine.groupby("row").first()
        against = mine[mine["entity"].to_numpy() != first.loc[mine["row"], "entity"].to_numpy()]
        against = (
            against[against["code"].to_numpy() != first.loc[against["row"], "code"].to_numpy()].groupby("row").first()
        )
        names = np.array(list(RUNGS), dtype=object)
        where = first.index.to_numpy()
        second = against.reindex(first.index)
        self.state[where], self.rung[where] = "conflict", names[first["code"].to_numpy()]
        self.entity[where], self.other[where] = (
            first["entity"].to_numpy(),
            second["entity"].fillna(-1).to_numpy(dtype=np.int64),
        )
        other_code = second["code"].fillna(0).to_numpy(dtype=np.int64)
        self.why[where] = [
            f"{a} and {b} point to different entities" for a, b in zip(self.rung[where], names[other_code], strict=True)
        ]

    def _check_names(self) -> None:
        """An identifier whose entity has a clearly different name, or whose record has exactly another entity's name, is a conflict."""
        hard = self.ladder[:, [_ORDER[code] for code in IDENTIFIER_RUNGS]]
        rows = np.flatnonzero((hard >= 0).any(axis=1) & (self.state == ""))
        if not len(rows):
            return
        first = (hard[rows] >= 0).argmax(axis=1)
        entity = hard[rows, first]
        code = np.array(IDENTIFIER_RUNGS, dtype=object)[first]
        compared = self.stage.compare(self.records, rows, entity)
        namesake = self._namesake(rows)
        differ = compared["differ"].to_numpy()
        another = (
            (namesake >= 0)
            & (namesake != entity)
            & ~np.isin(compared["relation"].to_numpy(), ["same", "unknown", "acronym"])
        )
        for mask, sentence in (
            (differ, "the entity of this {} has a clearly different name"),
            (another & ~differ, "the {} belongs to one entity, the name to another"),
        ):
            where = rows[mask]
            self.state[where], self.rung[where], self.entity[where] = "conflict", code[mask], entity[mask]
            self.other[where] = np.where(namesake[mask] != entity[mask], namesake[mask], -1)
            self.why[where] = [sentence.format(c) for c in code[mask]]

    def _namesake(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) the one entity that carries the record's whole name and no contrary country, -1 = none or several."""
        query, member = self.stage.lookups.find("name", self.records["name_key"].to_numpy(dtype=object)[rows])
        entity = self.stage.lookups.owner(member)
        fits = self.visible(rows[query], entity) & ~self.abroad(rows[query], entity)
        query, entity = distinct_pairs(query[fits], entity[fits])
        out = np.full(len(rows), -1, dtype=np.int64)
        alone = np.bincount(query, minlength=len(rows))[query] == 1
        out[query[alone]] = entity[alone]
        return out

    def abroad(self, row: np.ndarray, entity: np.ndarray) -> np.ndarray:
        """(p,) bool: record and entity are of different countries."""
        here, there = self.records["country"].to_numpy()[row], self.stage.lookups.entities["country"][entity]
        return (here != "") & (there != "") & (here != there)

    def home(self, row: np.ndarray, entity: np.ndarray) -> np.ndarray:
        """(p,) bool: record and entity are known to be of one country."""
        here, there = self.records["country"].to_numpy()[row], self.stage.lookups.entities["country"][entity]
        return (here != "") & (here == there)

    def by_issuer_ticker_and_domain(self) -> None:
        """Keys that need a fitting name: a ticker alone is a hint, and many firms of a group share a domain."""
        for code, key, relations in (
            ("CUSIP_ISSUER", "issuer", ("same", "form", "group", "acronym", "similar")),
            ("TICKER_EXCHANGE", "ticker", ("same", "form", "acronym")),
            ("TICKER_COUNTRY", "ticker_country", ("same", "form", "acronym")),
            ("DOMAIN_NAME", "domain", ("same", "acronym")),
        ):
            row, entity = self.stage.lookups.find(key, entity_keys(key, self.records))
            seen = self.visible(row, entity)
            row, entity = row[seen], entity[seen]
            if len(row):
                fits = np.isin(self.stage.compare(self.records, row, entity)["relation"].to_numpy(), relations)
                self.put(code, row[fits], entity[fits])

    def by_name(self) -> None:
        """Whole names, other names, names without legal form; each first within the country, then alone in the reference."""
        lookups = self.stage.lookups
        row, member = self.stage.lookups.find("name", self.records["name_key"].to_numpy(dtype=object))
        more_row, more_member, text = self._by_other_name()
        alias = member >= lookups.own_names
        self._by_country("NAME", row[~alias], member[~alias])
        alias_row = np.concatenate([row[alias], more_row])
        alias_entity = lookups.owner(np.concatenate([member[alias], more_member]))
        said = np.concatenate([lookups.of_names("written", member[alias]), text])
        self._by_country("ALIAS", alias_row, alias_entity)
        for code in ("ALIAS_COUNTRY", "ALIAS_UNIQUE"):
            same = self.ladder[alias_row, _ORDER[code]] == alias_entity
            self.note(code, alias_row[same], said[same])
        row, member = self.stage.lookups.find("core", self.records["core_key"].to_numpy(dtype=object))
        own = member < lookups.own_names
        row, entity = row[own], member[own]
        forms = self.records["form"].to_numpy(dtype=object)[row], lookups.entities["form"][entity]
        fits = np.fromiter((form_agreement(a, b) > 0 for a, b in zip(*forms, strict=True)), dtype=bool, count=len(row))
        self._by_country("CORE", row[fits], entity[fits])

    def _by_other_name(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds by a former or trade name inside the record's text: (record, name row, the other name as written)."""
        rows, texts = other_names(self.records)
        if not len(rows):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=object)
        query, member = self.stage.lookups.find("name", name_table(texts)["name_key"].to_numpy(dtype=object))
        return rows[query], member, texts[query]

    def _by_country(self, stem: str, row: np.ndarray, entity: np.ndarray) -> None:
        seen = self.visible(row, entity)
        row, entity = row[seen], entity[seen]
        home, abroad = self.home(row, entity), self.abroad(row, entity)
        self.put(f"{stem}_COUNTRY", row[home], entity[home])
        # Alone means alone: a namesake abroad is a namesake where a country is unknown.
        unknown = ~home & ~abroad
        open_row = np.setdiff1d(row[unknown], row[home])
        mine = np.isin(row, open_row)
        self.put(f"{stem}_UNIQUE", row[mine], entity[mine])

    def hits(self) -> ExactHits:
        """Close the walk: the first rung that points to one entity, or a tie that no rung broke."""
        fresh = self.state == ""
        for position, code in enumerate(RUNGS):
            mine = fresh & (self.state == "") & (self.ladder[:, position] >= 0)
            self.state[mine], self.rung[mine], self.entity[mine] = "hit", code, self.ladder[mine, position]
        for code, tie in self.tied.items():
            mine = fresh & (self.state == "") & (tie[:, 0] >= 0)
            self.state[mine], self.rung[mine] = "ambiguous", code
            self.entity[mine], self.other[mine] = tie[mine, 0], tie[mine, 1]
            self.why[mine] = f"several entities have the same {RUNGS[code].split(',')[0]}"
        return ExactHits(self.ladder, self.state, self.rung, self.entity, self.other, self.why, self.notes)
