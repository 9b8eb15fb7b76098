"""Forms, checked against the fields of their type: every fault names its field, never the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date

from cloud.accounts.creation import parse_organisation_code
from cloud.certifications.catalogue import MAX_TEXT
from cloud.errors import FieldViolation, Reason, ServiceError
from verifield.v1 import certification_service_pb2 as pb

_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@.]{1,63}(?:\.[^\s@.]{1,63}){1,8}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def parse_form(values: Iterable[pb.FormValue], kind: pb.CertificationType, *, whole: bool) -> dict[str, str]:
    """The values by name, in the order of the type's fields. ``whole``: what is required must be there.

    Raises:
        ServiceError: FORM_INVALID, with one violation for each field at fault.
    """
    given: dict[str, str] = {}
    faults: list[FieldViolation] = []
    fields = {field.name: field for field in kind.fields}
    for one in values:
        if one.name not in fields or one.name in given:
            faults.append(_fault(one.name, "UNKNOWN", "This type has no such field, or it was given twice."))
        given[one.name] = one.value.strip()
    for name, field in fields.items():
        value = given.get(name, "")
        rule = _broken(field, value) if value else "REQUIRED" if whole and field.required else None
        if rule:
            faults.append(_fault(name, rule, f"The field {name} breaks the rule {rule} of its type."))
    if faults:
        raise ServiceError(
            Reason.FORM_INVALID,
            "The form is not as its type wants it.",
            {"fields": ",".join(dict.fromkeys(fault.field.removeprefix("form.") for fault in faults))},
            violations=tuple(faults),
        )
    return {name: given[name] for name in fields if given.get(name)}


def to_values(form: Mapping[str, str]) -> list[pb.FormValue]:
    """As it travels."""
    return [pb.FormValue(name=name, value=value) for name, value in form.items()]


def _broken(field: pb.FormField, value: str) -> str | None:
    """The rule that a value breaks."""
    if len(value) > (field.max_length or MAX_TEXT):
        return "LENGTH"
    if field.pattern and not re.fullmatch(field.pattern, value):
        return "PATTERN"
    match field.kind:
        case pb.FORM_FIELD_KIND_DATE:
            return None if _is_day(value) else "DATE"
        case pb.FORM_FIELD_KIND_NUMBER:
            return None if _NUMBER.fullmatch(value) else "NUMBER"
        case pb.FORM_FIELD_KIND_CHOICE:
            return None if value in field.choices else "CHOICE"
        case pb.FORM_FIELD_KIND_EMAIL:
            return None if _EMAIL.fullmatch(value) else "EMAIL"
        case pb.FORM_FIELD_KIND_CREDIT_CODE:
            return None if _is_credit_code(value) else "CREDIT_CODE"
        case _:
            return None


def _is_day(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_credit_code(value: str) -> bool:
    try:
        return bool(parse_organisation_code(value))
    except ServiceError:
        return False


def _fault(name: str, rule: str, description: str) -> FieldViolation:
    known = re.fullmatch(r"[a-z][a-z0-9_]{1,31}", name)
    return FieldViolation(f"form.{name}" if known else "form", rule, description)
