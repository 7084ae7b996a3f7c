"""Figures for Prometheus. Every process writes its own into a folder; the supervisor serves their sum.

The folder's name has to be in the environment (`FOLDER_VARIABLE`) before this module is imported: that is how
prometheus_client tells several processes from one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from everpost.app.config import parse_endpoint

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
REGISTRY = CollectorRegistry()

ACCEPTED = Counter("everpost_accepted_messages", "Messages made ours.", registry=REGISTRY)
ACCEPT_SECONDS = Histogram(
    "everpost_accept_seconds", "From the end of a message to its commit.", registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
ATTEMPTS = Counter(
    "everpost_delivery_attempts", "Attempts to deliver, by what the delivery became.", ["status"], registry=REGISTRY
)
CONNECTIONS = Gauge(
    "everpost_smtp_connections", "SMTP sessions open now.", ["listener"], registry=REGISTRY, multiprocess_mode="livesum"
)
OUTSTANDING = Gauge(
    "everpost_deliveries_outstanding", "Deliveries in the hands of workers.", registry=REGISTRY,
    multiprocess_mode="livesum",
)  # fmt: skip
RESTARTS = Counter(
    "everpost_process_restarts", "Processes that ended by themselves and were started again.", ["process"],
    registry=REGISTRY,
)  # fmt: skip
QUEUE = Gauge(
    "everpost_queue_deliveries", "Open deliveries.", ["organisation", "kind", "status", "reason"], registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
QUEUE_OLDEST = Gauge(
    "everpost_queue_oldest_seconds", "Age of the oldest delivery that is due and not attempted yet.",
    registry=REGISTRY, multiprocess_mode="livemostrecent",
)  # fmt: skip
PRIMARY_STATE = Gauge(
    "everpost_primary_state", "1 for the trust state a primary is in.", ["organisation", "primary", "state"],
    registry=REGISTRY, multiprocess_mode="livemostrecent",
)  # fmt: skip
PROBE_OK = Gauge(
    "everpost_probe_ok", "Whether the last probe of a primary was good.", ["organisation", "primary"],
    registry=REGISTRY, multiprocess_mode="livemostrecent",
)  # fmt: skip
PROBE_SECONDS = Gauge(
    "everpost_probe_seconds", "How long the last probe of a primary took.", ["organisation", "primary"],
    registry=REGISTRY, multiprocess_mode="livemostrecent",
)  # fmt: skip
ACTIVATIONS = Gauge(
    "everpost_activations", "Scopes whose route leads to the standby.", ["organisation"], registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
FAILBACKS = Gauge(
    "everpost_failbacks", "Failbacks under way.", ["organisation", "state"], registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
FOLLOW_ROUNDS = Counter(
    "everpost_follow_rounds", "Looks at a mailbox on its primary, by how they ended.", ["result"], registry=REGISTRY
)
VERDICTS = Counter(
    "everpost_verdicts", "Messages that the guard has judged.", ["judgement", "disposition"], registry=REGISTRY
)
SENDING_LIMITS = Counter(
    "everpost_sending_limits", "Messages beyond a limit of `[guard.sending]`, by whose it is and what it asks for.",
    ["whose", "action"], registry=REGISTRY,
)  # fmt: skip
CLICKS = Counter(
    "everpost_clicks", "Links of delivery copies that were opened, by what came of it.", ["outcome"], registry=REGISTRY
)
GUARD_FAULTS = Counter(
    "everpost_guard_faults", "Steps of the guard that failed or were not done in time.", ["step"], registry=REGISTRY
)
GUARD_LISTS_UNREADABLE = Gauge(
    "everpost_guard_lists_unreadable", "Lists of links that cannot be read now.", registry=REGISTRY,
    multiprocess_mode="livemax",
)  # fmt: skip
SCANS = Counter(
    "everpost_scans", "Messages that a malware scanner was asked about, by how it ended.", ["engine", "result"],
    registry=REGISTRY,
)  # fmt: skip
SCAN_SECONDS = Histogram(
    "everpost_scan_seconds", "How long a malware scanner took for a message.", ["engine"], registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)  # fmt: skip
SCANNER_UP = Gauge(
    "everpost_scanner_up", "Whether a malware scanner answers, and whether its newest YARA rules can be used.",
    ["engine"], registry=REGISTRY, multiprocess_mode="livemostrecent",
)  # fmt: skip
YARA_RULES = Gauge(
    "everpost_yara_rules", "YARA rules in use: the most of any worker.", registry=REGISTRY, multiprocess_mode="livemax"
)
YARA_BROKEN = Gauge(
    "everpost_yara_broken", "1 where newer YARA rules cannot be used and the old ones are kept.", registry=REGISTRY,
    multiprocess_mode="livemax",
)  # fmt: skip
CLASSIFIED = Counter(
    "everpost_classified", "Messages that the classifier has read, by what it said.", ["spoken"], registry=REGISTRY
)
LESSONS = Counter(
    "everpost_lessons", "What people said of messages and was learned, taken back or could not be read.", ["verdict"],
    registry=REGISTRY,
)  # fmt: skip
ALERTS_OPEN = Gauge(
    "everpost_alert_calls_open", "Contacts that are still owed an alert.", registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
AUDIT_UNLINKED = Gauge(
    "everpost_audit_unlinked_events", "Audit events not chained yet.", registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
LEADER = Gauge(
    "everpost_leader", "1 where a control process of this host has the singleton roles.", registry=REGISTRY,
    multiprocess_mode="livesum",
)  # fmt: skip


def described() -> Iterator[tuple[str, str, str]]:
    """(name as Prometheus shows it, type, meaning) of every figure, for the documentation."""
    for metric in REGISTRY.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield name, metric.type, metric.documentation


def forget_process(pid: int, folder: Path) -> None:
    """Gauges of a process that has ended count no more; its counters do."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def serve_metrics(listen: tuple[str, ...], folder: Path) -> None:
    """Answer GET /metrics with the sum over all processes, on threads of their own. Raises `OSError`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    for text in listen:
        endpoint = parse_endpoint(text)
        start_http_server(endpoint.port, endpoint.host, registry)
