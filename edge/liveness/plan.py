"""Which challenges somebody is given: the policy's, less what the person or the device cannot do. Pure.

    variant    asked for                                    and where no screen can light a face
    STANDARD   the policy's kinds                           light is left out and shown as missing; with
                                                            require_light nobody passes
    NO_SCREEN  head turns                                   the same
    NO_TURN    light                                        nobody passes: there is nothing to ask for

A variant that the policy refuses lets nobody pass either: two people decide by hand (edge.manual).
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.answers import Accommodation, ChallengeKind, ChallengeVariant
from edge.policy import LivenessPolicy


@dataclass(frozen=True, slots=True)
class ChallengePlan:
    """``light_missing``: the policy asks for light, goes on without, and the record says so.

    ``refusal``: a reason code where nothing can be asked that would count; empty otherwise.
    """

    kinds: tuple[ChallengeKind, ...]
    variant: ChallengeVariant = ChallengeVariant.STANDARD
    time_factor: float = 1.0
    light_missing: bool = False
    refusal: str = ""


def plan_challenge(
    policy: LivenessPolicy, accommodation: Accommodation | None = None, *, can_light: bool
) -> ChallengePlan:
    """Decide by the table above. ``can_light``: whether a screen can light the face."""
    wanted = accommodation or Accommodation()
    variant = wanted.variant
    factor = policy.more_time_factor if wanted.more_time else 1.0
    if variant is not ChallengeVariant.STANDARD and policy.refuse_variants:
        return ChallengePlan((), variant, factor, refusal="LIVENESS_VARIANT_REFUSED")
    if variant is ChallengeVariant.NO_SCREEN:
        return ChallengePlan((ChallengeKind.TURNS,), variant, factor)
    wanted_kinds = (ChallengeKind.LIGHT,) if variant is ChallengeVariant.NO_TURN else policy.challenges
    kinds = tuple(kind for kind in ChallengeKind if kind in wanted_kinds)  # light comes first
    if can_light or ChallengeKind.LIGHT not in kinds:
        return ChallengePlan(kinds, variant, factor)
    others = tuple(kind for kind in kinds if kind is not ChallengeKind.LIGHT)
    if policy.require_light or not others:
        return ChallengePlan((), variant, factor, refusal="LIVENESS_LIGHT_UNAVAILABLE")
    return ChallengePlan(others, variant, factor, light_missing=True)
