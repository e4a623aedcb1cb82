from __future__ import annotations

from pathlib import Path

import pytest
import torch

from em_core.ditto.checkpoint import CHECKPOINT, Checkpoint
from em_core.errors import UserError

IDENTITY = {"epochs": 5, "augment_operators": ["del", "all"], "the SHA-256 of the train file": "ab"}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a" / "b", IDENTITY)
    assert checkpoint.load() is None
    for value in (1.0, 2.0):
        checkpoint.save({"best": {"w": torch.full((2,), value)}, "history": [{"epoch": 1, "f1": 0.5}]})
    state = Checkpoint(tmp_path / "a" / "b", dict(IDENTITY)).load()
    assert state is not None
    assert torch.equal(state["best"]["w"], torch.full((2,), 2.0))
    assert state["history"] == [{"epoch": 1, "f1": 0.5}]
    assert [path.name for path in checkpoint.folder.iterdir()] == [CHECKPOINT]


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    Checkpoint(tmp_path, IDENTITY).save({})
    for change, says in (
        ({"epochs": 6}, "epochs is 5 there and 6 here"),
        ({"the SHA-256 of the train file": "cd"}, "the SHA-256 of the train file is ab there and cd here"),
        ({"mixda": True}, "mixda is None there and True here"),
    ):
        with pytest.raises(UserError, match=says):
            Checkpoint(tmp_path, IDENTITY | change).load()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        Checkpoint(tmp_path, IDENTITY).load()


def test_other_content_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="damaged"):
        Checkpoint(tmp_path, IDENTITY).load()


def test_a_place_that_is_no_folder_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="no folder for checkpoints"):
        Checkpoint(tmp_path / "file", IDENTITY).load()


def test_removal_spares_other_files(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", IDENTITY)
    checkpoint.remove()
    checkpoint.save({})
    checkpoint.remove()
    assert not checkpoint.folder.exists()
    checkpoint.save({})
    (checkpoint.folder / "notes").write_text("x")
    checkpoint.remove()
    assert [path.name for path in checkpoint.folder.iterdir()] == ["notes"]
