"""The figures of one service, for Prometheus: named methods to count with, one registry, no globals.

Figures of calls carry the names that go-grpc-prometheus made common (``grpc_server_*``), so that the
dashboards which operators have already go on working; ours begin with ``verifield_``. Label values come
from closed sets only (methods of the descriptors, gRPC codes, reasons, verdicts): whoever calls a method
that is not there, or asks a million different things, adds no series. Nothing here names a device or a
person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.errors import Reason
from verifield.v1.review_service_pb2 import ReviewKind
from verifield.v1.signing_service_pb2 import SignMethod
from verifield.v1.sync_service_pb2 import DeliverStatus

OTHER = "other"
"""The label of whatever is outside its closed set."""

CODES: Final = {
    "OK": "OK",
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
    "UNAUTHENTICATED": "Unauthenticated",
}
"""gRPC's codes, and how go-grpc-prometheus writes them."""

RETRY_CAUSES: Final = ("serialization", "deadlock", "busy", "fence")
"""Why a group of deliveries was run again: the database's word, or another server's new log entries."""

PLUMBING: Final = (health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,)
UNDESCRIBED: Final = {
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "bidi_stream",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "bidi_stream",
}
"""Of every server; the second kind without asking for a descriptor, which version 1 does not have here."""

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a read that SQLite answers out of memory to the longest deadline that tools use."""

COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From a disk with a write cache that survives power cuts to a database in trouble."""

AUTHORITIES: Final = ("registry", "bank", "ctid", "carrier")
"""Whom the service asks (cloud.authorities)."""

AUTHORITY_OUTCOMES: Final = (
    *("match", "mismatch", "missing", "unusable", "found", "unavailable"),
    *("consistent", "inconsistent", "unknown"),
    *("started", "pending", "verified", "refused", "expired", "other_person"),
    *("busy", "system_error", "unreachable", "nonsense", "not_configured", "circuit_open", "abandoned"),
)
"""Answers, and why there was none."""

VERIFY_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
"""From a gateway next door to the longest budget of a question."""

SIGN_SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 3600.0, 86400.0)
"""A minute is promised to those who read and sign at once; others take days."""

GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Deliveries that share one commit."""

_METHOD = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted at each call of one method, found once: finding it costs more than counting."""

    labels: tuple[str, str, str]
    started: Counter
    running: Gauge
    received: Counter
    handling: Histogram


class Metrics:
    """Counters and histograms of one service. All methods may be called from any thread."""

    def __init__(self, services: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self.queue_depth = 0
        self._methods: dict[str, tuple[str, str, str]] = {}
        self._counted: dict[str, _Counted] = {}
        self._make_call_figures()
        self._make_ingest_figures()
        self._make_authority_figures()
        self.add_services((*PLUMBING, *services))
        for path, kind in UNDESCRIBED.items():
            service, _, name = path.strip("/").partition("/")
            self._methods[path] = (kind, service, name)

    def add_services(self, names: Iterable[str]) -> None:
        """Give the methods of services (full names) labels of their own.

        Raises:
            KeyError: no descriptor of that name is loaded.
        """
        for name in names:
            for method in descriptor_pool.Default().FindServiceByName(name).methods:
                self._methods[f"/{name}/{method.name}"] = (_kind(method), name, method.name)
        self._counted.clear()

    def review_overdue(self, kind: str) -> None:
        """The time limit of a review task has passed; ``kind``: a ReviewKind without its prefix."""
        self._overdue.labels(kind.lower() if f"REVIEW_KIND_{kind}" in ReviewKind.keys() else OTHER).inc()  # noqa: SIM118

    def rpc_started(self, method: str) -> None:
        """A call arrived. ``method``: as gRPC writes it, ``/package.Service/Method``."""
        counted = self._of(method)
        counted.started.inc()
        counted.running.inc()

    def rpc_ended(self, method: str, *, code: str, seconds: float) -> None:
        """A call that was started has ended. ``code``: a name of grpc.StatusCode."""
        counted = self._of(method)
        counted.running.dec()
        counted.handling.observe(seconds)
        self._handled.labels(*counted.labels, CODES.get(code, "Unknown")).inc()

    def message_received(self, method: str) -> None:
        """A request message was read."""
        self._of(method).received.inc()

    def refused(self, reason: str) -> None:
        """A call was refused with a reason of cloud.errors."""
        self._refused.labels(reason if reason in Reason.__members__ else OTHER).inc()

    def delivered(self, verdicts: Mapping[str, int]) -> None:
        """One batch was answered. ``verdicts``: how many records got which DeliverStatus, by its name."""
        self._batches.inc()
        for status, count in verdicts.items():
            self._records.labels(_verdict(status)).inc(count)

    def verified(self, *, records: int, seconds: float) -> None:
        """The signatures of a batch were checked; wall time of the thread that did it."""
        self._verify_records.inc(records)
        self._verify_seconds.observe(seconds)

    def queue(self, depth: int) -> None:
        """How many works wait for the log's next group."""
        self.queue_depth = depth
        self._depth.set(depth)

    def waited(self, seconds: float) -> None:
        """A work's time from its hand-in to the beginning of its group."""
        self._wait_seconds.observe(seconds)

    def committed(self, *, works: int, leaves: int, seconds: float) -> None:
        """A group is durable; ``seconds`` from its beginning to the end of its commit."""
        self._group_size.observe(works)
        self._leaves.inc(leaves)
        self._commit_seconds.observe(seconds)

    def retried(self, cause: str) -> None:
        """A group was rolled back and is run again; ``cause``: one of RETRY_CAUSES."""
        self._retries.labels(cause if cause in RETRY_CAUSES else OTHER).inc()

    def asked(self, authority: str, outcome: str, seconds: float) -> None:
        """A question to an authority has ended, with all its tries and pauses."""
        self._asked_seconds.labels(
            authority if authority in AUTHORITIES else OTHER,
            outcome if outcome in AUTHORITY_OUTCOMES else OTHER,
        ).observe(seconds)

    def signed(self, method: str, seconds: float) -> None:
        """A party has signed, so long after it opened the contract; ``method``: of SignMethod, no prefix."""
        known = f"SIGN_METHOD_{method}" in SignMethod.keys()  # noqa: SIM118
        self._sign_seconds.labels(method.lower() if known else OTHER).observe(seconds)

    def tree(self, size: int) -> None:
        """Leaves of the newest published checkpoint."""
        self._tree_size.set(size)

    def _of(self, method: str) -> _Counted:
        """The figures of a method; all that are not ours share theirs."""
        known = method if method in self._methods else OTHER
        counted = self._counted.get(known)
        if counted is None:
            labels = self._methods.get(known, (OTHER, OTHER, OTHER))
            counted = self._counted[known] = _Counted(
                labels,
                started=self._started.labels(*labels),
                running=self._running.labels(*labels),
                received=self._received.labels(*labels),
                handling=self._handling.labels(*labels),
            )
        return counted

    def _make_call_figures(self) -> None:
        registry = self.registry
        self._started = Counter("grpc_server_started", "Calls that arrived.", _METHOD, registry=registry)
        self._running = Gauge(
            "grpc_server_running", "Calls that are being served now.", _METHOD, registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled",
            "Calls that ended, by their code.",
            (*_METHOD, "grpc_code"),
            registry=registry,
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's arrival to its end; of streams, their whole life.",
            _METHOD,
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self._received = Counter(
            "grpc_server_msg_received", "Request messages that were read.", _METHOD, registry=registry
        )
        self._refused = Counter(
            "verifield_refusals", "Refused calls, by reason.", ("reason",), registry=registry
        )
        self._overdue = Counter(
            "verifield_reviews_overdue",
            "Time limits of review tasks that passed, by kind.",
            ("kind",),
            registry=registry,
        )

    def _make_ingest_figures(self) -> None:
        registry = self.registry
        self._batches = Counter("verifield_ingest_batches", "Batches that were answered.", registry=registry)
        self._records = Counter(
            "verifield_ingest_records",
            "Delivered records that were answered, by verdict.",
            ("verdict",),
            registry=registry,
        )
        self._verify_records = Counter(
            "verifield_verify_records", "Records whose signatures were checked.", registry=registry
        )
        self._verify_seconds = Histogram(
            "verifield_verify_seconds",
            "Time to check the signatures of one batch.",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self._depth = Gauge(
            "verifield_sequencer_queue_depth", "Works that wait for the log's next group.", registry=registry
        )
        self._wait_seconds = Histogram(
            "verifield_sequencer_wait_seconds",
            "Time that a work waited for its group.",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self._group_size = Histogram(
            "verifield_sequencer_group_works",
            "Works that shared one commit.",
            buckets=GROUP_SIZES,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "verifield_sequencer_commit_seconds",
            "Time of one group, from its beginning to its durable commit.",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "verifield_sequencer_retries",
            "Groups that were rolled back and run again, by cause.",
            ("cause",),
            registry=registry,
        )
        self._leaves = Counter(
            "verifield_log_leaves", "Leaves that this server appended to the log.", registry=registry
        )
        self._tree_size = Gauge(
            "verifield_log_tree_size", "Leaves of the newest published checkpoint.", registry=registry
        )

    def _make_authority_figures(self) -> None:
        # Without our prefix: dashboards and agreements on service levels know it by this name.
        self._asked_seconds = Histogram(
            "verify_duration_seconds",
            "Time of one question to an authority, tries and pauses included.",
            ("authority", "outcome"),
            buckets=VERIFY_SECONDS,
            registry=self.registry,
        )

        self._sign_seconds = Histogram(
            "sign_flow_seconds",
            "Time of a signature, from the first page that its party opened; a minute is promised.",
            ("method",),
            buckets=SIGN_SECONDS,
            registry=self.registry,
        )


def _kind(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "bidi_stream" if method.server_streaming else "client_stream"
    return "server_stream" if method.server_streaming else "unary"


def _verdict(status: str) -> str:
    name = status.removeprefix("DELIVER_STATUS_")
    return name.lower() if f"DELIVER_STATUS_{name}" in DeliverStatus.keys() else OTHER  # noqa: SIM118
