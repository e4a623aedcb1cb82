"""News of failures: a log line, or a webhook that never fails anything and whose address stays secret."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest

from em_assets.notify import LogNotifier, WebhookNotifier, configured
from em_assets.sensors import failed_runs


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", bodies
    server.shutdown()


def test_a_failed_run_reaches_the_webhook(received: tuple[str, list[dict[str, Any]]]) -> None:
    url, bodies = received

    @dg.op
    def breaks() -> None:
        raise ValueError("the disk is full")

    @dg.job
    def some_job() -> None:
        breaks()

    with dg.instance_for_test() as instance:
        result = some_job.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            "failed_runs", result.get_run_failure_event(), instance, result.dagster_run
        ).for_run_failure()
        failed_runs(context, notifier=configured(url))
    (body,) = bodies
    assert body["title"] == "some_job failed" and body["run_id"] == result.run_id
    assert "the disk is full" in json.dumps(body["steps"])


def test_without_a_url_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notifier = configured(None)
    assert isinstance(notifier, LogNotifier)
    notifier.notify("fit failed", "m", "run1", [("matcher", "out of memory")])
    assert "fit failed" in caplog.text and "out of memory" in caplog.text


def test_a_dead_webhook_fails_nothing_and_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        WebhookNotifier(url="http://127.0.0.1:9/secret-token", timeout_seconds=1).notify("t", "m", "run1", [])
        WebhookNotifier(url="nonsense secret-token").notify("t", "m", "run1", [])
    assert "run1" in caplog.text and "secret-token" not in caplog.text
