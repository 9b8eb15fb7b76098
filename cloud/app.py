"""The wiring: opens the data directory and everything in it, and runs the two ports.

DATA/                   0700 when made here; must not be writable by others
    lock                held while the service runs: one sequencer for one log
    operator.token      0600, made at the first start
    endpoint.json       where the service listens, for the operator commands
    verifield.db        the store, unless --database names another
    media/              encrypted files of devices, see cloud.media.files
    root.pem, keys/     see cloud.authority
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from cryptography import x509
from structlog.typing import FilteringBoundLogger

from cloud.attestations.bundles import Bundles
from cloud.attestations.deliverer import Deliverer
from cloud.attestations.intake import Intake
from cloud.attestations.service import AttestationService
from cloud.attestations.sync import SyncService
from cloud.authority import Authority
from cloud.config import Config, parse_address
from cloud.devices.enrollment_service import EnrollmentService
from cloud.devices.revocation import current_list
from cloud.devices.service import DeviceService
from cloud.devices.tokens import OPERATOR_PREFIX, SECRET_BYTES, encode_token, is_token, token_sha256
from cloud.devices.tpm_credential import load_tpm_roots
from cloud.errors import SetupError
from cloud.feed.pull import Feed
from cloud.interceptors import CallInterceptor, no_check, operator_check
from cloud.keyfiles import write_private
from cloud.layout import ENDPOINT_FILE, MEDIA_FOLDER, ROOT_FILE, TOKEN_FILE
from cloud.log.sequencer import LogSigner, Sequencer
from cloud.log.service import LogService
from cloud.media.files import MediaFolder
from cloud.media.intake import MediaIntake
from cloud.policies.service import PolicyService
from cloud.server import (
    MAX_DEVICE_MESSAGE_BYTES,
    MAX_PUBLIC_MESSAGE_BYTES,
    Port,
    device_credentials,
    public_credentials,
)
from cloud.sources import Sources
from cloud.store import attestations
from cloud.store.database import Store
from cloud.transfer.importer import Importer
from cloud.transfer.service import TransferService
from verifield.v1 import (
    attestation_service_pb2,
    attestation_service_pb2_grpc,
    device_service_pb2,
    device_service_pb2_grpc,
    enrollment_service_pb2,
    enrollment_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    sync_service_pb2,
    sync_service_pb2_grpc,
    transfer_service_pb2,
    transfer_service_pb2_grpc,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running service is found: addresses HOST:PORT, paths absolute."""

    listen: str
    device_listen: str
    root: str
    operator_token_file: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What a running service needs from its data directory."""

    store: Store
    sequencer: Sequencer
    authority: Authority
    operator_sha256: bytes
    tpm_roots: list[x509.Certificate]
    deliverer: Deliverer
    feed: Feed
    media: MediaIntake


async def serve(
    config: Config,
    sources: Sources,
    *,
    log: FilteringBoundLogger,
    announce: Callable[[Endpoint], None],
    stop: asyncio.Event,
) -> None:
    """Run the service until ``stop`` is set; ``announce`` is called once it is ready.

    Raises:
        SetupError: it cannot start.
    """
    with _locked(config.data):
        opened = await asyncio.to_thread(open_data, config, sources)
        try:
            public, device = _bind(config, opened, sources, log)
            try:
                await device.start(_add_device_services(device, opened, sources))
                await public.start(_add_public_services(public, opened, config, sources, device))
                endpoint = _endpoint(config, public, device)
                _write_endpoint(config.data / ENDPOINT_FILE, endpoint)
                announce(endpoint)
                await stop.wait()
            finally:
                await asyncio.gather(*(port.stop(config.stop_grace_s) for port in (public, device)))
        finally:
            # A transaction that still runs ends before another service may take the directory.
            opened.sequencer.close()
            opened.store.close()


def open_data(config: Config, sources: Sources) -> Opened:
    """Open keys, token, store and log under the data directory, making what the first start makes.

    Raises:
        SetupError: one of them cannot be used.
    """
    hosts = {parse_address(config.listen)[0], config.device_address[0]}
    authority = Authority.open(
        config.data,
        server_names=sorted(hosts | {"localhost", "127.0.0.1"} | set(config.server_names)),
        now=sources.now(),
    )
    token = _open_operator_token(config.data / TOKEN_FILE, sources)
    tpm_roots = _open_tpm_roots(config.tpm_roots)
    store = Store.open(config.database_url)
    with store.closed_on_failure():
        signer = LogSigner(authority.log_origin, authority.log_key)
        sequencer = Sequencer.open(store, signer, sources)
        with store.writing() as connection:
            receipt_leaf = attestations.add_chain(
                connection, authority.chain_of(authority.receipt.certificate)
            )
    intake = Intake(authority, sources, receipt_leaf_sha256=receipt_leaf)
    return Opened(
        store,
        sequencer,
        authority,
        token_sha256(token),
        tpm_roots,
        deliverer=Deliverer(sequencer, authority, sources, intake),
        feed=Feed(authority, sources),
        media=MediaIntake(store, MediaFolder(config.data.absolute() / MEDIA_FOLDER), sources),
    )


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if data.stat().st_mode & 0o022:
            raise SetupError(
                "DATA_UNUSABLE",
                f"The data directory {data} can be written by others, who could put their own keys there.",
                hint=f"If it is for this service alone: chmod 700 {data}. Else choose another with --data.",
            )
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            "DATA_UNUSABLE",
            f"The data directory {data} cannot be used ({type(error).__name__}).",
            hint="Choose a directory of your own with --data.",
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(
                "ALREADY_RUNNING",
                f"Another service runs on the data directory {data}.",
                hint="Stop it first: two services on one log would sign two histories.",
            ) from error
        yield
    finally:
        os.close(handle)


def _open_operator_token(path: Path, sources: Sources) -> str:
    try:
        if not path.exists():
            token = encode_token(OPERATOR_PREFIX, sources.random_bytes(SECRET_BYTES))
            write_private(path, token.encode() + b"\n")
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            "OPERATOR_TOKEN",
            f"The operator token in {path} cannot be read ({type(error).__name__}).",
            hint="Delete the file: the next start makes a new token.",
        ) from error
    if not is_token(OPERATOR_PREFIX, token):
        raise SetupError(
            "OPERATOR_TOKEN",
            f"The file {path} does not hold an operator token.",
            hint="Delete the file: the next start makes a new token.",
        )
    return token


def _open_tpm_roots(path: Path | None) -> list[x509.Certificate]:
    try:
        return load_tpm_roots(path.read_bytes()) if path is not None else []
    except (OSError, ValueError) as error:
        raise SetupError(
            "TPM_ROOTS",
            f"The CA certificates of TPM makers in {path} cannot be used ({error}).",
            hint="Give a PEM file of the makers' root or intermediate certificates with tpm_roots.",
        ) from error


def _bind(config: Config, opened: Opened, sources: Sources, log: FilteringBoundLogger) -> tuple[Port, Port]:
    public = Port.bind(
        parse_address(config.listen),
        public_credentials(opened.authority),
        interceptor=CallInterceptor(
            check=operator_check(opened.operator_sha256), log=log, random_bytes=sources.random_bytes
        ),
        max_message_bytes=MAX_PUBLIC_MESSAGE_BYTES,
    )
    device = Port.bind(
        config.device_address,
        device_credentials(opened.authority),
        interceptor=CallInterceptor(check=no_check, log=log, random_bytes=sources.random_bytes),
        max_message_bytes=MAX_DEVICE_MESSAGE_BYTES,
    )
    return public, device


def _add_device_services(port: Port, opened: Opened, sources: Sources) -> list[str]:
    sync = SyncService(opened.store, opened.deliverer, opened.feed, opened.media, sources)
    sync_service_pb2_grpc.add_SyncServiceServicer_to_server(sync, port.server)
    return [sync_service_pb2.DESCRIPTOR.services_by_name["SyncService"].full_name]


def _add_public_services(
    port: Port, opened: Opened, config: Config, sources: Sources, device: Port
) -> list[str]:
    # An empty host tells the device to use the one that it called.
    endpoint = f":{device.port}" if device.host == port.host else device.address
    log_chain = opened.authority.chain_of(opened.authority.log.certificate)
    enrollment_service_pb2_grpc.add_EnrollmentServiceServicer_to_server(
        EnrollmentService(
            opened.store,
            opened.authority,
            sources,
            device_endpoint=endpoint,
            tpm_roots=opened.tpm_roots,
        ),
        port.server,
    )
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(
        DeviceService(opened.store, opened.authority, sources, resume=opened.deliverer.resume),
        port.server,
    )
    bundles = Bundles(
        opened.authority,
        opened.sequencer,
        revocation_list=partial(current_list, authority=opened.authority, sources=sources),
    )
    attestation_service_pb2_grpc.add_AttestationServiceServicer_to_server(
        AttestationService(opened.store, opened.sequencer, bundles), port.server
    )
    importer = Importer(opened.store, opened.deliverer, opened.feed, opened.media, opened.authority, sources)
    transfer_service_pb2_grpc.add_TransferServiceServicer_to_server(
        TransferService(importer, config.data), port.server
    )
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(
        PolicyService(opened.store, opened.authority, sources), port.server
    )
    log_service_pb2_grpc.add_LogServiceServicer_to_server(
        LogService(opened.sequencer, certificates=log_chain), port.server
    )
    files = (
        enrollment_service_pb2,
        device_service_pb2,
        policy_service_pb2,
        attestation_service_pb2,
        transfer_service_pb2,
        log_service_pb2,
    )
    return [service.full_name for file in files for service in file.DESCRIPTOR.services_by_name.values()]


def _write_endpoint(path: Path, endpoint: Endpoint) -> None:
    try:
        write_private(path, json.dumps(asdict(endpoint)).encode())
    except OSError as error:
        raise SetupError(
            "DATA_UNUSABLE",
            f"The file {path} cannot be written ({type(error).__name__}).",
            hint="Check that the data directory belongs to this user and that its disk has space.",
        ) from error


def _endpoint(config: Config, public: Port, device: Port) -> Endpoint:
    data = config.data.absolute()
    return Endpoint(
        listen=public.address,
        device_listen=device.address,
        root=str(data / ROOT_FILE),
        operator_token_file=str(data / TOKEN_FILE),
    )
