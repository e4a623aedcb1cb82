"""Are the identifiers right, and how sure can one be: metrics, exact intervals, charts and the report."""

from em_core.evaluation.curves import recall_at_precision, recall_at_precision_interval
from em_core.evaluation.figures import Costs, Evaluation, Share
from em_core.evaluation.intervals import clopper_pearson, labels_needed, lower_bound, upper_bound
from em_core.evaluation.labels import check_disjoint
from em_core.evaluation.leaks import TrainingDigests
from em_core.evaluation.metrics import evaluate
from em_core.evaluation.report import render_html, write_report
from em_core.evaluation.retrieval import (
    CandidateRecall,
    RetrievalRecall,
    candidate_recall,
    rank_of_truth,
    retrieval_recall,
)

__all__ = [
    "CandidateRecall",
    "Costs",
    "Evaluation",
    "RetrievalRecall",
    "Share",
    "TrainingDigests",
    "candidate_recall",
    "check_disjoint",
    "clopper_pearson",
    "evaluate",
    "labels_needed",
    "lower_bound",
    "rank_of_truth",
    "recall_at_precision",
    "recall_at_precision_interval",
    "render_html",
    "retrieval_recall",
    "upper_bound",
    "write_report",
]
