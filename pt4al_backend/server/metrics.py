"""What monitoring reads at /metrics: requests, webhooks, and where each project stands. One registry for each app."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pt4al_backend.server.events import MEDIA_TYPE
from pt4al_backend.server.requests import EVENTS
from pt4al_backend.server.status import ProjectFigures, Statuses

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)


class Metrics:
    """Counts, and the page that shows them."""

    def __init__(self, statuses: Statuses) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._seconds = Histogram(
            "pt4al_http_request_seconds",
            "Time to answer, by route and status.",
            ("route", "status"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._events = Counter("pt4al_webhooks", "Webhooks received, by event.", ("action",), registry=self._registry)
        self._registry.register(_Projects(statuses))

    def count_event(self, action: str) -> None:
        """Counts a webhook. Events that Label Studio is not known to send share one label: it could be any text."""
        self._events.labels(action if action in EVENTS else "other").inc()

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Notes how long an answer took."""
        self._seconds.labels(route, str(status)).observe(seconds)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Projects(Collector):
    """Reads the projects' state when the page is requested."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def describe(self) -> Iterator[Metric]:
        return iter(())  # else registering would read the state to learn the names

    def collect(self) -> Iterator[Metric]:
        found = self._statuses.figures()
        for name, text, value in GAUGES:
            family = GaugeMetricFamily(f"pt4al_{name}", text, labels=("project",))
            for status in found:
                number = value(status)
                if number is not None:
                    family.add_metric((str(status.id),), number)
            yield family
        phases = GaugeMetricFamily("pt4al_phase", "1 for the phase that the project is in.", labels=("project", "phase"))
        for status in found:
            phases.add_metric((str(status.id), status.phase), 1)
        yield phases


#: Name, help and reading of each project's gauges; None leaves a project out.
GAUGES: tuple[tuple[str, str, Callable[[ProjectFigures], float | None]], ...] = (
    ("round", "Number of the open round.", lambda status: status.round),
    ("tasks", "Tasks of the pool.", lambda status: status.tasks.tasks),
    ("labels", "Labelled tasks.", lambda status: status.tasks.labelled),
    ("labels_missing", "Tasks that the open round still waits for.", lambda status: status.labels_missing),
    ("set_aside", "Tasks with an image or an annotation that cannot be used.", lambda status: status.aside_total),
    ("copies", "Images that are identical to that of an earlier task.", lambda status: status.copies_total),
    (
        "control_score",
        "Accuracy, mAP or mIoU of the model that is served, on the control picks.",
        lambda status: status.control.value,
    ),
    ("control_score_low", "Lower end of its 95 % interval.", lambda status: status.control.low),
    ("control_score_high", "Upper end of its 95 % interval.", lambda status: status.control.high),
    ("error", "1 if the project is blocked by an error.", lambda status: float(status.error is not None)),
    ("webhook_timestamp_seconds", "When the last webhook came.", lambda status: status.webhook_at),
)


class Timed:
    """Times every request, by the route's pattern: one for each path would grow without end.

    Of an event stream, which is open for as long as its page, the time to its beginning counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, streams_after = 500, None

        async def note(message: Message) -> None:
            nonlocal status, streams_after
            if message["type"] == "http.response.start":
                status = message["status"]
                if Headers(scope=message).get("content-type", "").startswith(MEDIA_TYPE):
                    streams_after = time.perf_counter() - started
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started if streams_after is None else streams_after
            self._metrics.observe(route, status, seconds)
