import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from em_core.evaluation import charts, evaluate

NAMES = {"decisions", "stages", "confidence", "precision_recall", "reliability"}


def test_every_chart_is_one_svg_that_asks_for_nothing(feed):
    drawn = charts.all_charts(evaluate(*feed))
    assert set(drawn) == NAMES
    for svg in (drawing.svg() for drawing in drawn.values()):
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert set(re.findall(r"\w+://[^\"'\s<]+", svg)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        assert not re.search(r"href=\"(?!#)|url\((?!#)|<script|<image|@import", svg)


def test_same_figures_same_bytes_and_ids_of_charts_stay_apart(feed):
    evaluation = evaluate(*feed)
    drawn, again = ({name: drawing.svg() for name, drawing in charts.all_charts(evaluation).items()} for _ in range(2))
    assert drawn == again
    ids = [identifier for svg in drawn.values() for identifier in set(re.findall(r'id="([^"]+)"', svg))]
    assert len(ids) == len(set(ids))


def test_settings_of_other_plots_are_left_alone(feed):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    for drawing in charts.all_charts(evaluate(*feed)).values():
        drawing.svg()
    assert dict(mpl.rcParams) == before


def test_names_of_feeds_are_text_and_never_markup_or_formula(tables):
    names = ["</text><script>alert(1)</script>", r"$\frac$", "東京 & Co", "a" * 90]
    results, truth = tables([("auto_match", "E", "E", 0.9)] * 4, source_system=names)
    svg = charts.decisions_by_system(evaluate(results, truth)).svg()
    texts = [text for element in ElementTree.fromstring(svg).iter() for text in element.itertext()]
    assert "<script" not in svg
    assert any(r"$\frac$" in text for text in texts)
    assert any("東京 & Co" in text for text in texts)
    assert "a" * 40 not in svg


def test_many_systems_share_a_last_line_that_keeps_their_counts(tables):
    results, truth = tables([("auto_match", "E", "E", 0.9)] * 50, source_system=[f"F{row:02d}" for row in range(50)])
    svg = charts.decisions_by_system(evaluate(results, truth)).svg()
    assert "31 other systems  (31)" in svg
    assert svg.count(">100%<") == charts.SYSTEMS_SHOWN


def test_without_truth_only_what_was_decided_is_drawn(feed):
    drawn = charts.all_charts(evaluate(feed[0]))
    assert set(drawn) == {"decisions", "confidence"}
    assert "without truth" in drawn["confidence"].svg()


@pytest.mark.parametrize(
    "records",
    [
        [("no_match", None, None, 0.1)],
        [("auto_match", "X", "E", None)],
        [("auto_match", "X", "E", 1.0)],
        [("auto_match", "E", "E", 0.0)],
        [("review", "E", "E", 0.5), ("no_match", None, "E", 0.5)],
    ],
)
def test_tiny_and_lopsided_feeds_draw(tables, records):
    for drawing in charts.all_charts(evaluate(*tables(records))).values():
        assert ElementTree.fromstring(drawing.svg()) is not None


def test_importing_evaluation_loads_no_plotting_and_drawing_loads_no_pyplot():
    code = (
        "import sys; from em_core.evaluation import charts, render_html\n"
        "assert not {'matplotlib', 'torch', 'dagster', 'altair'} & set(sys.modules), 'import'\n"
        "charts.Drawing('x', 'x', 'x', 1, 1, lambda figure: figure.add_subplot()).svg()\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'draw'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
