"""Small parts of an HTML page. Every function escapes what it is given; `Html` is safe already and passes."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence

from em_core.evaluation.figures import Share
from em_core.evaluation.tables import UNKNOWN, Cell, Table, interval, percent

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #5f6b76; --line: #e3e7eb; --soft: #f5f7f9;
  --good: #2b6ca3; --open: #a86a00; --bad: #b5431f; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 48px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 40px 0 8px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 4px; }
p { margin: 6px 0; max-width: 80ch; }
.muted, .lead { color: var(--muted); }
.notice { border-left: 4px solid var(--muted); background: var(--soft); padding: 10px 14px; margin: 16px 0;
  max-width: none; }
.notice.shown { border-color: var(--good); }
.notice.open, .notice.unlabelled { border-color: #e3a53f; }
.notice.broken { border-color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 12px; margin: 16px 0; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; }
.card .name { font-weight: 600; font-size: 13px; }
.card .figure { font-size: 28px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .words { color: var(--muted); font-size: 13px; line-height: 1.4; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 12px 28px; }
figure { margin: 12px 0; }
figcaption { font-weight: 600; margin-bottom: 6px; }
figcaption span { display: block; font-weight: 400; color: var(--muted); font-size: 13px; }
svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 60%; font-size: 13.5px; margin: 8px 0; }
.wide table { width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
th.number { white-space: normal; max-width: 120px; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { display: block; color: var(--muted); overflow-wrap: anywhere; }
td { overflow-wrap: break-word; }
.tag { font-weight: 600; } .tag.bad { color: var(--bad); } .tag.open { color: var(--open); }
details summary { cursor: pointer; color: var(--good); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; font-size: 13px; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px; }
@media print { body { max-width: none; padding: 0; } h2, figure, tr { break-inside: avoid; } }
"""


class Html(str):
    """Text that is already safe to stand in a page."""

    __slots__ = ()


def esc(value: object) -> Html:
    """Anything as safe text; `Html` passes, None becomes a dash."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(UNKNOWN if value is None else str(value)))


def join(parts: Iterable[object]) -> Html:
    """Parts one after another."""
    return Html("".join(esc(part) for part in parts))


def tag(name: str, *content: object, kind: str = "") -> Html:
    """An element; `kind` is its class."""
    attribute = f' class="{html.escape(kind)}"' if kind else ""
    return Html(f"<{name}{attribute}>{join(content)}</{name}>")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1) -> Html:
    """A table; columns after the first `text_columns` hold numbers and are set flush right."""
    kinds = ["" if place < text_columns else "number" for place in range(len(headers))]
    head = tag("tr", *(tag("th", header, kind=kind) for header, kind in zip(headers, kinds, strict=True)))
    body = (tag("tr", *(tag("td", cell, kind=kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), kind="scroll")


def worded(words: Table) -> Html:
    """A table of `em_core.evaluation.tables`: its note, then its rows, shares with their intervals in small print."""
    note = tag("p", words.note, kind="muted") if words.note else Html("")
    rows = [[_cell(cell) for cell in row] for row in words.rows]
    return join([note, table(words.headers, rows, words.text_columns)])


def _cell(cell: Cell) -> Html:
    return share(cell) if isinstance(cell, Share) else esc(cell)


def figure(title: str, words: str, svg: str) -> Html:
    """A chart with its caption. `svg` comes from `charts` and is trusted."""
    return tag("figure", tag("figcaption", title, tag("span", words)), Html(svg))


def definitions(pairs: Mapping[str, str]) -> Html:
    """Names and values, one line each."""
    return tag("dl", *(join([tag("dt", name), tag("dd", value)]) for name, value in pairs.items()))


def share(value: Share) -> Html:
    """A share with its interval in small print."""
    if value.value is None:
        return esc(UNKNOWN)
    return join([percent(value.value), tag("small", interval(value.low, value.high))])


def evidence(text: str | None) -> Html:
    """Evidence JSON as names and values; text that is no JSON object is shown as it stands."""
    try:
        parsed = json.loads(text) if text else None
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return esc(text or "")
    return definitions({str(name): _flat(value) for name, value in parsed.items() if value is not None})


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(_flat(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNKNOWN if value is None else str(value)


def document(title: str, body: Html) -> str:
    """A complete page that may load nothing and run nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{tag('title', title)}\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
