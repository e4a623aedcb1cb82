"""Telling people: one small interface, a log line or a webhook."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence

import dagster as dg

log = logging.getLogger(__name__)


class Notifier(dg.ConfigurableResource, ABC):
    """Says that a run failed."""

    @abstractmethod
    def notify(self, title: str, message: str, run_id: str, steps: Sequence[tuple[str, str]]) -> None:
        """`steps`: (step, first line of its error). Never raises: news that cannot be delivered must not fail anything."""


class LogNotifier(Notifier):
    """Writes a line to the log."""

    def notify(self, title: str, message: str, run_id: str, steps: Sequence[tuple[str, str]]) -> None:
        """See `Notifier.notify`."""
        log.error("%s (run %s): %s", title, run_id, "; ".join(f"{step}: {error}" for step, error in steps) or message)


class WebhookNotifier(Notifier):
    """Posts JSON `{text, title, run_id, steps}`, as chat services take it. The URL may hold a secret: it is written nowhere."""

    url: str
    timeout_seconds: float = 10

    def notify(self, title: str, message: str, run_id: str, steps: Sequence[tuple[str, str]]) -> None:
        """See `Notifier.notify`."""
        lines = [f"{step}: {error}" for step, error in steps] or [message]
        body = {
            "text": f"{title} (run {run_id})\n" + "\n".join(lines),
            "title": title,
            "run_id": run_id,
            "steps": dict(steps),
        }
        try:
            request = urllib.request.Request(
                self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
            )
            with urllib.request.urlopen(request, timeout=self.timeout_seconds):
                pass
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            log.error("the webhook did not take the news of run %s: %s", run_id, type(error).__name__)


def configured(url: str | None) -> Notifier:
    """A webhook where there is a URL, else the log."""
    return WebhookNotifier(url=url) if url else LogNotifier()
