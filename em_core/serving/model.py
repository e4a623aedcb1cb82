"""Code of the served model, which MLflow runs by itself ("models from code"): nothing is pickled."""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from em_core.serving.payload import answer


class MatcherModel(PythonModel):
    """`predict` matches a frame of source records against the reference of the matcher folder that was logged."""

    def load_context(self, context: Any) -> None:
        """Open the matcher; the first record then takes no longer than the next."""
        from em_core.matcher import Matcher
        from em_core.serving.payload import example

        self.matcher = Matcher.load(context.artifacts["matcher"], now=True)
        answer(self.matcher, example())

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One result row for each record, in the same order. A payload that is none is told in a sentence (HTTP 400)."""
        return answer(self.matcher, model_input)


mlflow.models.set_model(MatcherModel())
