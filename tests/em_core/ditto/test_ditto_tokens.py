from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_core.ditto import tokens
from em_core.ditto.base_model import PACKAGED_MODEL, resolve_base_model
from em_core.ditto.model import load_tokenizer
from em_core.ditto.tokens import PairTokeniser

TEXTS = [
    "COL name VAL Acme Ltd",
    "COL name VAL Société Générale S.A. COL country VAL FR",
    "",
    "COL name VAL " + "very long name " * 12,
    "COL name VAL 株式会社日立製作所 COL city VAL " + "東京 " * 20,
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(resolve_base_model(PACKAGED_MODEL))


def test_a_known_word_is_known(tokenizer: Any) -> None:
    """Guards against the silently empty vocabulary of transformers 5."""
    assert tokenizer.unk_token_id not in tokenizer("company limited bank")["input_ids"]
    assert tokenizer.tokenize("Acme Limited")[-1] == "limited"


def test_nothing_is_padded_to_a_fixed_width(tokenizer: Any) -> None:
    assert len(tokenizer("bank")["input_ids"]) == 3
    assert len(tokenizer("bank " * 300)["input_ids"]) == 302


@pytest.mark.parametrize("room", [128, 32, 17, 16, 9])
@pytest.mark.parametrize("roberta", [False, True])
def test_batches_equal_the_tokenizers_own(tokenizer: Any, tmp_path: Path, room: int, roberta: bool) -> None:
    if roberta:  # <s> a </s></s> b </s>: four special tokens, two of them in the middle
        from tokenizers.processors import RobertaProcessing

        tokenizer = load_tokenizer(resolve_base_model(PACKAGED_MODEL))
        tokenizer.backend_tokenizer.post_processor = RobertaProcessing(("[SEP]", 102), ("[CLS]", 101))
    ours = PairTokeniser(tokenizer, room, token_types=True)
    left, right = (side.ravel() for side in np.meshgrid(np.arange(len(TEXTS)), np.arange(len(TEXTS))))
    pairs = ours.encode([TEXTS[i] for i in left], [TEXTS[i] for i in right])
    assert len(pairs.length) == len(TEXTS)  # each text tokenised once
    batch = ours.batch(pairs, np.arange(len(pairs)))
    theirs = tokenizer(
        [TEXTS[i] for i in left],
        [TEXTS[i] for i in right],
        truncation="longest_first",
        max_length=room,
        padding=True,
        return_tensors="np",
    )
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids"}
    for name, ids in batch.items():
        np.testing.assert_array_equal(ids.numpy(), theirs[name], err_msg=name)
    np.testing.assert_array_equal(ours.lengths(pairs), theirs["attention_mask"].sum(axis=1))


def test_the_two_sides_carry_different_token_types(tokenizer: Any) -> None:
    ours = PairTokeniser(tokenizer, 32, token_types=True)
    pairs = ours.encode(["bank", "acme"], ["acme", "bank"])
    batch = ours.batch(pairs, np.arange(2))
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"].tolist()]
    assert tokens[0][:3] == ["[CLS]", "bank", "[SEP]"]
    assert batch["token_type_ids"][0].tolist() == [0, 0, 0, 1, 1, 1][: len(tokens[0])]
    assert tokens[1][-2] == "bank"
    assert batch["token_type_ids"][1][-2] == 1
    assert "token_type_ids" not in PairTokeniser(tokenizer, 32, False).batch(pairs, np.arange(2))


def test_no_texts_give_no_tokens(tokenizer: Any) -> None:
    pairs = PairTokeniser(tokenizer, 32, True).encode([], [])
    assert len(pairs) == len(pairs.length) == len(pairs.distinct()[0]) == 0


def test_repeated_pairs_fold_and_unfold(tokenizer: Any) -> None:
    pairs = PairTokeniser(tokenizer, 32, True).encode(["a", "b", "a", "b"], ["b", "a", "b", "b"])
    once, back = pairs.distinct()
    assert len(once) == 3
    np.testing.assert_array_equal(once.left[back], pairs.left)
    np.testing.assert_array_equal(once.right[back], pairs.right)
    np.testing.assert_array_equal(pairs.swapped().left, pairs.right)


def test_texts_in_memory_are_not_tokenised_again(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = PairTokeniser(tokenizer, 32, True)
    asked: list[str] = []
    tokenise = ours._tokenise
    monkeypatch.setattr(ours, "_tokenise", lambda texts: asked.extend(texts) or tokenise(texts))
    monkeypatch.setattr(tokens, "KEPT", 3)
    first = ours.encode(["acme", "bank"], ["acme bank", "acme"])
    again = ours.encode(["bank", "acme", "new one"], ["acme", "acme bank", "acme"])
    assert asked == ["acme", "bank", "acme bank", "new one"]
    alone = PairTokeniser(tokenizer, 32, True).encode(["bank", "acme", "new one"], ["acme", "acme bank", "acme"])
    np.testing.assert_array_equal(again.ids, alone.ids)
    np.testing.assert_array_equal(again.start, alone.start)
    assert len(ours._kept) == 3
    ours.encode(["bank"], ["acme"])  # the least recently used one, bank, had to make room
    assert asked[4:] == ["bank"]
    assert len(first) == 2
