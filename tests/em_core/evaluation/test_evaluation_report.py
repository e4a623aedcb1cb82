import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from em_core.errors import UserError
from em_core.evaluation import (
    Evaluation,
    TrainingDigests,
    candidate_recall,
    charts,
    evaluate,
    render_html,
    write_report,
)
from em_core.evaluation.tables import percent
from em_core.schema import prepare_source

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """Text, tags and attributes of a page; fails on a tag that is closed without being open."""

    VOID = ("meta",)

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.attributes, self.text = set(), [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def hostile(tables):
    """Every piece of text that comes from data tries to break out."""
    results, truth = tables(
        [("auto_match", HOSTILE, "E" + HOSTILE, 0.9), ("no_match", None, "E", 0.1)],
        source_system=[HOSTILE] * 2,
        matched_name=[HOSTILE, None],
        method=[HOSTILE] * 2,
        stage=[HOSTILE] * 2,
        reason=[HOSTILE] * 2,
        evidence=[json.dumps({HOSTILE: {HOSTILE: [HOSTILE]}}), "no JSON " + HOSTILE],
    )
    source = prepare_source(results[["source_system", "source_id"]].assign(name=HOSTILE, country=HOSTILE))
    return evaluate(results, truth, source=source)


def test_data_never_becomes_markup(hostile):
    page = Page(render_html(hostile, title=HOSTILE, context={HOSTILE: HOSTILE}))
    assert not {"script", "img"} & page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.words.count("alert(1)") >= 10


def test_page_loads_nothing(feed, hostile):
    for evaluation in (evaluate(*feed), evaluate(feed[0]), hostile):
        html = render_html(evaluation, title="t")
        page = Page(html)
        loads = [(n, v) for n, v in page.attributes if n in ("src", "href", "xlink:href", "srcset", "action", "data")]
        assert all(value.startswith("#") for _, value in loads)
        assert not {"link", "iframe", "object", "base", "image"} & page.tags
        assert not re.search(r"@import|url\((?!#)", html)
        assert "default-src 'none'" in dict(page.attributes)["content"] or "default-src 'none'" in html


def test_headline_says_figure_interval_and_labels(feed):
    evaluation = evaluate(*feed)
    words = Page(render_html(evaluation, title="Match report")).words
    found = evaluation.precision
    assert percent(found.value) in words
    assert f"95 % interval: {percent(found.low).removesuffix(' %')} to {percent(found.high)}" in words
    assert f"{found.hits} of {found.total} labelled automatic matches are right" in words
    assert "600 records; 500 labelled" in words
    assert f"{evaluation.promise.errors} errors among {evaluation.promise.labels} labelled automatic matches" in words
    assert "No truth was given" not in words


def test_every_section_stands(feed):
    html = render_html(evaluate(*feed), title="t", context={"run": "r-17", "seconds: retrieval": "12.1"})
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "Decisions", "What each stage adds", "Worst groups", "Confidence", "Thresholds", "Breakdown", "Errors"
    ]  # fmt: skip
    assert "<h3>Reliability by decile</h3>" in html
    assert html.count("<svg") == 5
    assert "<dt>run</dt><dd>r-17</dd>" in html


def test_what_retrieval_finds_and_loses_stands_in_page_and_json(feed, tmp_path):
    records = pd.DataFrame(
        {"source_system": ["crm", HOSTILE], "source_id": ["1", HOSTILE], "name": ["Acme", HOSTILE], "country": [None, HOSTILE],
         "entity_id": ["A", "B"]}, dtype=object,
    )  # fmt: skip
    lists = pd.DataFrame({"query": [0], "entity": [0], "rank": [0], "lexical": [0.9], "vector": [0.8]})
    recall = candidate_recall(lists, records, pd.DataFrame({"entity_id": ["A", "B"], "name": ["Acme", HOSTILE]}))
    training = TrainingDigests.of(records.assign(origin="label"))
    evaluation = evaluate(*feed, training=training)
    html = render_html(evaluation, title="t", recall=recall)
    assert {"Seen in training?", "What retrieval finds"} <= set(re.findall(r"<h2>(.*?)</h2>", html))
    assert html.count("<svg") == 6
    page = Page(html)
    assert not {"script", "img"} & page.tags
    assert "By country" in page.words and "Lost by retrieval" in page.words and "it had seen 0" in page.words
    read = json.loads(
        write_report(tmp_path / "r.json", evaluation, title="t", recall=recall).read_text(encoding="utf-8")
    )
    assert read["candidate_recall"]["lost"] == 1 and read["leaks"]["labels"] == 2


def test_without_truth_the_page_says_so_and_shows_no_metric(feed):
    html = render_html(evaluate(feed[0]), title="t")
    words = Page(html).words
    assert "No truth was given" in words
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Decisions", "Confidence", "Breakdown"]
    assert html.count("<svg") == 2
    assert not re.search(r"\b(precision|recall|wrong|proven)\b", words)
    assert "because" in words  # the reasons


def test_without_matplotlib_the_page_says_so(feed, monkeypatch):
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    html = render_html(evaluate(*feed), title="t")
    assert "<svg" not in html
    assert "matplotlib is not installed" in html
    assert "Thresholds" in html


def test_nothing_labelled_in_a_class_reads_not_known(tables):
    words = Page(render_html(evaluate(*tables([("no_match", None, None, 0.1)])), title="t")).words
    assert "Precision of automatic matches not known no labelled automatic matches" in words
    assert "1 of 1 labelled no-match records are truly not in the reference" in words
    assert "None among the labelled records" in words


def test_truth_that_does_not_fit_is_said(tables):
    results, _ = tables([("auto_match", "E1", "?", 0.9)])
    truth = pd.DataFrame({"source_id": ["S0", "S9"], "entity_id": ["E2", "E1"]})
    reference = pd.DataFrame({"entity_id": ["E1"], "name": ["One"]})
    words = Page(render_html(evaluate(results, truth, reference=reference), title="t")).words
    assert "1 truth row names no record of the results" in words
    assert "1 labelled record has a true identifier that the reference lacks" in words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.9996, "99.96 %"), (0.0002, "0.02 %"), (0.5, "50.0 %")],
)
def test_percent_never_rounds_to_certainty(value, text):
    assert percent(value) == text


def test_report_is_written_by_suffix(feed, tmp_path: Path):
    evaluation = evaluate(*feed)
    page = write_report(tmp_path / "deep" / "report.html", evaluation, title="T & T", context={"run": "1"})
    figures = write_report(tmp_path / "report.JSON", evaluation, title="T & T", context={"run": "1"})
    assert "<h1>T &amp; T</h1>" in page.read_text(encoding="utf-8")
    read = json.loads(figures.read_text(encoding="utf-8"))
    assert (read["title"], read["context"]) == ("T & T", {"run": "1"})
    assert Evaluation.model_validate(read) == evaluation
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["report.JSON", "report.html"]


@pytest.mark.parametrize("name", ["report.pdf", "report"])
def test_other_suffixes_are_refused(feed, tmp_path, name):
    with pytest.raises(UserError, match=r"\.html or \.json"):
        write_report(tmp_path / name, evaluate(*feed), title="t")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_the_users_to_mend(feed, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.json").mkdir()
    for place in (tmp_path / "file" / "r.json", tmp_path / "folder.json"):
        with pytest.raises(UserError, match="cannot be written"):
            write_report(place, evaluate(*feed), title="t")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.json"]


def test_a_failed_write_leaves_the_old_report_whole(feed, tmp_path, monkeypatch):
    target = tmp_path / "r.json"
    write_report(target, evaluate(*feed), title="old")

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_report(target, evaluate(*feed), title="new")
    assert json.loads(target.read_text())["title"] == "old"
    assert list(tmp_path.iterdir()) == [target]
