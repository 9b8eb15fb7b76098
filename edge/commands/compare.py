"""``verifield-edge compare``: are the people on two pictures the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from edge.app import open_identity, open_state
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.compare import compare_files
from edge.config import EdgeConfig, load_config
from edge.errors import ExitCode, SetupError
from edge.policy import BUILT_IN_VERSION, Policy
from edge.station import open_vision
from verifield.certificates import load_roots

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@ends_with_exit_code
def compare(
    first: Annotated[Path, typer.Argument(help="A picture with one person on it.")],
    second: Annotated[Path, typer.Argument(help="Another picture with one person on it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the faces on two pictures; status 0 for a match, 1 for none.

    The threshold is the one of the policy in force; of the built-in one where the device is not enrolled.

    Example: verifield-edge compare passport.jpg selfie.jpg --json
    """
    settings = load_config(config, data_dir=data)
    vision = open_vision(settings)
    policy = policy_in_force(settings)
    comparison = compare_files(
        first, second, detector=vision.detector, embedder=vision.embedder, policy=policy
    )
    answer = comparison.to_json() | {"threshold_from": name_of(policy)}
    if as_json:
        print_json(answer)
    else:
        colour = "green" if comparison.result.matched else "yellow"
        out().print(
            Text.assemble(
                (answer["decision"], f"bold {colour}"),
                f"  score {answer['score']:.3f}, threshold {answer['threshold']:.3f} "
                f"(false match rate {answer['fmr']:.0e}; {answer['threshold_from']})",
            ),
            soft_wrap=True,
        )
    if not comparison.result.matched:
        raise typer.Exit(int(ExitCode.NEGATIVE))


def policy_in_force(settings: EdgeConfig) -> Policy:
    """The newest one that the cloud signed; the built-in one before the first, and without enrolment.

    Raises:
        SetupError: the identity cannot be opened, though there is one; StorageError: STATE_POLICY_DAMAGED.
    """
    try:
        identity = open_identity(settings)
    except SetupError as error:
        if error.code != "NOT_ENROLLED":
            raise
        return Policy()
    with open_state(settings, identity) as state:
        return state.policy(load_roots(identity.root_pem))


def name_of(policy: Policy) -> str:
    """Which one it is, in words."""
    if policy.version == BUILT_IN_VERSION:
        return "the policy that is built in"
    return f"the policy in force, version {policy.version}"
