"""The model card: `README.md` of a model folder, for the person who finds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from em_core.ditto.manifest import Manifest

_SPLITS = {
    "given": "as given by files or the column `split`",
    "entity_disjoint": "validation drawn from the training pairs; no record is in both",
    "left_disjoint": "validation drawn from the training pairs; no left record is in both, right ones may be",
}
_FIGURES = ("pairs", "positives", "average_precision", "f1", "precision", "recall", "log_loss", "brier")
_CURVE_WIDTH = 20  # characters of the longest bar


def card(manifest: Manifest) -> str:
    """The card as Markdown: what the model is, how to use it, how good it is, where it comes from."""
    metrics = manifest.metrics
    sections = (
        "# Matcher of record pairs (Ditto)",
        f"Says how likely two records are the same entity (Li et al., PVLDB 14(1), 2020). Base model: "
        f"`{manifest.base_model}`. Attributes, in order: {', '.join(f'`{a}`' for a in manifest.attributes) or 'none'}.",
        "## Use",
        _use(manifest),
        "## Figures",
        _quality(metrics),
        _parts(metrics),
        f"A match is a probability of at least {_text(manifest.threshold)}, chosen for F1 on the validation pairs. The encoder's logits "
        f"are divided by the temperature {_text(manifest.temperature)}, fitted there too, so the validation figures are "
        "optimistic and the test figures are not. Precision and recall at other thresholds: `curves` in `metrics.json`.",
        "## Training",
        f"Best epoch: {metrics['best_epoch']}, by {manifest.settings.select_by}. Took {_text(metrics['seconds'])} s"
        f"{_hardware(metrics)}.",
        _history(metrics["history"], manifest.settings.select_by),
        "## Data",
        f"Split: {_SPLITS.get(metrics['split'], metrics['split'])}. Records of validation or test that were trained on: "
        f"{metrics['shared_records']}.",
        _table(("file", "SHA-256"), manifest.data.items()),
        "## Settings",
        _table(("setting", "value"), manifest.settings.model_dump(mode="json").items()),
        "## Environment",
        _table(("library", "version"), manifest.libraries.items()),
        f"SHA-256 of the weights: `{manifest.digest}`.",
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _use(manifest: Manifest) -> str:
    record = " ".join(f"COL {name} VAL ..." for name in manifest.attributes) or "..."
    return (
        "```python\n"
        "from em_core.ditto.predict import DittoModel\n\n"
        "model = DittoModel.load(folder)\n"
        f'probabilities = model.predict(["{record}"], ["{record}"])\n'
        "matches = probabilities >= model.threshold\n"
        "```\n\n"
        "`em_core.ditto.serialise.serialise(frame, model.attributes)` writes such records from a table. "
        "`train_ditto --config config.yaml` trains this model anew."
    )


def _quality(metrics: dict[str, Any]) -> str:
    parts = [part for part in ("train", "valid", "test") if metrics[part]]
    return _table(("pairs of", *_FIGURES), [(part, *map(metrics[part].get, _FIGURES)) for part in parts])


def _parts(metrics: dict[str, Any]) -> str:
    """Each part of a combined matcher beside the others; empty for an encoder alone."""
    if "methods" not in metrics:
        return ""
    part = "test" if metrics["test"] else "valid"
    share = metrics["methods"]["cascade"][part]["encoder_share"]
    rows = [(name, *map(found[part].get, _FIGURES[2:])) for name, found in metrics["methods"].items()]
    table = _table((f"part, {part} pairs", *_FIGURES[2:]), rows)
    return f"{table}\n\nThe cascade answers by default: the encoder reads {share:.1%} of these pairs, the similarity model the rest."


def _hardware(metrics: dict[str, Any]) -> str:
    """` on cuda, 2 processes`, as far as the metrics say it."""
    device, count = metrics.get("device"), metrics.get("processes", 1)
    return (f" on {device}" if device else "") + (f", {count} processes" if count > 1 else "")


def _history(history: Sequence[dict[str, float]], select_by: str) -> str:
    """The epochs as a table, with a bar for the quality that chose among them."""
    quality = f"valid_{select_by}"
    columns = [*history[0], ""] if history else []
    rows = [(*epoch.values(), "#" * round(_CURVE_WIDTH * epoch.get(quality, 0.0))) for epoch in history]
    return _table(columns, rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(map(_text, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def _text(value: Any) -> str:
    """Numbers to four significant digits; what would break a table is escaped."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value).replace("|", "\\|")
