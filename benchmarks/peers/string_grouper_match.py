"""string-grouper (Bergvca/string_grouper): `match_strings` of queries against the master, its cosine as score.

Its defaults (trigrams, case ignored) but for the least similarity: .2 instead of .8, so that it may answer every query and its score
decides; at .8 it would answer only those it is sure of.
"""

from __future__ import annotations

from common import SHOWN, Clock, parser, ranked, read, write
from string_grouper import match_strings


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, clock = read(arguments.reference), read(arguments.queries), Clock()
    found = match_strings(
        reference["name"],
        queries["name"],
        master_id=reference["entity_id"],
        duplicates_id=queries.index.to_series(),
        max_n_matches=SHOWN,
        min_similarity=0.2,
        ignore_index=True,
    )
    ids = {name: [c for c in found.columns if name in c and c.endswith("id")] for name in ("left", "right")}
    answers = ranked(found[ids["right"][0]].astype(int), found[ids["left"][0]], found["similarity"])
    clock.lap("match")
    write(answers, arguments.out)
    clock.report()


if __name__ == "__main__":
    main()
