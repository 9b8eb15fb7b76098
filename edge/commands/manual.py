"""``verifield-edge manual``: two people decide where the device could not."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edge.answers import SignedIn, Stop
from edge.app import open_recorder, open_state
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    err,
    out,
    print_json,
)
from edge.config import load_config
from edge.desk import Lines
from edge.errors import ExitCode, Interrupted
from edge.interrupts import obey_stops
from edge.manual import causes_of, check_attempt, decide_by_hand, find_attempt
from edge.operators.service import Operators
from edge.readiness import check_ready
from edge.session.plan import PEOPLE_S
from edge.texts import ASKS, Ask, Language

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def manual(
    attempt_id: Annotated[str, typer.Argument(metavar="ATTEMPT", help="Attestation id of the attempt.")],
    accepted: Annotated[
        bool, typer.Option("--accept/--refuse", help="What the two people decided.", show_default=False)
    ],
    clerk: Annotated[str, typer.Option(help="Name of the first person, who decides.")],
    supervisor: Annotated[str, typer.Option(help="Name of the second person, who agrees and signs.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide by hand about an attempt that failed; both people sign in with their PINs on the terminal.

    Status 0 when they accept the person, 1 when they refuse.

    Example: verifield-edge manual ATTEMPT --accept --clerk "Li Wei" --supervisor "Ana Ruiz"
    """
    settings = load_config(config, data_dir=data)
    obey_stops()
    with open_recorder(settings) as recorder, open_state(settings, recorder.identity) as state:
        standing = check_ready(recorder, state)
        attempt = find_attempt(recorder, attempt_id)
        check_attempt(attempt)
        causes = causes_of(attempt)
        err().print(f"{', '.join(causes)}  ->  {'accept' if accepted else 'refuse'}")
        operators = Operators(
            state.operators,
            key_store=recorder.identity.key_store,
            clock=recorder.clock,
            live_live=recorder.policy.match.live_live,
        )
        lines = Lines(sys.stdin)
        people = [_sign_in(operators, who, lines, settings.language) for who in (clerk, supervisor)]
        record = decide_by_hand(
            recorder,
            state,
            operators,
            attempt=attempt,
            decided_by=people[0],
            agreed_by=people[1],
            accepted=accepted,
            standing=standing,
        )
    if as_json:
        print_json(
            {
                "outcome": "MANUAL",
                "accepted": accepted,
                "causes": list(causes),
                "attempt_id": attempt_id,
                "attestation_id": record.attestation_id,
                "chain_epoch": record.epoch,
                "seq": record.seq,
                "envelope_sha256": record.sha256.hex(),
            }
        )
    else:
        out().print(f"Record {record.seq}, attestation {record.attestation_id}")
    if not accepted:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def _sign_in(operators: Operators, who: str, lines: Lines, language: Language) -> SignedIn:
    print(f"  {who}, {ASKS[Ask.PIN][language]}", end="", file=sys.stderr, flush=True)
    pin = lines.next(PEOPLE_S, hidden=True)
    if isinstance(pin, Stop):
        raise Interrupted
    return operators.sign_in(who, pin=pin)
