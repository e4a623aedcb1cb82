"""nomenklatura (opensanctions), algorithm logic-v2 with its default weights, over the five nearest names by character TF-IDF.

Its matcher compares pairs and leaves retrieval to a search engine; the TF-IDF stands in for that. Entities are Companies of
FollowTheMoney with a name and, where it may be used, the country; the score of logic-v2 is the score. It is untrained: no labels.
"""

from __future__ import annotations

from common import Clock, parser, ranked, read, write
from followthemoney import model
from followthemoney.proxy import EntityProxy
from nearest import Nearest
from nomenklatura.matching import LogicV2

_COMPARED = 5


def company(key: str, name: str, country: str) -> EntityProxy:
    """A Company; its cleaning drops a country that it does not know."""
    entity = model.make_entity("Company")
    entity.id = key
    entity.add("name", name)
    if country:
        entity.add("jurisdiction", country)
    return entity


def main() -> None:
    """Answer every query."""
    arguments = parser(__doc__).parse_args()
    reference, queries, clock = read(arguments.reference), read(arguments.queries), Clock()
    country = "country" in queries
    nearest = Nearest(reference["name"].str.lower())
    clock.lap("fit")
    found = nearest.search(queries["name"].str.lower(), _COMPARED)
    clock.lap("retrieve")
    config = LogicV2.default_config()
    left = [
        company(f"q{i}", n, c)
        for i, (n, c) in enumerate(zip(queries["name"], queries.get("country", [""] * len(queries)), strict=True))
    ]
    right: dict[int, EntityProxy] = {}
    scores = []
    for query, entity in zip(found["query"], found["entity"], strict=True):
        if entity not in right:
            row = reference.iloc[entity]
            right[entity] = company(row["entity_id"], row["name"], row["country"] if country else "")
        scores.append(LogicV2.compare(left[query], right[entity], config).score)
    answers = ranked(found["query"], reference["entity_id"].to_numpy()[found["entity"]], scores)
    clock.lap("match")
    write(answers, arguments.out)
    clock.report(pairs=len(found))


if __name__ == "__main__":
    main()
