"""``verifield-edge policy``: by which rules this device decides."""

from __future__ import annotations

from typing import Any

import typer

from edge.answers import SessionText
from edge.app import open_identity, open_state
from edge.commands.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ends_with_exit_code,
    print_json,
    print_values,
)
from edge.config import load_config
from edge.policy import BUILT_IN_VERSION, MatchThreshold, Policy
from verifield.certificates import load_roots

_WIDTH = 44

app = typer.Typer(help="The rules by which this device decides.", no_args_is_help=True, add_completion=False)


@app.callback()
def policy() -> None:
    """The rules by which this device decides."""


@app.command("show")
@ends_with_exit_code
def show(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the policy in force, checked anew: the newest one that the cloud signed, or the built-in one.

    Example: verifield-edge policy show --json
    """
    settings = load_config(config, data_dir=data)
    identity = open_identity(settings)
    with open_state(settings, identity) as state:
        answer = _to_json(state.policy(load_roots(identity.root_pem)))
    if as_json:
        print_json(answer)
    else:
        print_values(answer, width=_WIDTH)


def _to_json(policy: Policy) -> dict[str, Any]:
    session = policy.session
    return {
        "version": policy.version,
        "built_in": policy.version == BUILT_IN_VERSION,
        "sha256": policy.sha256().hex(),
        "issue_time": policy.issue_time.isoformat() if policy.issue_time else None,
        "expire_time": policy.expire_time.isoformat() if policy.expire_time else None,
        "match": {
            "live_chip_photo": _threshold(policy.match.live_chip_photo),
            "live_live": _threshold(policy.match.live_live),
        },
        "liveness": {
            "relief_threshold": policy.liveness.min_planar_relief,
            "turns": policy.liveness.challenge_turns,
            "score_threshold": policy.liveness.min_score,
            "passive_threshold": policy.liveness.passive_floor,
            "challenges": [kind.value for kind in policy.liveness.challenges],
            "require_light": policy.liveness.require_light,
            "turns_when": policy.liveness.turns_when.value,
            "early_passive_threshold": policy.liveness.early_passive,
            "refuse_variants": policy.liveness.refuse_variants,
            "max_attempts": policy.liveness.max_attempts,
            "more_time_factor": policy.liveness.more_time_factor,
        },
        "session": {
            "steps": [step.value for step in session.steps],
            "step_timeout_s": session.step_timeout.total_seconds(),
            "consent": _text(session.consent) if session.consent else None,
            "notices": [_text(text) for text in session.notices],
            "customer_fields": list(session.customer_fields),
        },
        "offline": {
            "degraded_after_s": policy.offline.degraded_after.total_seconds(),
            "stopped_after_s": policy.offline.stopped_after.total_seconds(),
        },
        "retention_s": policy.retention.confirmed_records.total_seconds()
        if policy.retention.confirmed_records is not None
        else None,
        "number_segments": [
            {"prefix": segment.prefix, "digits": segment.digits} for segment in policy.number_segments
        ],
        "media": {"keep": list(policy.media.keep), "recipient_key": policy.media.recipient_key.hex()},
    }


def _threshold(point: MatchThreshold) -> dict[str, float]:
    return {"threshold": point.threshold, "false_match_rate": point.false_match_rate}


def _text(text: SessionText) -> dict[str, Any]:
    return {"text_id": text.text_id, "by_language": dict(sorted(text.by_language.items()))}
