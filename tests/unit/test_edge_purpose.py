"""A record of the device says which request it was made for, and a task's session is for one person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.answers import PrivateField
from edge.attest.disclosures import disclose_document
from edge.attest.package import face_evidence
from edge.commands.verify import _read_nonce
from edge.errors import InputError
from edge.model import Decision, Evidence, Outcome, Purpose, Validity
from edge.session.events import OTHER_PERSON, Begin, DocumentRead
from edge.session.machine import Command, Session
from edge.session.plan import SessionPlan
from tests.support.appliance import document, statement_of, verified_evidence
from verifield.commitments import Disclosure, check_disclosure, commit, encode_disclosures
from verifield.statement import parse_statement
from verifield.tasks import commit_number

NONCE, SALT = bytes(range(32)), bytes(range(32, 64))
TASK = "019ca5a0-0000-7000-8000-000000000001"
VERIFIED = Decision(Outcome.VERIFIED, ())


def test_without_a_purpose_the_statement_has_none() -> None:
    statement, _ = statement_of(verified_evidence(), VERIFIED)
    assert not statement.HasField("purpose")


def test_a_nonce_is_stated() -> None:
    statement, _ = statement_of(replace(verified_evidence(), purpose=Purpose(NONCE)), VERIFIED)
    assert (statement.purpose.nonce, statement.purpose.task_id) == (NONCE, "")
    assert statement.purpose.number_digest == b""
    parse_statement(statement.SerializeToString(deterministic=True))


def test_for_a_task_the_card_that_was_read_is_committed_to_under_the_tasks_salt() -> None:
    evidence = verified_evidence()
    assert evidence.document is not None
    statement, _ = statement_of(replace(evidence, purpose=Purpose(NONCE, TASK, SALT)), VERIFIED)
    digest = commit_number(evidence.document.number, salt=SALT).digest
    assert (statement.purpose.task_id, statement.purpose.number_digest) == (TASK, digest)
    assert evidence.document.number.encode() not in statement.SerializeToString()
    no_card = Evidence(aborted="NO_CARD", purpose=Purpose(NONCE, TASK, SALT))
    statement, _ = statement_of(no_card, Decision(Outcome.ABORTED, ("NO_CARD",)))
    assert (statement.purpose.nonce, statement.purpose.number_digest) == (NONCE, b"")


def test_another_persons_card_ends_the_session_before_anybody_poses() -> None:
    session = Session.open(SessionPlan(), session_id=bytes(16), now=0.0, purpose=Purpose(NONCE, TASK, SALT))
    session, commands = session.handle(Begin(), 1.0)
    assert commands == (Command.READ_DOCUMENT,)
    other, commands = session.handle(DocumentRead(document(), Validity.VALID, awaited=False), 2.0)
    assert commands == (Command.ATTEST,)
    assert other.decision() == Decision(Outcome.ABORTED, (OTHER_PERSON,))
    assert other.evidence.purpose == Purpose(NONCE, TASK, SALT)
    _, commands = session.handle(DocumentRead(document(), Validity.VALID), 2.0)
    assert commands == (Command.CAPTURE_FACE,)


def test_the_package_opens_number_validity_and_picture_and_nothing_else() -> None:
    salts = iter(range(1, 200))
    disclosures = disclose_document(document(), lambda: bytes([next(salts)]) * 32)
    picture = PrivateField("best_shot", b"a picture")
    salt = b"p" * 32
    private = encode_disclosures([*disclosures, Disclosure("media.best_shot", b"", salt)])
    package = face_evidence(
        b"envelope", certificates=[b"leaf"], private=private, media=[picture], picture="best_shot"
    )
    statement, _ = statement_of(Evidence(aborted="X"), Decision(Outcome.ABORTED, ("X",)))
    for one in disclosures:
        statement.document.fields.add(
            field=one.field, digest=commit(field=one.field, value=one.value, salt=one.salt)
        )
    for field, value, opened in (
        ("document.number", document().number, package.number_salt),
        ("document.valid_from", document().valid_from.isoformat(), package.valid_from_salt),
    ):
        check_disclosure(statement, field=field, value=value.encode(), salt=opened)
    assert (package.valid_from, package.valid_to) == (document().valid_from.isoformat(), "long-term")
    assert (package.picture, package.picture_salt) == (b"a picture", salt)
    others = [one.salt for one in disclosures if one.field in {"document.name", "document.address"}]
    assert all(one not in package.SerializeToString() for one in others)


def test_without_a_kept_picture_there_is_no_package() -> None:
    private = encode_disclosures(disclose_document(document(), lambda: bytes(32)))
    with pytest.raises(InputError) as caught:
        face_evidence(b"e", certificates=[], private=private, media=[], picture="best_shot")
    assert caught.value.code == "PICTURE_NOT_KEPT"


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_a_nonce_has_64_digits(text: str) -> None:
    with pytest.raises(Exception, match="64 hexadecimal"):
        _read_nonce(text, task=None)


def test_a_task_has_a_nonce_of_its_own() -> None:
    assert _read_nonce(None, task=TASK) == b""
    assert _read_nonce("ab" * 32, task=None) == b"\xab" * 32
    with pytest.raises(Exception, match="only one"):
        _read_nonce("ab" * 32, task=TASK)
