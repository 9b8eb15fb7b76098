"""The findings of a verification in plain words.

A genuine record is not a verified person: a device signs refused attempts as well. The headline
says which of the two the reader holds.
"""

from __future__ import annotations

from verifield.report import Facts
from verifield.v1 import attestation_pb2 as pb

HEADLINES = {
    "VERIFIED": "Genuine record: the device saw a live person whose face matched the document's photo.",
    "NOT_MATCHED": "Genuine record of a REFUSAL: the face did not match the document's photo. "
    "It verifies NO person.",
    "SPOOF": "Genuine record of an ATTACK: what was held before the camera was not a live person. "
    "It verifies NO person.",
    "INCONCLUSIVE": "Genuine record WITHOUT a result: there was not enough evidence. It verifies NO person.",
    "MANUAL": "Genuine record of a decision by PEOPLE: the device itself verified NO person.",
    "ABORTED": "Genuine record of an attempt that was STOPPED before a decision. It verifies NO person.",
}
EVENT_HEADLINE = "Genuine record of a device event. It is about the device and verifies NO person."
INCOMPLETE_HEADLINE = "NOT established: needed evidence is missing. Do not rely on this record yet."
REFUSED_HEADLINES = {
    "malformed": "REFUSED, malformed: this is not an intact bundle.",
    "forged": "REFUSED, forged: a signature, a digest or a proof does not hold.",
    "untrusted": "REFUSED, untrusted: no certificate that was valid then leads from a signer to the root.",
    "unknown": "REFUSED, unknown: this version cannot read all of the bundle.",
}
_PERIPHERALS: dict[pb.PeripheralKind.ValueType, str] = {
    pb.PERIPHERAL_KIND_CAMERA: "camera",
    pb.PERIPHERAL_KIND_READER: "card reader",
}
_DOCUMENTS = {
    "TYPED": "That there is such a document: its data were TYPED by a person.",
    "SCANNED": "That the document is genuine: it was SCANNED from pictures, and no chip was read.",
}


def name_kind(kind: pb.RecordKind.ValueType) -> str:
    """Return the name without its prefix."""
    return pb.RecordKind.Name(kind).removeprefix("RECORD_KIND_")


def name_outcome(outcome: pb.Outcome.ValueType) -> str:
    """Return the name without its prefix, empty where the record has none."""
    return pb.Outcome.Name(outcome).removeprefix("OUTCOME_") if outcome else ""


def name_key_protection(protection: pb.KeyProtection.ValueType) -> str:
    """Return the name without its prefix."""
    return pb.KeyProtection.Name(protection).removeprefix("KEY_PROTECTION_")


def name_camera(camera: pb.CameraAssurance.ValueType) -> str:
    """Return the name without its prefix, empty where no camera was used."""
    return pb.CameraAssurance.Name(camera).removeprefix("CAMERA_ASSURANCE_") if camera else ""


def name_read_method(statement: pb.Statement) -> str:
    """Return the name without its prefix, empty where no document was read."""
    method = statement.document.read_method
    return pb.ReadMethod.Name(method).removeprefix("READ_METHOD_") if method else ""


def is_photo_printed(statement: pb.Statement) -> bool:
    """Whether the photo of a chip's document is the one printed on the card."""
    return statement.document.photo_origin == pb.PHOTO_ORIGIN_PRINTED


def is_degraded(statement: pb.Statement) -> bool:
    """Whether the device had been without word from the service for longer than it should."""
    return statement.standing == pb.STANDING_DEGRADED


def describe_event(statement: pb.Statement) -> str:
    """Return one sentence about a device event; empty for a verification."""
    event = statement.device_event
    if event.type == pb.DEVICE_EVENT_TYPE_ENROLLED:
        after = f" in the place of device {event.predecessor_id}" if event.predecessor_id else ""
        return f"The device was enrolled{after}, with certificate {event.certificate_serial}."
    if event.type == pb.DEVICE_EVENT_TYPE_RESET:
        return _describe_reset(statement)
    if event.type == pb.DEVICE_EVENT_TYPE_GAP:
        gap = event.gap
        many = gap.first_seq < gap.last_seq
        what = f"Records {gap.first_seq} to {gap.last_seq}" if many else f"Record {gap.first_seq}"
        verb = "are" if many else "is"
        return f"{what} of epoch {statement.chain_epoch} {verb} lost for ever ({gap.reason})."
    if event.type == pb.DEVICE_EVENT_TYPE_TOMBSTONE:
        place = event.tombstone
        return (
            f"Record {place.seq} of epoch {statement.chain_epoch} was refused by the service for ever "
            f"({place.reason})."
        )
    if event.type == pb.DEVICE_EVENT_TYPE_PERIPHERAL:
        change = event.peripheral
        before = f", where it was {change.previous_id} before" if change.previous_id else ""
        return f"The {_PERIPHERALS[change.kind]} is {change.current_id} from now on{before}."
    return ""


def describe_headline(facts: Facts) -> str:
    """Return the one sentence that a hurried reader takes away from a record whose checks all passed."""
    return HEADLINES[facts.outcome] if facts.outcome else EVENT_HEADLINE


def describe_proved(facts: Facts) -> tuple[str, ...]:
    """Return what holds, one sentence each."""
    sentences = [
        f"The key of device {facts.device_id}, for which the given root vouches, signed exactly this."
    ]
    if facts.not_after:
        sentences.append(
            f"It is record {facts.seq} in epoch {facts.chain_epoch} of the device's chain, "
            "as the service confirmed."
        )
    if facts.log_index is not None:
        sentences.append(f"It is entry {facts.log_index} of the transparency log.")
    if facts.witnesses:
        devices = "1 other device" if facts.witnesses == 1 else f"{facts.witnesses} other devices"
        sentences.append(f"The log showed a tree with this record in it to {devices}, too.")
    if facts.not_before:
        sentences.append(f"It was made after {facts.not_before:%Y-%m-%d %H:%M:%S} UTC.")
    if facts.not_after:
        sentences.append(f"It was made before {facts.not_after:%Y-%m-%d %H:%M:%S} UTC.")
    if facts.revocation_checked:
        sentences.append("The device's certificate had not been revoked when the record was confirmed.")
    if facts.not_after and facts.outcome:
        sentences.append(f"The outcome that the device recorded is {facts.outcome}.")
    if facts.not_after and facts.event:
        sentences.append(f"What the device recorded of itself: {facts.event}")
    if facts.not_after and facts.decided_by:
        first, second = facts.decided_by
        decision = "accepted" if facts.accepted else "refused"
        sentences.append(
            f"Operators {first} and {second} {decision} the person, and a second key signed that."
        )
    if facts.policy_version is not None:
        sentences.append(f"It was judged by the thresholds of version {facts.policy_version} of the policy.")
    sentences += [f"The record commits to the disclosed value of {item.field}." for item in facts.disclosed]
    return tuple(sentences)


def describe_not_proved(facts: Facts) -> tuple[str, ...]:
    """Return what a reader might wrongly assume, one sentence each."""
    return (*_open_about_record(facts), *_open_about_time(facts), *_open_about_world(facts))


def _open_about_record(facts: Facts) -> list[str]:
    sentences = [
        "That the device's decision was right: the record shows what it decided, and on what scores."
    ]
    if facts.outcome and facts.policy_version is None:
        sentences.append("That the thresholds were those of the service's policy: none was given.")
    if facts.decided_by:
        sentences.append("Who the second person is: no certificate vouches for that key, only the device.")
    if facts.chain_epoch > 1:
        sentences.append(
            f"That the device's records are whole: its chain was begun anew, and this is epoch "
            f"{facts.chain_epoch}. The reset records say why."
        )
    if facts.degraded:
        sentences.append("That the device knew the newest rules: it had been without word from the service.")
    return sentences


def _open_about_time(facts: Facts) -> list[str]:
    sentences = []
    if facts.not_before is None:
        sentences.append("The earliest time of the record: no receipt from before it is here that counts.")
    if facts.not_after is None:
        sentences.append(
            "The time of the record, and that the key was still valid then: no receipt is there."
        )
    else:
        sentences.append("The exact time: only the bounds hold, and they rest on the service's clock.")
    if _outside_bounds(facts):
        sentences.append(
            f"The device's clock, which showed {facts.wall_time:%Y-%m-%d %H:%M:%S} UTC: outside the bounds."
        )
    if not facts.revocation_checked:
        sentences.append(
            "That nobody had reported the device's key as lost: no list that is new enough says so."
        )
    return sentences


def _open_about_world(facts: Facts) -> list[str]:
    sentences = [_DOCUMENTS[facts.read_method]] if facts.read_method in _DOCUMENTS else []
    if facts.printed_photo:
        sentences.append(
            "That the chip has the photo that was compared: it was printed on the card and pictured, and "
            "only the number beside it binds it to the chip."
        )
    if facts.key_protection == "SOFTWARE":
        sentences.append("That nobody copied the device's key: it was kept in software.")
    if facts.camera in {"HOST", "SIMULATED"}:
        sentences.append(f"That the pictures came straight from a camera: its assurance is {facts.camera}.")
    if facts.outcome and not facts.disclosed:
        sentences.append("Who the person is: personal data enters only as commitments, and none was opened.")
    elif facts.outcome:
        sentences.append("What the record says of the person beyond the disclosed values.")
    if facts.witnesses:
        sentences.append(
            "That the log shows everybody the same tree: only the witnesses counted above saw it."
        )
    else:
        sentences.append("That the log shows everybody the same tree: no other device's word on it is here.")
    return sentences


def _outside_bounds(facts: Facts) -> bool:
    early = facts.not_before is not None and facts.wall_time < facts.not_before
    late = facts.not_after is not None and facts.wall_time > facts.not_after
    return early or late


def _describe_reset(statement: pb.Statement) -> str:
    reset = statement.device_event.reset
    own = _describe_place(reset.device_head) if reset.HasField("device_head") else "no record any more"
    service = _describe_place(reset.cloud_head) if reset.HasField("cloud_head") else "none"
    same_place = own == service and reset.device_head.envelope_sha256 != reset.cloud_head.envelope_sha256
    service = "another one in its place" if same_place else service
    return (
        f"The chain was begun anew as epoch {statement.chain_epoch} ({reset.reason}): the device had {own}, "
        f"the service {service}."
    )


def _describe_place(place: pb.ChainPosition) -> str:
    return f"record {place.seq} of epoch {place.chain_epoch}"
