"""The most similar folded names by one rapidfuzz scorer, its score as score: every query against every name."""

from __future__ import annotations

import numpy as np
from common import SHOWN, Clock, parser, ranked, read, write
from rapidfuzz import fuzz, process

from em_core.text.fold import fold_all

_QUERIES = 256


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__)
    arguments.add_argument("--scorer", choices=("ratio", "token_sort_ratio"), required=True)
    options = arguments.parse_args()
    reference, queries, clock = read(options.reference), read(options.queries), Clock()
    ids, choices, texts = reference["entity_id"].to_numpy(), fold_all(reference["name"]), fold_all(queries["name"])
    best, scores = [], []
    for start in range(0, len(texts), _QUERIES):
        part = process.cdist(
            texts[start : start + _QUERIES], choices, scorer=getattr(fuzz, options.scorer), workers=2, dtype=np.float32
        )
        k = min(SHOWN, part.shape[1])
        first = np.argpartition(-part, k - 1, axis=1)[:, :k]
        first = np.take_along_axis(first, np.lexsort((first, -np.take_along_axis(part, first, axis=1)), axis=1), axis=1)
        best.append(first)
        scores.append(np.take_along_axis(part, first, axis=1))
    found = np.concatenate(best)
    answers = ranked(
        np.repeat(np.arange(len(found)), found.shape[1]), ids[found.ravel()], np.concatenate(scores).ravel()
    )
    clock.lap("match")
    write(answers, options.out)
    clock.report()


if __name__ == "__main__":
    main()
