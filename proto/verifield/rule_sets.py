"""Dated rules as devices are told them (rule_set.proto): in an envelope signed by a policy key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509

from verifield.certificates import Purpose, check_chain
from verifield.dsse import MAX_ENVELOPE_BYTES, parse_envelope
from verifield.errors import Malformed, Unknown
from verifield.signed import check_signed
from verifield.v1.rule_set_pb2 import RuleSet
from verifield.v1.rulebook_pb2 import RuleEdition, RuleKind
from verifield.wire import check_all_known, parse_message, parse_time

RULES_TYPE = "application/vnd.verifield.rules.v1+protobuf"

MAX_EDITIONS = 50
"""One in effect, and some to come."""

MAX_RULES_LIFE = timedelta(days=400)
"""A device's certificates do not outlast more."""

_PREFIX = "RULE_KIND_"


def encode_rule_set(rules: RuleSet) -> bytes:
    """Return the bytes to sign; the same rules always give the same bytes.

    Raises:
        Malformed, Unknown: they break a rule that :func:`check_rule_set` would refuse.
    """
    check_all_known(rules, what="rules")
    _check(rules)
    return rules.SerializeToString(deterministic=True)


def check_rule_set(
    envelope: bytes, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate]
) -> RuleSet:
    """Check an envelope and return the rules that were signed.

    The chain is checked at the rules' own issue time; whether they are newer than others, and whether they
    have expired, is for the caller to check.

    Raises:
        Malformed: no rules, some that break a rule, or a certificate is damaged.
        Forged: the signature is not by the first certificate's key.
        Untrusted: the certificate was not valid then, not for policies, or not from this root.
        Unknown: of another type or version.
    """
    payload = check_signed(envelope, payload_type=RULES_TYPE, certificates=certificates, what="rules")
    rules = _parse(payload)
    issued = parse_time(rules.issue_time, what="rules' issue time")
    check_chain(certificates, roots=roots, at=issued, purpose=Purpose.POLICY)
    return rules


def open_rule_set(envelope: bytes) -> RuleSet:
    """The rules of an envelope that was checked before.

    Raises:
        Malformed, Unknown: it is none.
    """
    parsed = parse_envelope(envelope)
    if parsed.payload_type != RULES_TYPE:
        raise Unknown("RULES_TYPE", "The rules are of a type that this version does not know.")
    return _parse(parsed.payload)


def edition_at(rules: RuleSet, at: datetime) -> RuleEdition | None:
    """The edition in effect at a moment; None once the rules have expired.

    A moment before the first edition has the first one: clocks of devices differ.
    """
    if at >= rules.expire_time.ToDatetime(UTC):
        return None
    begun = [one for one in rules.editions if _begin(one) <= at]
    return begun[-1] if begun else rules.editions[0]


def name_of(kind: int) -> str:
    """The name of a kind of rules, which is the id of its item; its number where it is not known here."""
    known = RuleKind.DESCRIPTOR.values_by_number.get(kind)
    return known.name.removeprefix(_PREFIX) if known else str(kind)


def _parse(payload: bytes) -> RuleSet:
    rules = parse_message(RuleSet, payload, what="rules", max_bytes=MAX_ENVELOPE_BYTES)
    _check(rules)
    return rules


def _check(rules: RuleSet) -> None:
    _require(rules.kind > 0, "kind is missing")
    _require(rules.HasField("issue_time") and rules.HasField("expire_time"), "a time is missing")
    issued = parse_time(rules.issue_time, what="rules' issue time")
    expires = parse_time(rules.expire_time, what="rules' expire time")
    _require(issued < expires <= issued + MAX_RULES_LIFE, "expire_time is out of range")
    _require(0 < len(rules.editions) <= MAX_EDITIONS, "editions are none or too many")
    _require(all(one.kind == rules.kind for one in rules.editions), "an edition is of another kind")
    begins = [_begin(one) for one in rules.editions]
    _require(begins == sorted(begins) and len(set(begins)) == len(begins), "editions are out of order")


def _begin(edition: RuleEdition) -> datetime:
    """When an edition takes effect; the one that a service came with always was."""
    if not edition.HasField("effective_time"):
        return datetime.min.replace(tzinfo=UTC)
    return parse_time(edition.effective_time, what="edition's time")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Malformed("RULES", f"The rules break a rule: {what}.")
