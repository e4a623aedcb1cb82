"""Character TF-IDF alone: the nearest folded name, its cosine as score. Uses the project's own lexical index."""

from __future__ import annotations

import numpy as np
from common import SHOWN, Clock, parser, ranked, read, write

from em_core.retrieval.lexical import LexicalIndex
from em_core.text.fold import fold_all


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, clock = read(arguments.reference), read(arguments.queries), Clock()
    index = LexicalIndex.build(fold_all(reference["name"]))
    clock.lap("fit")
    encoded = index.encode(fold_all(queries["name"]))
    query, found = index.search(encoded, SHOWN)
    cosine = np.asarray(encoded[query].multiply(index.matrix[found]).sum(axis=1)).ravel()
    answers = ranked(query, reference["entity_id"].to_numpy()[found], cosine)
    clock.lap("match")
    write(answers, arguments.out)
    clock.report()


if __name__ == "__main__":
    main()
