"""The wiring: opens the data directory and everything in it, and runs the two ports.

DATA/                   0700 when made here; must not be writable by others
    lock                held while the service runs: one service for one directory
    operator.token      0600, made at the first start
    endpoint.json       where the service listens, for the operator commands
    verifield.db        the store, unless --database names another
    media/              encrypted files of devices, see cloud.media.files, unless --media names another
    objects/            encrypted files of persons, see cloud.objects.store, unless a setting names another
    root.pem, keys/     see cloud.authority, unless --keys names another

Several services may share a PostgreSQL database, with a directory each, and with --keys and --media in
common: see docs/scale.md.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from structlog.typing import FilteringBoundLogger

from cloud.accounts.sessions import Sessions
from cloud.attestations.deliverer import Deliverer
from cloud.attestations.intake import Intake
from cloud.attestations.verifiers import open_verifiers
from cloud.audit.heads import HeadSigner
from cloud.audit.trail import Trail
from cloud.audit.upkeep import Audit, kept_up
from cloud.authorities.bundle import Authorities
from cloud.authority import Authority
from cloud.config import Config, parse_address
from cloud.devices.tokens import OPERATOR_PREFIX, SECRET_BYTES, encode_token, is_token, token_sha256
from cloud.devices.tpm_credential import load_tpm_roots
from cloud.errors import SetupError
from cloud.feed.pull import Feed
from cloud.feed.vault import TaskVault
from cloud.interceptors import CallInterceptor
from cloud.keyfiles import write_private
from cloud.layout import ENDPOINT_FILE, ROOT_FILE, TOKEN_FILE
from cloud.log.leaves import OwnLeaves
from cloud.log.sequencer import LogSigner, Sequencer
from cloud.media.files import MediaFolder
from cloud.media.intake import MediaIntake
from cloud.objects.stores import make_replicas
from cloud.operations import STATUS_SERVICE, Telemetry, add_status_service, find_vitals, scraped, telling
from cloud.pdf.preview import Previews
from cloud.persons import Persons
from cloud.rooms import Opened, make_care, make_jobs
from cloud.server import (
    MAX_DEVICE_MESSAGE_BYTES,
    MAX_PUBLIC_MESSAGE_BYTES,
    Port,
    device_credentials,
    public_credentials,
)
from cloud.services import add_services, for_anybody, make_layers, make_services, open_issuer
from cloud.serving import Served
from cloud.signers.keys import SignerKeys
from cloud.sources import Sources, to_us
from cloud.store import attestations
from cloud.store.database import Store, StoreOptions
from cloud.store.persons import open_ring
from cloud.upkeep import jobs_running


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running service is found: addresses HOST:PORT, paths absolute."""

    listen: str
    device_listen: str
    root: str
    operator_token_file: str
    metrics_listen: str | None = None


async def serve(
    config: Config,
    sources: Sources,
    *,
    log: FilteringBoundLogger,
    announce: Callable[[Endpoint], None],
    stop: asyncio.Event,
    now: asyncio.Event | None = None,
) -> None:
    """Run the service until ``stop`` is set; ``announce`` is called once it is ready.

    Running calls may end within ``stop_grace_s`` then, or until ``now`` is set.

    Raises:
        SetupError: it cannot start.
    """
    with _locked(config.data):
        async with telling(config, sources) as telemetry:
            opened = await asyncio.to_thread(open_data, config, sources, telemetry)
            try:
                await _serve_opened(config, opened, sources, log=log, announce=announce, stop=stop, now=now)
            finally:
                await opened.previews.close()
                await opened.authorities.close()
                await opened.deliverer.close()
                # A transaction that still runs ends before another service may take the directory.
                opened.sequencer.close()
                opened.store.close()


async def _serve_opened(
    config: Config,
    opened: Opened,
    sources: Sources,
    *,
    log: FilteringBoundLogger,
    announce: Callable[[Endpoint], None],
    stop: asyncio.Event,
    now: asyncio.Event | None = None,
) -> None:
    metrics = opened.telemetry.metrics
    opened.sequencer.on_fault(lambda fault: log.error("log inconsistent", why=fault.message, hint=fault.hint))
    vitals = find_vitals(
        config,
        sources,
        metrics,
        store=opened.store,
        authority=opened.authority,
        sequencer=opened.sequencer,
    )
    await asyncio.to_thread(make_care(opened, sources).begin)
    public, device = _bind(config, opened, sources, log)
    async with (
        scraped(config, metrics, vitals.census) as figures,
        kept_up(opened.audit, log),
        jobs_running(make_jobs(opened, config, sources), log),
    ):
        watching: asyncio.Task[None] | None = None
        try:
            # An empty host tells the device to use the one that it called.
            told = f":{device.port}" if device.host == public.host else device.address
            services = make_services(opened, config, sources, device_endpoint=told)
            services.append(Served(STATUS_SERVICE, lambda server: add_status_service(server, vitals)))
            metrics.add_services([one.name for one in services])
            await device.start(add_services(device.methods.as_server, services))
            await public.start(add_services(public.methods.as_server, for_anybody(services)))
            watching = asyncio.create_task(vitals.watch.run(public, device))
            endpoint = _endpoint(config, public, device, figures)
            _write_endpoint(config.data / ENDPOINT_FILE, endpoint)
            announce(endpoint)
            await stop.wait()
        finally:
            if watching:
                watching.cancel()
            await asyncio.gather(*(port.stop(config.stop_grace_s, now=now) for port in (public, device)))


def open_data(config: Config, sources: Sources, telemetry: Telemetry | None = None) -> Opened:
    """Open keys, token, store and log under the data directory, making what the first start makes.

    Raises:
        SetupError: one of them cannot be used.
    """
    authority = _open_authority(config, sources)
    signer_keys = SignerKeys.open(
        config.keys_folder, list_url=config.signer_list_url or "", now=sources.now()
    )
    token = _open_operator_token(config.data / TOKEN_FILE, sources)
    tpm_roots = _open_tpm_roots(config.tpm_roots)
    telemetry = telemetry or Telemetry.silent()
    store = Store.open(config.database_url, store_options(config))
    with store.closed_on_failure():
        signer = LogSigner(authority.log_origin, authority.log_key)
        sequencer = Sequencer.open(
            store, signer, sources, metrics=telemetry.metrics, tracing=telemetry.tracing
        )
        chain = authority.chain_of(authority.receipt.certificate)
        receipt_leaf = store.run(lambda connection: attestations.add_chain(connection, chain))
        with store.reading() as connection:
            ring = open_ring(
                connection,
                config.keys_folder / "keys",
                now_us=to_us(sources.now()),
                random_bytes=sources.random_bytes,
            )
    intake = Intake(authority, sources, receipt_leaf_sha256=receipt_leaf)
    return Opened(
        store,
        sequencer,
        authority,
        token_sha256(token),
        tpm_roots,
        deliverer=Deliverer(
            sequencer,
            authority,
            sources,
            intake,
            verifiers=open_verifiers(config.verify_processes, root=authority.root),
            metrics=telemetry.metrics,
            tracing=telemetry.tracing,
        ),
        feed=Feed(authority, sources, TaskVault(ring, sources)),
        media=MediaIntake(store, MediaFolder(config.media_folder), sources),
        telemetry=telemetry,
        ring=ring,
        issuer=open_issuer(config, sources),
        audit=Audit(
            Trail(store, sources),
            HeadSigner(store, OwnLeaves(sequencer, name="audit"), authority, sources),
        ),
        authorities=Authorities.open(config, sources, ended=telemetry.metrics.asked),
        sessions=Sessions(store, Persons(ring, sources), sources),
        previews=Previews(),
        replicas=make_replicas(config),
        signer_keys=signer_keys,
    )


def _open_authority(config: Config, sources: Sources) -> Authority:
    hosts = {parse_address(config.listen)[0], config.device_address[0]}
    with _own_folder(config.keys_folder, option="the setting keys"):
        pass
    return Authority.open(
        config.keys_folder,
        server_names=sorted(hosts | {"localhost", "127.0.0.1"} | set(config.server_names)),
        now=sources.now(),
    )


def store_options(config: Config) -> StoreOptions:
    """What the settings say of the database."""
    return StoreOptions(
        connections=config.database_connections, require_durable=config.require_durable_database
    )


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    with _own_folder(data, option="--data"):
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(
                "ALREADY_RUNNING",
                f"Another service runs on the data directory {data}.",
                hint="Stop it first, or give each service a data directory of its own (see docs/scale.md).",
            ) from error
        yield
    finally:
        os.close(handle)


@contextmanager
def _own_folder(folder: Path, *, option: str) -> Iterator[None]:
    """Make a folder where there is none, for what the block does in it.

    Raises:
        SetupError: others may write there, or it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o022:
            raise SetupError(
                "DATA_UNUSABLE",
                f"The directory {folder} can be written by others, who could put their own keys there.",
                hint=f"If only this service uses it: chmod 700 {folder}. Else choose another with {option}.",
            )
        yield
    except OSError as error:
        raise SetupError(
            "DATA_UNUSABLE",
            f"The directory {folder} cannot be used ({type(error).__name__}).",
            hint=f"Choose a directory of your own with {option}.",
        ) from error


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
    interceptor = CallInterceptor(make_layers(opened, config, sources, log))
    public = Port.bind(
        parse_address(config.listen),
        public_credentials(opened.authority),
        interceptor=interceptor,
        max_message_bytes=MAX_PUBLIC_MESSAGE_BYTES,
    )
    device = Port.bind(
        config.device_address,
        device_credentials(opened.authority),
        interceptor=interceptor,
        max_message_bytes=MAX_DEVICE_MESSAGE_BYTES,
    )
    return public, device


def _write_endpoint(path: Path, endpoint: Endpoint) -> None:
    try:
        write_private(path, json.dumps(asdict(endpoint)).encode())
    except OSError as error:
        raise SetupError(
            "DATA_UNUSABLE",
            f"The file {path} cannot be written ({type(error).__name__}).",
            hint="Check that the data directory belongs to this user and that its disk has space.",
        ) from error


def _endpoint(config: Config, public: Port, device: Port, figures: str | None) -> Endpoint:
    data = config.data.absolute()
    return Endpoint(
        listen=public.address,
        device_listen=device.address,
        root=str(config.keys_folder / ROOT_FILE),
        operator_token_file=str(data / TOKEN_FILE),
        metrics_listen=figures,
    )
