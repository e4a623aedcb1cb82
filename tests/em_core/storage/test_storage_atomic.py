"""Either the old content or the new, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from em_core.errors import UserError
from em_core.storage.atomic import atomic_file, atomic_folder


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class Stop(BaseException):
    """Like KeyboardInterrupt: no Exception."""


def test_file_appears_whole_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "t.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["t.txt"]


@pytest.mark.parametrize("error", [ValueError, OSError, Stop])
def test_a_broken_file_write_leaves_the_old_content(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "t.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["t.txt"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    with atomic_file(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_unwritable_places_are_user_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    for manager in (atomic_file, atomic_folder):
        for place in (tmp_path / "file" / "t", tmp_path / "file" / "deep" / "t", tmp_path / ("n" * 300) / "t"):
            with pytest.raises(UserError, match="cannot write"), manager(place):
                pytest.fail("the block must not run")
        with pytest.raises(UserError, match="cannot write"), manager(tmp_path / "loop"):
            pytest.fail("the block must not run")
    with pytest.raises(UserError, match="it is a folder"), atomic_file(tmp_path):
        pytest.fail("the block must not run")
    with pytest.raises(UserError, match="it is a file"), atomic_folder(tmp_path / "file"):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["file", "loop"]


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "m"
    for content in ("one", "two"):
        with atomic_folder(target) as folder:
            assert names(folder) == []
            (folder / "sub").mkdir()
            (folder / "sub" / "x").write_text(content)
        assert (target / "sub" / "x").read_text() == content
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("error", [ValueError, Stop])
def test_a_broken_folder_write_leaves_the_old_content(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "m"
    with pytest.raises(error), atomic_folder(target) as folder:
        (folder / "x").write_text("half")
        raise error
    assert names(tmp_path) == []
    with atomic_folder(target) as folder:
        (folder / "x").write_text("old")
    with pytest.raises(error), atomic_folder(target) as folder:
        (folder / "x").write_text("half")
        raise error
    assert (target / "x").read_text() == "old"
    assert names(tmp_path) == ["m"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    with pytest.raises(UserError, match="would delete 'letter'"), atomic_folder(home) as folder:
        (folder / "manifest.json").touch()
    with pytest.raises(UserError, match=r"holds no manifest.json"), atomic_folder(home, marker="manifest.json"):
        pytest.fail("the block must not run")
    assert names(home) == ["letter"]
    assert names(tmp_path) == ["home"]


def test_a_marked_folder_may_lose_old_files(tmp_path: Path) -> None:
    target = tmp_path / "m"
    target.mkdir()
    for content in (["manifest.json", "old.bin"], ["manifest.json"]):
        with atomic_folder(target, marker="manifest.json") as folder:
            for name in content:
                (folder / name).touch()
    assert names(target) == ["manifest.json"]


def test_if_the_new_folder_cannot_move_in_the_old_one_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "m"
    with atomic_folder(target) as folder:
        (folder / "x").write_text("old")
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if self.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="no space left"), atomic_folder(target) as folder:
        (folder / "x").write_text("new")
    assert (target / "x").read_text() == "old"
    assert names(tmp_path) == ["m"]


KILLED = """
import os, signal, sys
from pathlib import Path
from em_core.storage.atomic import atomic_folder
rename = Path.rename
def stop(self, to):
    if self.name.endswith(".tmp"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, to)
Path.rename = stop
with atomic_folder(sys.argv[1]) as folder:
    (folder / "x").write_text("new")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "m[1]"
    with atomic_folder(target) as folder:
        (folder / "x").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(ValueError, match="stop"), atomic_folder(target):
        raise ValueError("stop")
    assert (target / "x").read_text() == "old"
