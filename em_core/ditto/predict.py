"""A trained matcher of pairs, as it is used: the similarity model decides the clear pairs, the encoder reads the others.

Long inputs pass through in chunks of bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from em_core.ditto.boosting import SimilarityModel
from em_core.ditto.folder import load_folder
from em_core.ditto.manifest import Manifest
from em_core.ditto.model import best_device
from em_core.ditto.prepare import Preparation
from em_core.ditto.runtime import open_runtime
from em_core.ditto.scoring import PairEncoder
from em_core.ditto.tokens import PairTokeniser

CHUNK = 1 << 16  # pairs held as features and tokens at a time
GATHERED = 1 << 13  # pairs of a stream that are sorted by length together

TextPairs = tuple[Sequence[str], Sequence[str]]
Part = Literal["similarity", "encoder", "blend", "cascade"]


def load_encoder(folder: Path, device: str | None = None, remember: int = 0) -> tuple[Manifest, PairEncoder]:
    """Manifest and encoder of a trained folder, without the similarity model. Arguments and errors as in `DittoModel.load`."""
    classifier, tokenizer, manifest = load_folder(folder)
    classifier.to(device or best_device())
    runtime = open_runtime(folder, manifest.digest, classifier)
    tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
    return manifest, PairEncoder(runtime, tokeniser, Preparation.load(folder), remember)


class DittoModel:
    """Probabilities for pairs of serialised records, by an encoder and, unless it was trained alone, a similarity model."""

    def __init__(self, manifest: Manifest, encoder: PairEncoder, similarity: SimilarityModel | None = None) -> None:
        self.manifest = manifest
        self.encoder = encoder
        self.similarity = similarity

    @classmethod
    def load(cls, path: Path | str, device: str | None = None, remember: int = 0) -> DittoModel:
        """The model that `train_ditto` saved under `path`; needs no network.

        On a CPU the runtime that was fastest there scores, as `open_runtime` tells. `remember`: see `PairEncoder`. Raises
        `UserError` if the folder is missing, half-written or of another format.
        """
        folder = Path(path)
        manifest, encoder = load_encoder(folder, device, remember)
        return cls(manifest, encoder, None if manifest.blend is None else SimilarityModel.load(folder))

    @property
    def attributes(self) -> tuple[str, ...]:
        """What the training records carried, in order; serialise new records with these."""
        return self.manifest.attributes

    @property
    def runtime(self) -> str:
        """What scores here: `torch` or an exported one."""
        return self.encoder.runtime.name

    @property
    def threshold(self) -> float:
        """Probability from which a pair counts as a match, chosen for F1 on the validation pairs."""
        return self.manifest.threshold

    def predict(
        self,
        left: Sequence[str],
        right: Sequence[str],
        *,
        part: Part | None = None,
        symmetric: bool | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Calibrated probability that `left[i]` and `right[i]` are the same entity: shape (pairs,), float64, input order.

        A pair's score does not depend on the pairs beside it. `part` asks for one part of the model alone: by default the
        cascade, or the encoder if it was trained alone. `symmetric` averages the encoder's logits of both orders, at twice
        its cost; by default as in training. Raises ValueError if the two sides differ in length, or for a part that the model
        does not have.
        """
        if len(left) != len(right):
            raise ValueError(f"{len(left)} left records but {len(right)} right records")
        chosen = part or ("encoder" if self.similarity is None else "cascade")
        if self.similarity is None and chosen != "encoder":
            raise ValueError(f"this model is an encoder alone; it has no {chosen}")
        both = self.manifest.settings.symmetric if symmetric is None else symmetric
        logits = np.empty(len(left), dtype=np.float64)
        with tqdm(total=len(left), desc="Ditto", unit="pair", disable=not progress, mininterval=1.0) as bar:
            for start in range(0, len(left), CHUNK):
                stop = min(start + CHUNK, len(left))
                logits[start:stop] = self._logits(left[start:stop], right[start:stop], chosen, both, bar)
        return expit(logits)

    def predict_stream(
        self, batches: Iterable[TextPairs], *, part: Part | None = None, symmetric: bool | None = None
    ) -> Iterator[np.ndarray]:
        """`predict` for each batch (left, right) in turn, for more pairs than memory holds.

        No more than `GATHERED` pairs, or one batch if that is larger, are held at a time; small batches are scored together.
        Raises ValueError if the two sides of a batch differ in length.
        """
        for held in _gathered(batches):
            left, right = ([text for batch in held for text in batch[side]] for side in (0, 1))
            ends = np.cumsum([len(batch[0]) for batch in held])
            yield from np.split(self.predict(left, right, part=part, symmetric=symmetric), ends[:-1])

    def _logits(self, left: Sequence[str], right: Sequence[str], part: Part, symmetric: bool, bar: Any) -> np.ndarray:
        """Calibrated logits of one chunk."""
        blend = self.manifest.blend
        if part == "encoder" or self.similarity is None or blend is None:
            return self.encoder.logits(left, right, symmetric, bar) / self.manifest.temperature
        similarity = self.similarity.logits(left, right)
        read = {"similarity": np.zeros(len(left), dtype=bool), "blend": np.ones(len(left), dtype=bool)}.get(
            part, blend.open(similarity)
        )
        logits = blend.alone(similarity)
        bar.update(int((~read).sum()))
        if read.any():
            rows = np.flatnonzero(read)
            encoder = self.encoder.logits([left[int(i)] for i in rows], [right[int(i)] for i in rows], symmetric, bar)
            logits[rows] = blend.both(similarity[rows], encoder)
        return logits


def _gathered(batches: Iterable[TextPairs]) -> Iterator[list[TextPairs]]:
    """Neighbouring batches, together up to `GATHERED` pairs, or one larger batch."""
    held: list[TextPairs] = []
    for left, right in batches:
        if len(left) != len(right):
            raise ValueError(f"{len(left)} left records but {len(right)} right records")
        if held and sum(len(batch[0]) for batch in held) + len(left) > GATHERED:
            yield held
            held = []
        held.append((left, right))
    if held:
        yield held
