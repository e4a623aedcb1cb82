from __future__ import annotations

from pathlib import Path

import pytest

from em_core.ditto.card import card
from em_core.ditto.folder import CARD, read_manifest


def test_the_card_says_what_a_finder_needs(trained_folder: Path) -> None:
    manifest = read_manifest(trained_folder)
    text = (trained_folder / CARD).read_text(encoding="utf-8")
    assert CARD in manifest.files
    for part in (
        manifest.base_model,
        manifest.digest,
        manifest.data["train"],
        f"{manifest.metrics['valid']['f1']:.4g}",
        f"temperature {manifest.temperature:.4g}",
        "no record is in both",
        "DittoModel.load(folder)",
        "COL name VAL ... COL city VAL ...",
        "| epochs | 2 |",
        f"| torch | {manifest.libraries['torch']} |",
        f"| python | {manifest.libraries['python']} |",
    ):
        assert part in text
    assert text == card(manifest.model_copy(update={"files": {}}))
    epochs = [line for line in text.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert len(epochs) == 2
    assert all(line.rstrip(" |").endswith("#") for line in epochs)


def test_every_table_has_even_rows(trained_folder: Path) -> None:
    manifest = read_manifest(trained_folder)
    manifest = manifest.model_copy(update={"base_model": "a|b", "data": {"train": "x|y"}})
    blocks = [block for block in card(manifest).split("\n\n") if block.startswith("|")]
    assert len(blocks) == 5
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize("split", ["given", "left_disjoint", "of one's own"])
def test_the_split_is_told(trained_folder: Path, split: str) -> None:
    manifest = read_manifest(trained_folder)
    metrics = manifest.metrics | {"split": split, "processes": 4, "device": "cuda"}
    text = card(manifest.model_copy(update={"metrics": metrics}))
    assert "Split: " in text
    assert "on cuda, 4 processes" in text
