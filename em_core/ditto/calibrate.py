"""From logits to decisions: temperature, threshold and the figures that describe both."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import average_precision_score, precision_recall_curve

TEMPERATURES = (0.2, 20.0)
CURVE_POINTS = 101


def pair_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log likelihood (n,) in nats, exact for any logit."""
    return np.logaddexp(0.0, np.where(labels == 1, -logits, logits))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log likelihood in nats."""
    return float(pair_losses(logits, labels).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of the logits with the least log loss (Guo et al., ICML 2017), within 0.2 to 20."""
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(lambda t: log_loss(logits / np.exp(t), labels), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def best_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The probability from which to say "match" for the best F1: halfway between the last match and the next score."""
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    below = thresholds[best - 1] if best > 0 else 0.0
    return float((thresholds[best] + below) / 2)


def likely_threshold(probabilities: np.ndarray) -> float:
    """The threshold with the best F1 that calibrated probabilities lead to expect, whatever the labels turned out to be.

    Steadier than `best_threshold` where labels are few (the plug-in rule of Lipton, Elkan and Naryanaswamy, ECML 2014).
    """
    ordered = np.sort(probabilities)[::-1]
    f1 = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    last = int(np.argmax(f1))
    below = ordered[last + 1] if last + 1 < len(ordered) else 0.0
    return float((ordered[last] + below) / 2)


def figures(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float]:
    """Average precision, log loss, Brier score, and precision, recall and F1 at the threshold, for one set of pairs."""
    said = probabilities >= threshold
    true = int((said & (labels == 1)).sum())
    clipped = np.clip(probabilities, 1e-15, 1 - 1e-15)
    return {
        "pairs": len(labels),
        "positives": int(labels.sum()),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "precision": true / max(int(said.sum()), 1),
        "recall": true / max(int(labels.sum()), 1),
        "f1": 2 * true / max(int(said.sum()) + int(labels.sum()), 1),
        "log_loss": log_loss(np.log(clipped) - np.log1p(-clipped), labels),
        "brier": float(np.mean((probabilities - labels) ** 2)),
    }


def curve(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """Precision and recall from each `threshold` upwards: at most 101 points, thresholds rising, evenly over the scores."""
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    points = np.unique(np.linspace(0, len(thresholds) - 1, CURVE_POINTS).round().astype(int))
    columns = {"threshold": thresholds, "precision": precision, "recall": recall}
    return {name: [round(float(value), 6) for value in column[points]] for name, column in columns.items()}
