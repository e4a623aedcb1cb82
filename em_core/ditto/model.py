"""The network: a pre-trained encoder over both records at once, pooled into one logit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from em_core.ditto.base_model import resolve_base_model
from em_core.errors import UserError

WEIGHTS = "model.safetensors"


class PairClassifier(nn.Module):
    """Logit that two records are the same entity; full attention runs across both records.

    The paper takes the [CLS] vector; the mean over all tokens (`pooling="mean"`) suits sentence encoders better.
    """

    def __init__(self, encoder: Any, pooling: str, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, 1)

    @property
    def token_types(self) -> bool:
        """Whether the encoder was trained to tell the first text of a pair from the second."""
        accepts = "token_type_ids" in inspect.signature(self.encoder.forward).parameters
        return accepts and getattr(self.encoder.config, "type_vocab_size", 0) > 1

    def represent(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """One vector for each pair, shape (pairs, width), float32, for id tensors of shape (pairs, tokens)."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        if self.pooling == "cls":
            return states[:, 0].float()
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return ((states * mask).sum(dim=1) / mask.sum(dim=1)).float()

    def judge(self, vectors: Tensor) -> Tensor:
        """Logits, shape (pairs,), float32, of the vectors that `represent` gave."""
        with torch.autocast(vectors.device.type, enabled=False):  # half precision would leave a logit two digits
            return self.head(self.dropout(vectors)).squeeze(-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits, shape (pairs,), float32, for id tensors of shape (pairs, tokens)."""
        return self.judge(self.represent(input_ids, attention_mask, token_type_ids))


def load_base_model(name: str, pooling: str, layers: int | None = None) -> tuple[PairClassifier, Any]:
    """A classifier with pre-trained encoder (its lowest `layers`, or all) and fresh head, and its tokenizer.

    Raises `UserError` as `resolve_base_model`, or if the encoder has fewer layers.
    """
    folder = resolve_base_model(name)
    quiet_loading()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        has = config.num_hidden_layers
        config.num_hidden_layers = min(layers or has, has)
        # Single precision even where the checkpoint is stored in half: AdamW needs the mantissa.
        encoder = AutoModel.from_pretrained(folder, config=config, local_files_only=True).float()
    except (OSError, ValueError) as error:
        raise UserError(f"base model {name}: no encoder can be loaded from {folder} ({_first_line(error)})") from error
    if layers is not None and layers > has:
        raise UserError(f"base model {name}: {layers} layers are wanted, it has {has}")
    return PairClassifier(encoder, pooling), load_tokenizer(folder)


def quiet_loading() -> None:
    """No bar for weights that load in a blink; bars of training and scoring stay."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, without the fixed padding and truncation that some files carry.

    Loaded by `AutoTokenizer` from `tokenizer.json`: in transformers 5 a `vocab_file=` argument is silently ignored.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no tokenizer can be loaded ({_first_line(error)})") from error
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def best_device() -> torch.device:
    """CUDA where there is one, else CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively: there about twice as fast as float32, elsewhere far slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return any(getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile"))


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
