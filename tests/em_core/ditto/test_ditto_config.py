from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.config import CONFIG, read_config, write_config
from em_core.ditto.entry_point import SETTINGS
from em_core.ditto.settings import TrainSettings
from em_core.errors import UserError

OPTIONS = ("epochs", "batch_size", "training_data")


def _file(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / CONFIG).write_bytes(content)
    return tmp_path / CONFIG


def test_values_come_back_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    assert read_config(_file(tmp_path, b"epochs: 3\nbatch_size:\ntraining_data: a.csv\n"), OPTIONS) == {
        "epochs": 3,
        "training_data": "a.csv",
    }
    assert read_config(_file(tmp_path, b"# nothing\n"), OPTIONS) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"batchsize: 3", r"'batchsize' is no option; 'batch_size' is one"),
        (b"batch-size: 3", r"'batch-size' is no option; 'batch_size' is one"),
        (b"zzz: 3", r"'zzz' is no option$"),
        (b"1: 3", r"'1' is no option$"),
        (b"- epochs", "wants lines `option: value`"),
        (b"epochs: [3", r"config.yaml, line \d+: not YAML"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (b"epochs: \x00", "not YAML"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read_config(_file(tmp_path, content), OPTIONS)
    assert CONFIG in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_config(tmp_path / "nothing.yaml", OPTIONS)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": st.floats(1e-9, 0.5),
            "base_model": st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            "positive_weight": st.one_of(st.just("auto"), st.floats(0.1, 100)),
            "augment_operators": st.lists(st.sampled_from(["del", "all"]), min_size=1),
            "layers": st.integers(1, 24),
            "mixda": st.booleans(),
        },
    )
)
def test_settings_survive_the_file(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("config")
    settings = TrainSettings.model_validate(changes)
    write_config(folder, settings.model_dump(mode="json"))
    assert TrainSettings(**read_config(folder / CONFIG, SETTINGS)) == settings
