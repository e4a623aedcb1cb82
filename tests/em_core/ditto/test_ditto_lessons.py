from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from em_core.ditto.learner import Learner, divergence, learning_rate_share
from em_core.ditto.lessons import Lessons, Reader, mixing_weight, shuffled_batches
from em_core.ditto.model import load_base_model
from em_core.ditto.parallel import Processes
from em_core.ditto.prepare import Preparation
from em_core.ditto.settings import TrainSettings
from em_core.ditto.tokens import PairTokeniser

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


@pytest.fixture(scope="module")
def reader(tiny_base: Path) -> Reader:
    classifier, tokenizer = load_base_model(str(tiny_base), "mean")
    return Reader(Preparation.identity(), PairTokeniser(tokenizer, 48, classifier.token_types))


def _settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"batch_size": 8, "precision": "fp32"} | changes)


def test_an_epoch_holds_each_pair_once(reader: Reader, make_pairs: Callable[..., pd.DataFrame]) -> None:
    pairs = make_pairs(50)
    for accumulate, steps in ((1, 7), (3, 3), (100, 1)):
        lessons = Lessons(pairs, reader, _settings(accumulate=accumulate), ALONE)
        epoch = list(lessons.epoch(1))
        assert len(epoch) == lessons.steps == steps
        assert sum(step.pairs for step in epoch) == 50
        labels = np.concatenate([labels for step in epoch for _, labels in step.batches])
        assert sorted(labels) == sorted(pairs["label"])
        assert all(len(labels) == len(ids["input_ids"]) for step in epoch for ids, labels in step.batches)


def test_an_epoch_depends_on_seed_and_number_alone(reader: Reader, make_pairs: Callable[..., pd.DataFrame]) -> None:
    def first(number: int, seed: int) -> torch.Tensor:
        lessons = Lessons(make_pairs(50), reader, _settings(seed=seed), ALONE)
        return next(lessons.epoch(number)).batches[0][0]["input_ids"]

    assert torch.equal(first(2, 0), first(2, 0))
    assert not torch.equal(first(2, 0), first(3, 0))
    assert not torch.equal(first(2, 0), first(2, 1))


def test_processes_share_each_batch(reader: Reader, make_pairs: Callable[..., pd.DataFrame]) -> None:
    pairs = make_pairs(50)  # the last batch holds two, fewer than there are processes
    shares = [list(Lessons(pairs, reader, _settings(), Processes(rank, 3, CPU)).epoch(1)) for rank in range(3)]
    for whole, *parts in zip(Lessons(pairs, reader, _settings(), ALONE).epoch(1), *shares, strict=True):
        assert {part.pairs for part in parts} == {whole.pairs}
        assert sum(len(labels) for part in parts for _, labels in part.batches) == whole.pairs


def test_mixda_reads_a_pair_and_its_altered_copy(reader: Reader, make_pairs: Callable[..., pd.DataFrame]) -> None:
    pairs = make_pairs(50)
    for rate in (0.0, 1.0):
        lessons = Lessons(pairs, reader, _settings(mixda=True, augment=rate, augment_operators="entry_swap"), ALONE)
        for step in lessons.epoch(1):
            assert step.mix is not None
            assert 0.5 <= step.mix <= 1
            (batch, labels), *_ = step.batches
            original, altered = batch["input_ids"].chunk(2)
            assert len(original) == len(labels)
            assert torch.equal(original, altered) == (rate == 0.0)


def test_a_mix_with_itself_is_the_plain_loss(
    reader: Reader, tiny_base: Path, make_pairs: Callable[..., pd.DataFrame]
) -> None:
    losses = []
    for mixda in (False, True):
        torch.manual_seed(0)
        classifier, _ = load_base_model(str(tiny_base), "mean")
        classifier.dropout.p = 0.0
        settings = _settings(augment=0.0, mixda=mixda)
        step = next(Lessons(make_pairs(50), reader, settings, ALONE).epoch(1))
        losses.append(Learner(classifier, settings, 1.0, ALONE).step(step, 0.5))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_accumulated_batches_step_as_one(
    reader: Reader, tiny_base: Path, make_pairs: Callable[..., pd.DataFrame]
) -> None:
    weights, losses = [], []
    for size, accumulate in ((48, 1), (8, 6)):
        torch.manual_seed(0)
        classifier, _ = load_base_model(str(tiny_base), "mean")
        classifier.dropout.p = 0.0
        settings = _settings(batch_size=size, accumulate=accumulate, augment=0.0)
        (step,) = Lessons(make_pairs(48), reader, settings, ALONE).epoch(1)
        losses.append(Learner(classifier, settings, 2.0, ALONE).step(step, 0.0))
        weights.append(torch.cat([p.flatten() for p in classifier.parameters()]).detach())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=0)


def test_a_learner_goes_on_from_its_state(
    reader: Reader, tiny_base: Path, make_pairs: Callable[..., pd.DataFrame]
) -> None:
    settings = _settings(ema=0.5)

    def learner() -> Learner:
        return Learner(load_base_model(str(tiny_base), "mean")[0], settings, 1.0, ALONE)

    steps = list(Lessons(make_pairs(50), reader, settings, ALONE).epoch(1))
    whole = learner()
    for step in steps[:2]:
        whole.step(step, 0.5)
    other = learner()
    other.load_state_dict(copy.deepcopy(whole.state_dict()))
    for one in (whole, other):
        torch.manual_seed(5)
        one.step(steps[2], 0.6)
    for a, b in ((whole.judged, other.judged), (whole.classifier, other.classifier)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(whole.judged.head.weight, whole.classifier.head.weight)


def test_divergence_is_the_mean_of_both_directions() -> None:
    one, other = torch.tensor([0.3, -2.0]), torch.tensor([1.0, -1.5])
    p, q = (torch.distributions.Bernoulli(logits=z) for z in (one, other))
    kl = torch.distributions.kl_divergence
    assert divergence(one, other).item() == pytest.approx(((kl(p, q) + kl(q, p)) / 2).sum().item(), rel=1e-5)
    assert divergence(one, one).item() == 0.0


def test_the_original_weighs_at_least_half() -> None:
    rng = np.random.default_rng(0)
    drawn = [mixing_weight(0.8, rng) for _ in range(2000)]
    assert min(drawn) >= 0.5
    assert np.mean(drawn) == pytest.approx(0.78, abs=0.02)


def test_batches_hold_each_pair_once_with_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 1000)
    batches = shuffled_batches(lengths, 64, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert len(batches) == 16
    assert np.mean([np.ptp(lengths[rows]) for rows in batches]) < 10


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate_share(step / 100, 0.1) for step in range(101)]
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(1.0)
    assert rates[100] == 0.0
    assert 0 < rates[0] < 0.05
    assert learning_rate_share(0.0, 0.0) == 1.0
