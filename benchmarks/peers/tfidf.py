"""Character TF-IDF alone: the nearest folded name, its cosine as score. Names are folded as everywhere in this project."""

from __future__ import annotations

import pandas as pd
from common import SHOWN, Clock, parser, ranked, read, write
from nearest import Nearest

from em_core.text.fold import fold_all


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, clock = read(arguments.reference), read(arguments.queries), Clock()
    nearest = Nearest(pd.Series(fold_all(reference["name"])))
    clock.lap("fit")
    found = nearest.search(pd.Series(fold_all(queries["name"])), SHOWN)
    answers = ranked(found["query"], reference["entity_id"].to_numpy()[found["entity"]], found["cosine"])
    clock.lap("match")
    write(answers, arguments.out)
    clock.report()


if __name__ == "__main__":
    main()
