"""EMM (ing-bank/EntityMatchingModel), supervised, as its README does it: default indexers, legal-form feature, `fit_classifier`.

Its positive names are the labelled records with a known entity; half of them become negative names, as in the README. `nm_score` is the
score. Countries come in through `name_only=False` where both tables have them.
"""

from __future__ import annotations

import pandas as pd
from common import Clock, parser, ranked, read, write
from emm import PandasEntityMatching


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, train = read(arguments.reference), read(arguments.queries), read(arguments.train)
    country = "country" in queries
    columns = ["id", "name", *(["country"] if country else [])]
    # It wants whole numbers as keys of names and entities.
    place = pd.Series(reference.index, index=reference["entity_id"])
    truth = reference.assign(id=reference.index)[columns]
    known = train[train["entity_id"] != ""].reset_index(drop=True)
    known = known.assign(id=known["entity_id"].map(place))[columns]
    clock = Clock()
    matcher = PandasEntityMatching(
        {"name_only": not country, "supervised_on": False, "with_legal_entity_forms_match": True}
    )
    matcher.fit(truth)
    clock.lap("fit")
    matcher.fit_classifier(known, create_negative_sample_fraction=0.5)
    clock.lap("train")
    found = matcher.transform(queries.assign(id=queries.index)[columns])
    found = found[found["gt_entity_id"].notna()]
    answers = ranked(
        found["entity_id"].astype(int),
        reference["entity_id"].to_numpy()[found["gt_entity_id"].astype(int)],
        found["nm_score"],
    )
    clock.lap("match")
    write(answers, arguments.out)
    clock.report()


if __name__ == "__main__":
    main()
