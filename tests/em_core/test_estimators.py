"""Fitted models go through files without pickles, and opening them does not import all of scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from em_core.errors import UserError
from em_core.estimators import dump_estimators, load_estimators


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features, label = rng.random((300, 4)), rng.random(300) < 0.4
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(features, label)
    dump_estimators([model], tmp_path / "m.skops")
    (again,) = load_estimators(tmp_path / "m.skops", "a scorer")
    np.testing.assert_array_equal(again.predict_proba(features), model.predict_proba(features))


def test_a_foreign_type_is_refused(tmp_path: Path) -> None:
    dump_estimators({"path": Path("x")}, tmp_path / "m.skops")
    with pytest.raises(UserError, match=r"holds the type pathlib\S*, which is no part of a scorer"):
        load_estimators(tmp_path / "m.skops", "a scorer")


def test_opening_loads_no_torch_and_leaves_scikit_learn_as_it_was() -> None:
    code = (
        "import sys, sklearn.utils\nbefore = sklearn.utils.all_estimators\n"
        "from em_core.estimators import _skops\n_skops()\n"
        "assert 'torch' not in sys.modules and sklearn.utils.all_estimators is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
