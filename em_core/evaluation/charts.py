"""Charts of an evaluation: inline SVG text for a page that opens offline, PNG for places that show pictures only.

Every chart function returns a `Drawing`, or None where there is nothing to draw. matplotlib is used through its object
interface with fixed settings: the same figures give the same bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from em_core.evaluation.figures import Evaluation, Group
from em_core.evaluation.retrieval import CandidateRecall
from em_core.evaluation.tables import STAGE_WORDS

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


@dataclass(frozen=True)
class Drawing:
    """A chart that is yet to be painted on a figure of `width` x `height` inches."""

    name: str
    title: str
    words: str
    width: float
    height: float
    paint: Callable[[Figure], None]

    def svg(self) -> str:
        """A complete `<svg>` element without a fixed size."""
        svg = self._painted("svg", transparent=True, metadata={"Date": None}).decode("utf-8")
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # unused, and equal in every chart of a page
        size = f'role="img" style="width:100%;max-width:{self.width * 96:.0f}px"'
        return re.sub(r'^<svg([^>]*?) width="[^"]*" height="[^"]*"', rf"<svg {size}\1", svg, count=1)

    def png(self, dpi: int = 96) -> bytes:
        """A PNG file on white ground."""
        return self._painted("png", dpi=dpi, facecolor="white", metadata={"Software": None})

    def _painted(self, kind: str, **options: Any) -> bytes:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        out = BytesIO()
        # The salt keeps element ids of several charts in one page apart, and equal from run to run.
        settings: Any = {**_SETTINGS, "svg.hashsalt": self.name}
        with mpl.rc_context(settings), warnings.catch_warnings():
            # Text of an SVG is not outlined, and a PNG shows a box.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
            figure = Figure(figsize=(self.width, self.height), layout="constrained")
            self.paint(figure)
            figure.savefig(out, format=kind, **options)
        return out.getvalue()


def all_charts(evaluation: Evaluation, recall: CandidateRecall | None = None) -> dict[str, Drawing]:
    """Every chart that has something to show, by name; empty without matplotlib."""
    if not available():
        return {}
    drawn = {
        "decisions": decisions_by_system(evaluation),
        "stages": by_stage(evaluation),
        "precision_recall": precision_recall(evaluation),
        "reliability": reliability(evaluation),
        "confidence": confidence_histogram(evaluation),
        "candidate_recall": None if recall is None else recall_curves(recall),
    }
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


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


def decisions_by_system(evaluation: Evaluation) -> Drawing | None:
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

    return Drawing(
        "decisions", "Decisions by source system", "share of each feed, number of records in brackets",
        8.6, 0.75 + 0.36 * len(lines), paint,
    )  # fmt: skip


def precision_recall(evaluation: Evaluation) -> Drawing | None:
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

    return Drawing(
        "precision-recall", "Precision and recall", "as the confidence threshold falls from left to right",
        5.6, 3.9, paint,
    )  # fmt: skip


def reliability(evaluation: Evaluation) -> Drawing | None:
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

    return Drawing(
        "reliability", "Does confidence mean what it says?",
        "each line a tenth of the labelled identifiers (number in brackets): the mark should lie within the bar",
        5.6, max(1.9, 1.4 + 0.25 * len(calibration.bins)), paint,
    )  # fmt: skip


def confidence_histogram(evaluation: Evaluation) -> Drawing | None:
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

    return Drawing(
        "confidence", "Confidence of the identifiers", "automatic matches and reviews, each panel on its own scale",
        5.6, 0.7 + 1.25 * len(panels), paint,
    )  # fmt: skip


def by_stage(evaluation: Evaluation) -> Drawing | None:
    """What became of the records that each stage decided: right, wrong and unlabelled matches, reviews, no match."""
    stages = [stage for stage in evaluation.stages if stage.records][::-1]
    if not evaluation.counts.labelled or not stages:
        return None
    right = np.array([s.precision.hits for s in stages])
    labelled = np.array([s.labelled for s in stages])
    parts = [
        ("right match", right, GOOD),
        ("wrong match", labelled - right, BAD),
        ("match without truth", np.array([s.auto_match for s in stages]) - labelled, "#9dbbd8"),
        ("review", np.array([s.review for s in stages]), OPEN),
        ("no match", np.array([s.no_match for s in stages]), NONE),
    ]
    parts = [part for part in parts if part[1].any()]

    def paint(figure: Figure) -> None:
        from matplotlib.patches import Patch
        from matplotlib.ticker import StrMethodFormatter

        axis = figure.add_subplot()
        rows, left = np.arange(len(stages)), np.zeros(len(stages))
        for _, counts, colour in parts:
            axis.barh(rows, counts, left=left, color=colour, height=0.62)
            left += counts
        names = [STAGE_WORDS.get(s.stage, s.stage).partition(" (")[0] for s in stages]
        axis.set_yticks(rows, [f"{name}  ({s.records:,})" for name, s in zip(names, stages, strict=True)])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_xlabel("records")
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        swatches = [Patch(facecolor=colour) for _, _, colour in parts]
        figure.legend(
            swatches, [word for word, _, _ in parts], loc="outside upper left", ncols=len(parts), frameon=False
        )

    return Drawing(
        "stages", "Which stage decided", "records by the stage that decided them", 8.6, 1.35 + 0.36 * len(stages), paint
    )


def recall_curves(recall: CandidateRecall) -> Drawing | None:
    """Candidate recall at k of the fused list and of each channel alone, with intervals."""
    if not recall.known:
        return None

    def paint(figure: Figure) -> None:
        axis = figure.add_subplot()
        lines = list(recall.channels.items())
        shown = lines if len(lines) > 2 else lines[:1]  # one channel alone is the fused list
        for place, (name, shares) in enumerate(shown):
            ks = np.arange(len(shares)) + 0.06 * place  # side by side, so that intervals stay readable
            value, low, high = (
                np.array([getattr(s, part) for s in shares.values()]) for part in ("value", "low", "high")
            )
            colour = (GOOD, OPEN, BAD, MUTED)[place % 4]
            axis.plot(ks, value, "o-", color=colour, markersize=5, linewidth=1.6, label=name)
            axis.vlines(ks, low, high, color=colour, linewidth=3, alpha=0.3)
        axis.set_xticks(np.arange(len(lines[0][1])), [f"first {k}" if k > 1 else "first" for k in lines[0][1]])
        axis.set_xlabel("candidates looked at")
        axis.set_ylabel("right entity among them")
        axis.set_ylim(None, min(1.01, axis.get_ylim()[1]))
        axis.grid(color=GRID, linewidth=0.8)
        _percent_axis(axis, "y")
        if len(shown) > 1:
            figure.legend(loc="outside upper left", ncols=4, frameon=False)

    return Drawing(
        "candidate-recall",
        "Right entity among the first candidates",
        "share of known records, by channel, with intervals",
        5.6,
        3.4,
        paint,
    )
