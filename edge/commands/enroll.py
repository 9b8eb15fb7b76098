"""``verifield-edge enroll``: from a join token to an identity and the first record of its chain."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.app import identity_folder, open_identity, open_outbox, open_recorder, open_state
from edge.attest.clock import SystemClock, arrival_now
from edge.attest.enroll import Enrolment, Progress, is_under_way, open_enrolment
from edge.attest.identity import DeviceIdentity, current_folder
from edge.attest.keystore import open_key_store
from edge.attest.pending import Application
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
)
from edge.config import EdgeConfig, load_config
from edge.errors import CloudError, ExitCode, InputError, SetupError
from edge.outbox.records import OutboxStats
from verifield.tokens import JOIN_PREFIX, is_token

MAX_TOKEN_BYTES = 512  # join tokens have about 50
MAX_ROOT_BYTES = 256 * 1024  # a root certificate has 2 KB; a device named by mistake has no end

POLL_S = 5.0
"""While a person is waited for: soon enough for somebody on the phone, nothing for the cloud."""

_PASSING = {
    "CLOUD_AWAY": "the cloud does not answer",
    "SESSION_RUNNING": "a session is under way",
}
"""What ends no wait."""

_GROUP = 4
_GROUPS_IN_LINE = 4

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def enroll(
    cloud: Annotated[str | None, typer.Option(help="The cloud's public address, HOST:PORT.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="The cloud's trust root, PEM, brought by a trusted hand.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the join token; - reads standard input.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Become a new device, once the old one has delivered all.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until a person has approved this device's key.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this device's keys, have them certified, and begin its chain of records.

    Where a person has to approve the key, the fingerprint to compare is shown, and the status is 1 until
    then; run the command again without options to go on.

    Example: verifield-edge enroll --cloud cloud.example:7443 --root root.pem --token-file token.txt
    """
    settings = load_config(config, data_dir=data)
    folder = identity_folder(settings)
    application = _read_application(cloud, root, token_file)
    replacing = replace or is_under_way(folder)
    with ExitStack() as opened:
        with _all_delivered(settings) if replacing else nullcontext():
            enrolment = opened.enter_context(
                open_enrolment(
                    folder,
                    key_store=open_key_store(settings, folder),
                    application=application,
                    replace=replacing,
                )
            )
            progress = enrolment.advance()
        if progress.identity is None and wait:
            if not as_json:
                _print_waiting(progress)
            progress = _wait(enrolment, settings)
    if progress.identity is not None:
        _begin_chain(settings, progress.identity, as_json=as_json)
        return
    if as_json:
        print_json(_describe_waiting(progress))
    elif not wait:
        _print_waiting(progress)
    raise typer.Exit(int(ExitCode.NEGATIVE))


def format_fingerprint(sha256: bytes) -> list[str]:
    """Lines of groups that can be read out over the phone."""
    text = sha256.hex().upper()
    groups = [text[start : start + _GROUP] for start in range(0, len(text), _GROUP)]
    return [
        "  ".join(groups[start : start + _GROUPS_IN_LINE]) for start in range(0, len(groups), _GROUPS_IN_LINE)
    ]


def _wait(enrolment: Enrolment, settings: EdgeConfig) -> Progress:
    """Ask again and again; neither a cloud that is away nor a session of the old device ends that."""
    started = time.monotonic()
    with err().status("Waiting for the approval ...") as status:
        while True:
            time.sleep(POLL_S)
            minutes, seconds = divmod(int(time.monotonic() - started), 60)
            note = ""
            try:
                with _all_delivered(settings):
                    progress = enrolment.advance()
                if progress.identity is not None:
                    return progress
            except (CloudError, SetupError) as error:
                if error.code not in _PASSING:
                    raise
                note = f" ({_PASSING[error.code]})"
            status.update(f"Waiting for the approval, {minutes}:{seconds:02d}{note} ...")


def _begin_chain(settings: EdgeConfig, identity: DeviceIdentity, *, as_json: bool) -> None:
    with open_state(settings, identity) as state:
        # From here on the lease counts, also where the cloud is never heard of again.
        state.note_word(identity.certified_at(), arrival_now(SystemClock()))
    with open_recorder(settings) as recorder:
        first = recorder.outbox.newest(limit=1)[0]
    if as_json:
        print_json(
            {
                "state": "ACTIVE",
                "device_id": identity.device_id,
                "site_id": identity.site_id,
                "key_protection": identity.key_protection.value,
                "predecessor_id": identity.predecessor_id,
                "device_endpoint": identity.device_endpoint,
                "attestation_id": first.attestation_id,
            }
        )
    else:
        out().print(f"Enrolled as device {identity.device_id} of site {identity.site_id}.", style="green")


def _describe_waiting(progress: Progress) -> dict[str, Any]:
    return {
        "state": "PENDING_APPROVAL",
        "device_id": progress.device_id,
        "key_sha256": progress.key_sha256.hex(),
    }


def _print_waiting(progress: Progress) -> None:
    console = out()
    console.print("A person has to approve this device.", style="bold yellow")
    console.print(f"Device  {progress.device_id}")
    console.print("Fingerprint of its key, to be compared with what the operator of the cloud sees:")
    console.print()
    for line in format_fingerprint(progress.key_sha256):
        console.print(f"    {line}", style="bold")
    console.print()
    console.print("When it is approved: verifield-edge enroll", style="dim")


def _read_application(cloud: str | None, root: Path | None, token_file: Path | None) -> Application | None:
    """All three, or none to go on with the enrolment under way."""
    if cloud is None and root is None and token_file is None:
        return None
    if cloud is None or root is None or token_file is None:
        raise InputError(
            "OPTIONS_INCOMPLETE",
            "An enrolment needs the cloud's address, its root and a token.",
            hint="Give --cloud, --root and --token-file together; or none of them, to go on with one.",
        )
    _check_endpoint(cloud)
    return Application(cloud, _read_file(root), _read_token(token_file))


def _check_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not (host and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise InputError(
            "ADDRESS_INVALID",
            "The cloud's address is not of the form HOST:PORT.",
            hint="Give for example cloud.example:7443, without https:// and without a path.",
        )


@contextmanager
def _all_delivered(settings: EdgeConfig) -> Iterator[None]:
    """While the block runs, an old identity has nothing left to deliver, and no session comes to that.

    Nobody would deliver any more what a replaced identity has not. It is asked again each time before the
    new one may come: the old one works on until then.

    Raises:
        SetupError: SESSION_RUNNING or RECORDS_WAIT.
    """
    if current_folder(identity_folder(settings)) is None:
        yield  # there is no old one
        return
    identity = open_identity(settings)
    with open_outbox(settings, identity) as outbox, outbox.closed_for_sessions() as closed:
        if not closed:
            raise SetupError(
                "SESSION_RUNNING",
                "A session of this device is under way.",
                hint="Let it end, then run the command again.",
            )
        figures = outbox.stats()
        with open_state(settings, identity) as state:
            signatures = state.unanswered_signatures()
        _check_delivered(figures, signatures)
        yield


def _check_delivered(figures: OutboxStats, signatures: int) -> None:
    records, media = figures.pending + figures.delivered, figures.media_pending
    if records or media or signatures:
        raise SetupError(
            "RECORDS_WAIT",
            f"{records} records, {media} pictures and {signatures} signatures of this device are not "
            "delivered and confirmed yet.",
            hint="Deliver them with: verifield-edge sync --once. If the cloud takes them no more, keep this "
            "data directory as it is and enrol in a new one, named with --data.",
        )


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise InputError(
            "FILE_UNREADABLE", f"{path} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None
    if len(data) > MAX_ROOT_BYTES:
        raise InputError(
            "FILE_TOO_LARGE", f"{path} has more than {MAX_ROOT_BYTES} bytes.", hint="Check the path."
        )
    return data


def _read_token(path: Path) -> str:
    data = sys.stdin.buffer.read(MAX_TOKEN_BYTES + 1) if str(path) == "-" else _read_file(path)
    token = data.decode("utf-8-sig", "replace").strip()
    if not token or len(data) > MAX_TOKEN_BYTES:
        raise InputError(
            "TOKEN_EMPTY", "There is no join token in what was given.", hint="Ask the operator for one."
        )
    if not is_token(JOIN_PREFIX, token):  # another credential is nothing to show to a service
        raise InputError(
            "TOKEN_MALFORMED",
            "What was given is no join token.",
            hint=f"Give the file that holds the join token alone: one word that begins with {JOIN_PREFIX}.",
        )
    return token
