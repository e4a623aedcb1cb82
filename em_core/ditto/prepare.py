"""What happens to a serialised record before the tokeniser sees it: one object for training, scoring and serving.

Domain knowledge first, then summarisation, then the markers. The object is stored in the model folder, so that a record
is read in production as it was in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from em_core.ditto.knowledge import KNOWLEDGE
from em_core.ditto.serialise import Record, join_record, split_record
from em_core.ditto.settings import TrainSettings
from em_core.ditto.summarise import PIECE, CountPieces, Summariser
from em_core.errors import UserError
from em_core.text.distinct import factorize

PREPARE = "prepare.json"
_MARKUP = {"classic": 2, "short": 0}  # tokens beside the attribute's name: COL and VAL; none


class Preparation(BaseModel):
    """A function from texts to texts, fixed by the training run; see `fit`, `load` and `identity`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    knowledge: Literal["none", "company", "product", "general"] = "none"
    markers: Literal["classic", "short"] = "classic"
    summary: Summariser | None = None

    @classmethod
    def identity(cls) -> Preparation:
        """Leaves every text as it is."""
        return cls()

    @classmethod
    def fit(cls, settings: TrainSettings, training_texts: Iterable[str], tokenizer: Any = None) -> Preparation:
        """What `settings` ask for, learned from the distinct training texts.

        Only summarisation learns. It counts word pieces with `tokenizer`; without one they are estimated by length.
        """
        bare = cls(knowledge=settings.knowledge, markers=settings.markers)
        if not settings.summarise:
            return bare
        records = (bare._known(split_record(text)) for text in dict.fromkeys(training_texts))
        return bare.model_copy(
            update={"summary": Summariser.fit(records, settings.max_length, _piece_counter(tokenizer))}
        )

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The prepared texts, in the order of `texts`; each distinct text is worked once.

        Raises ValueError if a text is None or NaN.
        """
        if self == Preparation.identity():
            return list(texts)
        codes, distinct = factorize([*texts])
        if (codes < 0).any():
            raise ValueError("a record is None or NaN; records are text, and one without any value is the empty text")
        prepared = [self._one(text) for text in distinct]
        return [prepared[code] for code in codes]

    def save(self, folder: Path) -> None:
        """Write `prepare.json` into `folder`."""
        (folder / PREPARE).write_text(self.model_dump_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Preparation:
        """The preparation of a model folder; the identity if the folder has none. Raises `UserError` if it is damaged."""
        path = folder / PREPARE
        if not path.is_file():
            return cls.identity()
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: damaged, or of another format") from error

    def _known(self, record: Record) -> Record:
        return record if self.knowledge == "none" else KNOWLEDGE[self.knowledge](record)

    def _one(self, text: str) -> str:
        record = self._known(split_record(text))
        if self.summary is not None:
            record = self.summary(record, _MARKUP[self.markers])
        return join_record(record) if self.markers == "classic" else _short(record)


def _short(record: Record) -> str:
    """`name Acme Ltd country DE`; an attribute without a name, as plain text has it, gets no marker."""
    return " ".join(f"{name.replace('_', ' ')} {value}".strip() for name, value in record)


def _piece_counter(tokenizer: Any) -> CountPieces:
    if tokenizer is None:
        return lambda words: [-(-len(word) // PIECE) for word in words]
    return lambda words: [len(ids) for ids in tokenizer(list(words), add_special_tokens=False)["input_ids"]]
