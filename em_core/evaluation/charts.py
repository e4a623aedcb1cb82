"""Charts of an evaluation as inline SVG text: no file, no script, no request, so a page that holds them opens offline.

Every function returns a complete `<svg>` element, or None where the evaluation has nothing to draw. matplotlib is used
through its object interface with fixed settings: the same figures give the same bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from em_core.evaluation.figures import Evaluation, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue, amber, grey and vermilion stay apart for colour-blind readers and in print.
INK, MUTED, GRID = "#1f2933", "#5f6b76", "#e3e7eb"
GOOD, OPEN, NONE, BAD = "#2b6ca3", "#e3a53f", "#b4bcc5", "#c4512d"
DECISION_COLOURS = {"auto_match": GOOD, "review": OPEN, "no_match": NONE}
DECISION_WORDS = {"auto_match": "automatic match", "review": "review", "no_match": "no match"}
SYSTEMS_SHOWN = 20
_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's own font
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.parse_math": False,  # data is never markup: a feed called `$x$` is no formula
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def available() -> bool:
    """Whether matplotlib is installed (extra `local`)."""
    return find_spec("matplotlib") is not None


def all_charts(evaluation: Evaluation) -> dict[str, str]:
    """Every chart that has something to show, by name; empty without matplotlib."""
    if not available():
        return {}
    drawn: dict[str, Callable[[Evaluation], str | None]] = {
        "decisions": decisions_by_system,
        "confidence": confidence_histogram,
        "precision_recall": precision_recall,
        "reliability": reliability,
    }
    return {name: svg for name, draw in drawn.items() if (svg := draw(evaluation)) is not None}


def _draw(name: str, width: float, height: float, paint: Callable[[Figure], None]) -> str:
    """Run `paint` on a fresh figure of `width` x `height` inches and return its SVG element."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    out = StringIO()
    # The salt keeps element ids of several charts in one page apart, and equal from run to run.
    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"Glyph .* missing from", category=UserWarning
        )  # text is not outlined
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # unused, and equal in every chart of a page
    size = f'role="img" style="width:100%;max-width:{width * 96:.0f}px"'
    return re.sub(r'^<svg([^>]*?) width="[^"]*" height="[^"]*"', rf"<svg {size}\1", svg, count=1)


def _percent_axis(axis: Axes, which: str) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    place = axis.xaxis if which == "x" else axis.yaxis
    place.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    place.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > 0.06 else 1))


def _merged(groups: list[Group]) -> list[tuple[str, dict[str, int]]]:
    """Counts by decision of the largest systems, the rest in one line."""

    def counts(part: list[Group]) -> dict[str, int]:
        return {decision: sum(getattr(group, decision) for group in part) for decision in DECISION_COLOURS}

    shown = groups if len(groups) <= SYSTEMS_SHOWN else groups[: SYSTEMS_SHOWN - 1]
    lines = [(_clip(group.value or "(missing)"), counts([group])) for group in shown]
    rest = groups[len(shown) :]
    return [*lines, (f"{len(rest)} other systems", counts(rest))] if rest else lines


def _clip(text: str, width: int = 28) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def decisions_by_system(evaluation: Evaluation) -> str | None:
    """Shares of automatic match, review and no match for each source system."""
    lines = _merged(evaluation.groups.get("source_system", []))[::-1]
    if not lines:
        return None

    def paint(figure: Figure) -> None:
        from matplotlib.patches import Patch

        axis = figure.add_subplot()
        rows = np.arange(len(lines))
        totals = np.array([sum(counts.values()) for _, counts in lines])
        left = np.zeros(len(lines))
        for decision, colour in DECISION_COLOURS.items():
            share = np.array([counts[decision] for _, counts in lines]) / totals
            axis.barh(rows, share, left=left, color=colour, height=0.62, edgecolor="white", linewidth=1)
            for row, (part, start) in enumerate(zip(share, left, strict=True)):
                if part >= 0.05:
                    ink = "white" if decision == "auto_match" else INK
                    axis.text(start + part / 2, row, f"{part:.0%}", ha="center", va="center", color=ink)
            left += share
        axis.set_yticks(rows, [f"{name}  ({total:,})" for (name, _), total in zip(lines, totals, strict=True)])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_xlim(0, 1)
        axis.set_ylim(-0.5, len(lines) - 0.5)
        axis.set_xticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
        swatches = [Patch(facecolor=colour) for colour in DECISION_COLOURS.values()]
        figure.legend(
            swatches, [DECISION_WORDS[d] for d in DECISION_COLOURS], loc="outside upper left", ncols=3, frameon=False
        )

    return _draw("decisions", 8.6, 0.75 + 0.36 * len(lines), paint)


def precision_recall(evaluation: Evaluation) -> str | None:
    """Precision against recall as the threshold falls, with the automatic matches and the operating points on it."""
    curve = evaluation.curve
    if not curve:
        return None

    def paint(figure: Figure) -> None:
        from matplotlib.lines import Line2D

        axis = figure.add_subplot()
        recall = [point.recall for point in curve]
        precision = [point.precision for point in curve]
        axis.plot(recall, precision, color=GOOD, linewidth=1.8)
        floor = min(precision)
        achieved, found = evaluation.precision, evaluation.recall
        if achieved.value is not None and found.value is not None and achieved.low is not None:
            floor = min(floor, achieved.low)
        axis.set_ylim(max(0.0, floor - (1 - floor) * 0.12 - 0.002), 1 + (1 - floor) * 0.1 + 0.002)
        axis.set_xlim(0, 1.02)
        for point in evaluation.operating_points:
            if point.recall and point.threshold is not None:
                level = point.right / point.accepted
                axis.plot(point.recall, level, "o", color="white", markeredgecolor=GOOD, markersize=6)
                axis.annotate(
                    f"{point.recall:.1%} at {point.target:.0%}", (point.recall, level), (-7, -5),
                    textcoords="offset points", ha="right", va="top", color=GOOD,
                )  # fmt: skip
        if achieved.value is not None and found.value is not None:
            axis.hlines(achieved.value, found.low or 0, found.high or 1, color=BAD, linewidth=1.2)
            axis.vlines(found.value, achieved.low or 0, achieved.high or 1, color=BAD, linewidth=1.2)
            axis.plot(found.value, achieved.value, "o", color=BAD, markersize=5)
            dot = Line2D([], [], marker="o", color=BAD, markersize=5)
            figure.legend([dot], ["automatic matches, with intervals"], loc="outside upper left", frameon=False)
        axis.set_xlabel("recall: known records accepted with the right identifier")
        axis.set_ylabel("precision of the accepted set")
        axis.grid(color=GRID, linewidth=0.8)
        _percent_axis(axis, "x")
        _percent_axis(axis, "y")

    return _draw("precision-recall", 5.6, 3.9, paint)


def reliability(evaluation: Evaluation) -> str | None:
    """Stated confidence and the share found right, one line for each bin of confidence."""
    calibration = evaluation.calibration
    if calibration is None:
        return None

    def paint(figure: Figure) -> None:
        from matplotlib.lines import Line2D

        axis = figure.add_subplot()
        bins = calibration.bins
        rows = np.arange(len(bins))
        found = np.array([b.found.value for b in bins], dtype=float)
        low = np.array([b.found.low for b in bins], dtype=float)
        high = np.array([b.found.high for b in bins], dtype=float)
        stated = np.array([b.stated for b in bins])
        axis.hlines(rows, low, high, color=GOOD, linewidth=5, alpha=0.25)
        axis.plot(found, rows, "o", color=GOOD, markersize=6)
        axis.plot(stated, rows, "|", color=BAD, markersize=15, markeredgewidth=2)
        axis.set_yticks(rows, [f"{b.low:.3f} – {b.high:.3f}  ({b.found.total:,})" for b in bins])
        axis.set_ylim(-0.7, len(bins) - 0.3)
        axis.set_xlim(max(0.0, min(low.min(), stated.min()) - 0.02), 1.01)
        axis.set_xlabel("share of right identifiers")
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        _percent_axis(axis, "x")
        figure.legend(
            [Line2D([], [], marker="o", color=GOOD, linestyle=""),
             Line2D([], [], marker="|", color=BAD, linestyle="", markersize=12, markeredgewidth=2)],
            ["found, with interval", "stated confidence"],
            loc="outside upper left", ncols=2, frameon=False,
        )  # fmt: skip

    return _draw("reliability", 5.6, max(1.9, 1.4 + 0.25 * len(calibration.bins)), paint)


def confidence_histogram(evaluation: Evaluation) -> str | None:
    """How many identifiers got which confidence: right, wrong and unlabelled ones, each on its own scale."""
    histogram = evaluation.histogram
    panels = [
        (counts, word, colour)
        for counts, word, colour in (
            (histogram.right, "right", GOOD),
            (histogram.wrong, "wrong", BAD),
            (histogram.unlabelled, "without truth", MUTED),
        )
        if any(counts)
    ]
    if not panels:
        return None

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator, StrMethodFormatter

        axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
        for axis, (counts, word, colour) in zip(axes, panels, strict=True):
            axis.bar(
                histogram.edges[:-1], counts, np.diff(histogram.edges), align="edge", color=colour, edgecolor="white"
            )
            axis.set_title(f"{sum(counts):,} {word}", loc="left", color=colour, fontsize=10.5, pad=3)
            axis.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True, min_n_ticks=1))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.grid(axis="y", color=GRID, linewidth=0.8)
        axes[-1].set_xlim(0, 1)
        axes[-1].tick_params(axis="x", pad=6)
        axes[-1].set_xlabel("confidence")

    return _draw("confidence", 5.6, 0.7 + 1.25 * len(panels), paint)
