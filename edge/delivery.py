"""Wiring of the sync daemon and of delivery by hand: one device, open to talk to its cloud."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edge.app import (
    identity_folder,
    open_downstream,
    open_identity,
    open_recorder,
    open_state,
    outbox_path,
)
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.identity import DeviceIdentity, current_folder
from edge.attest.renew import RenewalError, renew, renewal_due
from edge.config import EdgeConfig
from edge.contracts.carry import DocumentErrand, SignatureErrand
from edge.errors import EdgeError, Interrupted, SetupError
from edge.outbox.space import SpaceVerdict
from edge.recorder import Recorder
from edge.rpc import FailureKind, RpcFailure
from edge.state.records import PullOutcome
from edge.state.signatures import SignatureState
from edge.state.store import StateStore
from edge.sync.answer import Importer, ImportReport, read_import
from edge.sync.daemon import SyncDevice, SyncReport, SyncSetting, keep_evidence, run
from edge.sync.events import Trouble
from edge.sync.export import Exporter, ExportReport, write_export
from edge.sync.journal import Journal
from edge.sync.line import DiagnosticsFolder, deliver
from edge.sync.machine import State
from edge.sync.ports import Errand, UplinkError
from edge.sync.taking import Parts
from edge.sync.turns import Turns
from edge.sync.uplink import GrpcUplink
from verifield.certificates import load_roots

COURIER_EVERY_S = 60.0
"""How soon what was found out about the line is sent once it works again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A device that is open for delivery, and who it is."""

    recorder: Recorder
    parts: Parts


@dataclass(slots=True)
class _Link:
    """The identity as it is now; a renewal replaces it."""

    identity: DeviceIdentity

    def open(self) -> GrpcUplink:
        try:
            return GrpcUplink.open(self.identity)
        except SetupError as error:  # a wiped key: a renewal makes a new one
            raise UplinkError(RpcFailure(FailureKind.AUTH, error.code, error.message)) from None

    def renew(self) -> RpcFailure | None:
        try:
            self.identity = renew(self.identity)
        except RenewalError as error:
            return error.failure
        except SetupError as error:
            return RpcFailure(FailureKind.PERMANENT, error.code, error.message)
        return None


def sync_folder(config: EdgeConfig) -> Turns:
    """Whose turn it is to deliver."""
    return Turns(config.data_dir / "outbox")


@contextmanager
def open_delivery(
    config: EdgeConfig, *, tell: Callable[[PullOutcome], None]
) -> Iterator[tuple[Delivery, StateStore, _Link]]:
    """Open the current identity with all that delivery needs; errors as ``open_recorder``."""
    with open_recorder(config) as recorder, open_state(config, recorder.identity) as state:
        link = _Link(recorder.identity)
        parts = Parts(
            backlog=recorder.outbox,
            chronicle=recorder,
            downstream=open_downstream(config, recorder.identity, state, tell=tell),
            open_uplink=link.open,
            renew=link.renew,
            roots=load_roots(recorder.identity.root_pem),
            retention=lambda: None if _awaits_record(state) else _retention(config, recorder, state),
            keep_evidence=keep_evidence(outbox_path(config, recorder.identity.device_id).parent),
            errands=_errands(recorder, state),
        )
        yield Delivery(recorder, parts), state, link


def _errands(recorder: Recorder, state: StateStore) -> tuple[Errand, ...]:
    outbox, clock, jitter = recorder.outbox, recorder.clock, secrets.SystemRandom().random
    return (
        SignatureErrand(state, outbox, clock, jitter),
        DocumentErrand(state, clock, jitter, has_room=lambda: outbox.space().verdict is SpaceVerdict.OK),
    )


def run_sync(
    config: EdgeConfig,
    *,
    stop: threading.Event,
    once: bool,
    accept_log: bool,
    on_trouble: Callable[[State, Trouble], None],
    on_news: Callable[[PullOutcome], None],
    on_turn: Callable[[State, Trouble | None], None] = lambda _state, _trouble: None,
) -> SyncReport:
    """Deliver as ``edge.sync.daemon.run`` says, for whoever the device is now and after a new enrolment."""
    clock = SystemClock()

    @contextmanager
    def open_device() -> Iterator[SyncDevice]:
        with open_delivery(config, tell=on_news) as (delivery, state, link):

            def due() -> bool:
                return renewal_due(link.identity, bounded_now(clock, contact=state.contact()))

            yield SyncDevice(delivery.parts, due)

    setting = SyncSetting(
        open_device=open_device,
        stamp=lambda: current_folder(identity_folder(config)),
        turns=sync_folder(config),
        clock=clock,
        jitter=secrets.SystemRandom().random,
        on_trouble=on_trouble,
        on_turn=on_turn,
    )
    with _courier(config, stop):
        report = run(setting, stop=stop, once=once, accept_log=accept_log)
    if once and report.trouble is None:
        _send_diagnostics(config)
    return report


def diagnostics_folder(config: EdgeConfig) -> DiagnosticsFolder:
    """What was found out about the line, and not sent yet."""
    return DiagnosticsFolder(config.data_dir / "diagnostics")


@contextmanager
def _courier(config: EdgeConfig, stop: threading.Event) -> Iterator[None]:
    """Beside the delivery of records, send what was found out about the line; it never disturbs them."""
    over = threading.Event()

    def carry() -> None:
        while not over.wait(COURIER_EVERY_S) and not stop.is_set():
            _send_diagnostics(config)

    thread = threading.Thread(target=carry, name="diagnostics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _send_diagnostics(config: EdgeConfig) -> None:
    folder = diagnostics_folder(config)
    with suppress(UplinkError, EdgeError, OSError):  # it stays, for the next time
        if folder.waiting():
            deliver(folder, open_identity(config))


def export_records(
    config: EdgeConfig, path: Path, *, stop: threading.Event, progress: Callable[[int], None]
) -> ExportReport:
    """Write what no receipt covers into one file; errors as ``write_export``, and Interrupted."""
    with _by_hand(config, stop) as delivery:
        identity = delivery.recorder.identity
        exporter = Exporter(
            parts=delivery.parts,
            journal=_journal(config, identity.device_id),
            device_id=identity.device_id,
            certificates=identity.attestation_certificates,
            signer=delivery.recorder.signer,
            clock=delivery.recorder.clock,
        )
        return write_export(exporter, path, progress=progress)


def import_answer(
    config: EdgeConfig, path: Path, *, stop: threading.Event, accept_log: bool = False
) -> ImportReport:
    """Take the cloud's answer to an export; errors as ``read_import``, and Interrupted.

    ``accept_log``: believe the log as it is now, as for ``run_sync``.
    """
    with _by_hand(config, stop) as delivery:
        identity = delivery.recorder.identity
        importer = Importer(
            parts=delivery.parts,
            journal=_journal(config, identity.device_id),
            certificates=identity.attestation_certificates,
            clock=delivery.recorder.clock,
            accept_log=accept_log,
        )
        report = read_import(importer, path)
    sync_folder(config).call()  # a daemon that halted looks again
    return report


@contextmanager
def _by_hand(config: EdgeConfig, stop: threading.Event) -> Iterator[Delivery]:
    with sync_folder(config).turn(stop) as ours:
        if not ours:
            raise Interrupted
        with open_delivery(config, tell=lambda _outcome: None) as (delivery, _state, _link):
            yield delivery


def _journal(config: EdgeConfig, device_id: str) -> Journal:
    return Journal(outbox_path(config, device_id).with_name(f"{device_id}.exports"))


def _awaits_record(state: StateStore) -> bool:
    """Whether a signature may still have to be put together with its record, which must not go before."""
    try:
        return state.signatures.count(SignatureState.PREPARED) > 0
    except EdgeError:  # told elsewhere, and must not keep receipts from counting
        return True


def _retention(config: EdgeConfig, recorder: Recorder, state: StateStore) -> timedelta:
    """The policy's word, or the configuration's where the policy says nothing."""
    try:
        kept = state.policy(load_roots(recorder.identity.root_pem)).retention.confirmed_records
    except EdgeError:  # a damaged policy is told elsewhere, and must not keep receipts from counting
        kept = recorder.policy.retention.confirmed_records
    return timedelta(days=config.retention_days) if kept is None else kept
