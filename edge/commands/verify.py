"""``verifield-edge verify``: one person, one card, one signed record."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.advice import advice_on
from edge.answers import Accommodation, ChallengeVariant
from edge.app import open_recorder, open_state
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.package import face_evidence, picture_not_kept
from edge.capture.pictures import read_picture
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    fault_json,
    out,
    print_fault,
    print_json,
)
from edge.config import load_config
from edge.contracts.reading import refuse_contract
from edge.documents import Front, Given, Pictured, Typed
from edge.errors import EdgeError, ExitCode, InputError
from edge.files import write_private
from edge.interrupts import obey_stops
from edge.model import Outcome, PhotoOrigin
from edge.pipeline import BEST_SHOT, Verification
from edge.recorder import Recorder
from edge.station import open_pipeline
from edge.tasks import find_task
from edge.texts import OUTCOMES, Language
from verifield.rules import DIGEST_BYTES

_COLOURS = {Outcome.VERIFIED: "green", Outcome.NOT_MATCHED: "yellow", Outcome.SPOOF: "red"}


TaskOption = Annotated[
    str | None, typer.Option(help="Task that the record is for; the card must be the awaited person's.")
]
NonceOption = Annotated[
    str | None, typer.Option(metavar="HEX", help="Nonce of the request that the record is for: 64 digits.")
]
PackageOption = Annotated[
    Path | None, typer.Option(help="Where to write the evidence for the cloud when VERIFIED. Personal data.")
]
ChallengeOption = Annotated[
    ChallengeVariant,
    typer.Option(
        case_sensitive=False,
        help="NO_SCREEN: for who cannot see the screen. NO_TURN: for who cannot turn the head.",
    ),
]
MoreTimeOption = Annotated[bool, typer.Option("--more-time", help="Longer time limits, by the policy.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def verify(
    config: ConfigOption = None,
    data: DataOption = None,
    camera: Annotated[str | None, typer.Option(help="For example v4l2:0.")] = None,
    reader: Annotated[str | None, typer.Option(help="Serial port of the card reader.")] = None,
    operator: Annotated[
        str | None, typer.Option(help="Who signs in first, also where the policy asks for nobody.")
    ] = None,
    typed: Annotated[
        bool, typer.Option("--typed", help="Read no card: ask for name, number and validity instead.")
    ] = False,
    pictures: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FRONT BACK", help="Read no card: read pictures of both its sides instead."),
    ] = None,
    front: Annotated[
        Path | None,
        typer.Option(help="Picture of the card's front, whose portrait stands in for the chip's photo."),
    ] = None,
    challenge: ChallengeOption = ChallengeVariant.STANDARD,
    more_time: MoreTimeOption = False,
    task: TaskOption = None,
    nonce: NonceOption = None,
    package: PackageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a card, check the person, sign the record; status 0 only when VERIFIED, 1 for other outcomes.

    What the policy adds (consent, notices, customer data) is asked on the terminal; /stop ends the session.
    What was typed or pictured never makes VERIFIED: two people decide about it with `manual`.

    Example: verifield-edge verify --camera v4l2:0 --reader /dev/serial/by-id/usb-reader
    """
    given = _read_given(typed=typed, pictures=pictures, front=front)
    asked = _read_nonce(nonce, task=task)
    _check_place(package)
    settings = load_config(config, data_dir=data, camera=camera, reader_port=reader)
    obey_stops()  # so that being stopped is attested as well
    with open_recorder(settings) as recorder, open_state(settings, recorder.identity) as state:
        bounds = bounded_now(SystemClock(), contact=state.contact())
        waiting = find_task(state, task, bounds) if task else None
        if waiting is not None:
            refuse_contract(waiting)
        needs = Accommodation(challenge, more_time=more_time)
        opener = partial(open_pipeline, settings, recorder, state, operator=operator, given=given)
        with opener(task=waiting, nonce=asked, accommodation=needs) as pipeline:
            if package is not None and BEST_SHOT not in pipeline.plan.media:
                raise picture_not_kept()
            verification = pipeline.run()
        unwritten = _write_package(package, recorder, verification)
    if unwritten is not None:
        verification = replace(verification, fault=unwritten)
    _tell(verification, settings.language, as_json=as_json)
    if verification.decision.outcome is not Outcome.VERIFIED:
        raise typer.Exit(int(ExitCode.NEGATIVE))
    if unwritten is not None:
        raise typer.Exit(int(unwritten.exit_code))


def _read_nonce(text: str | None, *, task: str | None) -> bytes:
    """The bytes of ``text``; empty for None."""
    if text is None:
        return b""
    if task is not None:
        raise typer.BadParameter("give only one of --task and --nonce: a task has a nonce of its own")
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != DIGEST_BYTES:
        raise typer.BadParameter(f"--nonce takes {2 * DIGEST_BYTES} hexadecimal digits")
    return nonce


def _check_place(package: Path | None) -> None:
    """Nobody is asked to pose for evidence that cannot be written. Raises InputError: FILE_NOT_WRITTEN."""
    if package is None:
        return
    if package.is_dir():
        raise _not_written(package, "it is a folder")
    if not (package.parent.is_dir() and os.access(package.parent, os.W_OK | os.X_OK)):
        raise _not_written(package, "its folder is not there, or not to be written")


def _write_package(package: Path | None, recorder: Recorder, verification: Verification) -> EdgeError | None:
    """Return what went wrong: the person is verified and the record stored, so it must not hide that."""
    if package is None or verification.decision.outcome is not Outcome.VERIFIED:
        return None
    try:
        evidence = face_evidence(
            verification.record.envelope,
            certificates=recorder.identity.attestation_certificates,
            private=recorder.outbox.private(verification.record.attestation_id),
            media=verification.evidence.media,
            picture=BEST_SHOT,
        )
        write_private(package, evidence.SerializeToString(deterministic=True))
    except OSError as error:
        return _not_written(package, error.strerror or type(error).__name__)
    except EdgeError as error:
        return error
    return None


def _not_written(package: Path, why: str) -> InputError:
    return InputError(
        "FILE_NOT_WRITTEN",
        f"The evidence cannot be written to {package}: {why}.",
        hint="Name a file in a folder that exists, belongs to you and has room, then verify again.",
    )


def _read_given(*, typed: bool, pictures: tuple[Path, Path] | None, front: Path | None) -> Given | None:
    if typed + (pictures is not None) + (front is not None) > 1:
        raise typer.BadParameter("give only one of --typed, --pictures and --front")
    if pictures is not None:
        return Pictured(tuple(read_picture(path) for path in pictures))
    if front is not None:
        return Front(read_picture(front))
    return Typed() if typed else None


def _tell(verification: Verification, language: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(_to_json(verification))
    else:
        _print(verification, language)
    if verification.fault is not None:
        print_fault(verification.fault)


def _to_json(verification: Verification) -> dict[str, Any]:
    record = verification.record
    match = verification.evidence.match
    liveness = verification.evidence.liveness
    document = verification.evidence.document
    return {
        "outcome": verification.decision.outcome.value,
        "reasons": list(verification.decision.reasons),
        "attestation_id": record.attestation_id,
        "chain_epoch": record.epoch,
        "seq": record.seq,
        "envelope_sha256": record.sha256.hex(),
        "fault": None if verification.fault is None else fault_json(verification.fault),
        "read_method": None if document is None else document.read_method.value,
        "printed_photo": document is not None and document.photo_origin is PhotoOrigin.PRINTED,
        "match": None
        if match is None
        else {"score": match.score, "threshold": match.threshold, "fmr": match.false_match_rate},
        "liveness": None
        if liveness is None
        else {
            "decision": liveness.decision.value,
            "score": liveness.score,
            "threshold": liveness.threshold,
            "kinds": [kind.value for kind in liveness.challenge.kinds],
            "variant": liveness.challenge.variant.value,
            "attempt": liveness.challenge.attempt,
            "experts": [
                {
                    "name": e.name,
                    "score": e.score,
                    "threshold": e.threshold,
                    "passed": e.passed,
                    "advisory": e.advisory,
                    "reason": e.reason,
                }
                for e in liveness.experts
            ],
        },
        "stages": [{"name": stage.name, "seconds": stage.seconds} for stage in verification.stages],
    }


def _print(verification: Verification, language: Language) -> None:
    record = verification.record
    outcome = verification.decision.outcome
    console = out()
    console.print(OUTCOMES[outcome][language], style=f"bold {_COLOURS.get(outcome, 'white')}")
    for reason in verification.decision.reasons:
        console.print(f"  {reason}")
        if advice := advice_on(reason, language):
            console.print(f"    {advice}", style="dim")
    console.print(f"Record {record.seq}, attestation {record.attestation_id}", style="dim")
