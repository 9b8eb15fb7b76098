"""Contracts at a device that is away: the document is here, the face is taken, the cloud is told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contracts.carry import RETRY_S
from edge.contracts.keeping import settle
from edge.errors import EdgeError, InputError, StorageError
from edge.model import Decision, Outcome
from edge.outbox.records import StoredRecord
from edge.rpc import FailureKind
from edge.state.documents import MAX_DOCUMENT_BYTES
from edge.state.signatures import SignatureState
from edge.sync.ports import UplinkError
from edge.sync.pump import Pump
from tests.support.authority import Authority
from tests.support.offline_signing import (
    DOCUMENT,
    NOW,
    PART_BYTES,
    PICTURE,
    Counter,
    Service,
    away,
    contract_of,
    item_of,
    open_counter,
    refusal,
)
from tests.support.tasks import LIFE, removed_item
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import sync_service_pb2 as sync

TASK = contract_of("lease")
PREPARED, QUEUED = SignatureState.PREPARED, SignatureState.QUEUED
COMPLETED, REFUSED = SignatureState.COMPLETED, SignatureState.REFUSED


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def counter(tmp_path: Path, authority: Authority) -> Iterator[Counter]:
    with open_counter(tmp_path, authority) as opened:
        opened.pull(item_of(TASK))
        yield opened


@pytest.fixture
def service() -> Service:
    return Service(documents={TASK.task_id: DOCUMENT})


@pytest.fixture
def ready(counter: Counter, service: Service) -> Counter:
    """The document is here and the person has read it; there is no network from now on."""
    counter.sync(service)
    counter.show(TASK.task_id)
    return counter


def states(counter: Counter) -> list[tuple[SignatureState, str]]:
    return [(row.state, row.reason) for row in counter.known.state.signatures.all()]


def code_of(error: pytest.ExceptionInfo[EdgeError]) -> str:
    return error.value.code


class Killed(BaseException):
    pass


# The document


def test_a_document_comes_part_by_part_and_goes_on_where_a_line_broke(
    counter: Counter, service: Service
) -> None:
    with pytest.raises(InputError, match="not come") as missing:
        counter.show(TASK.task_id)
    assert code_of(missing) == "DOCUMENT_AWAY"
    service.lose = 2
    for _ in range(2):
        with pytest.raises(UplinkError):
            counter.sync(service)
    counter.restart()
    assert counter.sync(service) == []
    assert counter.show(TASK.task_id) == DOCUMENT
    wanted = list(range(0, len(DOCUMENT), PART_BYTES))
    assert service.parts == [0, 0, *wanted]


def test_a_document_lies_sealed_and_goes_with_its_task_however_that_ends(
    counter: Counter, service: Service, authority: Authority
) -> None:
    other = contract_of("sale", DOCUMENT + b"!")
    third = contract_of("loan", DOCUMENT + b"?")
    counter.pull(item_of(other), item_of(third), cursor="c2")
    service.documents |= {other.task_id: DOCUMENT + b"!", third.task_id: DOCUMENT + b"?"}
    counter.sync(service)
    assert b"lease of a flat" not in counter.at_rest()
    kept = counter.known.state.documents
    for ended, end in (
        (TASK, lambda: counter.pull(removed_item("lease", kind=sync.DOWN_ITEM_KIND_CONTRACT), cursor="c3")),
        (other, lambda: counter.pull(item_of(third), cursor="c4", restarted=True)),
        (third, lambda: counter.known.state.drop_expired(by=NOW + LIFE)),
    ):
        assert kept.get(ended.task_id, ended.document_sha256) is not None
        end()
        assert kept.get(ended.task_id, ended.document_sha256) is None
        rows = counter.known.state._db.all("SELECT 1 FROM document_parts WHERE task_id = ?", ended.task_id)
        assert rows == []


def test_another_document_than_the_tasks_is_thrown_away(counter: Counter, service: Service) -> None:
    service.documents[TASK.task_id] = DOCUMENT[:-1] + b"?"
    [trouble] = counter.sync(service)
    assert (trouble.code, "DOCUMENT_OTHER" in trouble.message) == ("DOCUMENT_WAITS", True)
    with pytest.raises(InputError):
        counter.show(TASK.task_id)
    service.documents[TASK.task_id] = DOCUMENT
    assert counter.sync(service) == []  # not before its time
    counter.clock.advance(RETRY_S)
    counter.sync(service)
    assert counter.show(TASK.task_id) == DOCUMENT


def test_a_part_that_a_disk_has_changed_costs_the_document_which_comes_again(ready: Counter) -> None:
    db = ready.known.state._db
    with db.writing():
        db.run("UPDATE document_parts SET sealed = CAST(substr(sealed, 2) AS BLOB) WHERE start = 0")
    with pytest.raises(InputError):
        ready.show(TASK.task_id)
    assert ready.fetching.waiting()


def test_the_room_that_documents_take_is_bounded(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = counter.known.state.documents
    sha256 = TASK.document_sha256
    with pytest.raises(StorageError) as large:
        kept.add(TASK.task_id, sha256, start=0, size=MAX_DOCUMENT_BYTES + 1, content=b"x")
    assert code_of(large) == "DOCUMENT_TOO_LARGE"
    monkeypatch.setattr("edge.state.documents.MAX_DOCUMENTS_BYTES", 10)
    with pytest.raises(StorageError) as full:
        kept.add(TASK.task_id, sha256, start=0, size=11, content=b"x")
    assert code_of(full) == "DOCUMENTS_FULL"
    assert not kept.add(TASK.task_id, sha256, start=0, size=2, content=b"xyz")  # more than it said
    assert not kept.add(contract_of("nobody's").task_id, sha256, start=0, size=9, content=b"x")


def test_a_cloud_that_hands_out_no_documents_delays_nothing(counter: Counter) -> None:
    class Older(Service):
        def get_task_document(self, *_args: object, **_more: object) -> object:  # type: ignore[override]
            raise refusal("CLOUD_UNIMPLEMENTED")

    [trouble] = counter.sync(Older())
    assert trouble.code == "DOCUMENT_WAITS"
    assert not counter.fetching.waiting()


# The signature


def test_nobody_signs_what_was_not_shown_here(counter: Counter, service: Service) -> None:
    with pytest.raises(InputError) as away_:
        counter.sign(TASK.task_id)
    counter.sync(service)
    with pytest.raises(InputError) as unread:
        counter.sign(TASK.task_id)
    assert (code_of(away_), code_of(unread)) == ("DOCUMENT_AWAY", "DOCUMENT_NOT_READ")
    counter.show(TASK.task_id)
    counter.sign(TASK.task_id)
    assert states(counter) == [(QUEUED, "")]


def test_what_a_person_did_offline_is_handed_in_once_and_its_answer_is_kept(
    ready: Counter, service: Service
) -> None:
    record = ready.sign(TASK.task_id)
    ready.restart()
    assert PICTURE not in ready.at_rest()
    assert ready.sync(service) == []
    [request] = service.calls
    assert (request.task_id, request.evidence.envelope) == (TASK.task_id, record.envelope)
    assert (request.evidence.picture, list(request.evidence.certificates)) == (PICTURE, [b"leaf", b"issuer"])
    statement = parse_statement(parse_envelope(request.evidence.envelope).payload)
    assert (statement.purpose.nonce, statement.purpose.task_id) == (TASK.nonce, TASK.task_id)
    assert statement.purpose.read_sha256 == TASK.document_sha256  # which was shown here, and confirmed
    assert states(ready) == [(COMPLETED, "SIGNED")]
    assert ready.known.state.signatures.all()[0].content == b""  # the picture is not needed any more
    ready.restart()
    assert ready.sync(service) == []
    assert len(service.calls) == 1
    with pytest.raises(InputError) as again:
        ready.sign(TASK.task_id)
    assert code_of(again) == "ALREADY_SIGNED"


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_id(
    ready: Counter, service: Service
) -> None:
    ready.sign(TASK.task_id)
    service.lose = 2
    for _ in range(2):
        with pytest.raises(UplinkError):
            ready.sync(service)
        assert states(ready) == [(QUEUED, "")]
        ready.restart()
    ready.sync(service)
    assert states(ready) == [(COMPLETED, "SIGNED")]
    assert len({request.SerializeToString(deterministic=True) for request in service.calls}) == 1
    assert len(service.calls) == 3


@pytest.mark.parametrize("code", ["CONTRACT_WITHDRAWN", "SIGNING_EXPIRED", "EVIDENCE_PERSON"])
def test_a_refusal_is_final_and_says_why_and_the_person_may_try_again_where_the_task_still_waits(
    ready: Counter, service: Service, code: str
) -> None:
    ready.sign(TASK.task_id)
    service.refuses[TASK.task_id] = refusal(code)
    [trouble] = ready.sync(service)
    assert trouble.code == "SIGNATURE_REFUSED"
    assert states(ready) == [(REFUSED, code)]
    assert not ready.signatures.waiting()
    del service.refuses[TASK.task_id]
    ready.sign(TASK.task_id)
    ready.sync(service)
    assert states(ready) == [(COMPLETED, "SIGNED")]


def test_a_refusal_of_a_task_that_was_withdrawn_meanwhile_is_kept_for_the_operator(
    ready: Counter, service: Service
) -> None:
    ready.sign(TASK.task_id)
    ready.pull(removed_item("lease", kind=sync.DOWN_ITEM_KIND_CONTRACT), cursor="c2")
    service.refuses[TASK.task_id] = refusal("CONTRACT_WITHDRAWN")
    ready.sync(service)
    [row] = ready.known.state.signatures.all()
    assert (row.state, row.reason, row.about.title) == (REFUSED, "CONTRACT_WITHDRAWN", TASK.title)
    with pytest.raises(InputError) as gone:
        ready.sign(TASK.task_id)
    assert code_of(gone) == "TASK_UNKNOWN"


@pytest.mark.parametrize(
    "failure",
    [
        refusal("CLOUD_UNIMPLEMENTED"),
        refusal("DEVICE_PENDING"),
        refusal("PERMISSION_MISSING", FailureKind.AUTH),
        refusal("CLOUD_INTERNAL", FailureKind.TRANSIENT),
    ],
    ids=lambda error: error.failure.code,
)
def test_what_says_nothing_of_the_signature_delays_it_and_nothing_else(
    ready: Counter, service: Service, failure: UplinkError
) -> None:
    second = contract_of("sale")
    ready.pull(item_of(second), cursor="c2")
    service.documents[second.task_id] = DOCUMENT
    ready.sign(TASK.task_id)
    service.refuses[TASK.task_id] = failure
    [trouble] = ready.sync(service)
    assert trouble.code == "SIGNATURE_WAITS"
    assert states(ready) == [(QUEUED, "")]
    assert ready.show(second.task_id) == DOCUMENT  # the other errand went on
    del service.refuses[TASK.task_id]
    ready.clock.advance(RETRY_S)
    ready.sync(service)
    assert states(ready) == [(COMPLETED, "SIGNED")]


@pytest.mark.parametrize("outcome", [Outcome.NOT_MATCHED, Outcome.SPOOF, Outcome.ABORTED])
def test_what_is_not_verified_is_attested_and_never_handed_in(ready: Counter, outcome: Outcome) -> None:
    ready.keeper(TASK.task_id).around(lambda _evidence, _decision: ready.field.verify())(
        ready.evidence(TASK.task_id), Decision(outcome, ("OTHER_PERSON",))
    )
    assert states(ready) == []


# Kills


def test_killed_before_the_record_nothing_is_queued_and_the_person_is_asked_again(ready: Counter) -> None:
    def killed(*_: object) -> StoredRecord:
        raise Killed

    with pytest.raises(Killed):
        ready.keeper(TASK.task_id).around(killed)(
            ready.evidence(TASK.task_id), Decision(Outcome.VERIFIED, ())
        )
    assert states(ready) == [(PREPARED, "")]
    ready.restart()
    assert settle(ready.field.outbox, ready.known.state.signatures) == 0
    assert states(ready) == []
    ready.sign(TASK.task_id)
    assert states(ready) == [(QUEUED, "")]


def test_killed_behind_the_record_the_package_is_put_together_at_the_next_start(
    ready: Counter, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_keeper: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("edge.contracts.keeping.SignatureKeeper._hand_over", killed)
        with pytest.raises(Killed):
            ready.sign(TASK.task_id)
    record = ready.field.outbox.newest(limit=1)[0]
    for _ in range(3):
        ready.field.verify()  # other records follow
    assert states(ready) == [(PREPARED, "")]
    ready.restart()
    ready.sync(service)  # the daemon finds it by itself
    assert states(ready) == [(COMPLETED, "SIGNED")]
    assert [request.evidence.envelope for request in service.calls] == [record.envelope]


def test_while_a_session_is_under_way_nothing_of_it_is_taken_for_abandoned(ready: Counter) -> None:
    def look(*_: object) -> StoredRecord:
        with ready.field.outbox.open_for_sessions():
            assert settle(ready.field.outbox, ready.known.state.signatures) == 0
            assert states(ready) == [(PREPARED, "")]
        raise Killed

    with pytest.raises(Killed):
        ready.keeper(TASK.task_id).around(look)(ready.evidence(TASK.task_id), Decision(Outcome.VERIFIED, ()))


def test_two_processes_sign_a_task_once(ready: Counter) -> None:
    first, second = ready.keeper(TASK.task_id), ready.keeper(TASK.task_id)
    evidence = [ready.evidence(TASK.task_id) for _ in range(2)]
    decision = Decision(Outcome.VERIFIED, ())
    first.around(ready.attest)(evidence[0], decision)
    record = second.around(ready.attest)(evidence[1], decision)  # what was seen is attested all the same
    assert record.attestation_id
    assert states(ready) == [(QUEUED, "")]


def test_a_wipe_leaves_nothing_of_documents_and_signatures(ready: Counter) -> None:
    ready.sign(TASK.task_id)
    db = ready.known.state._db
    with db.writing():
        db.put("wipe", directive_id="d", done=0)
    ready.known.state.finish_wipe(lambda: None)
    for table in ("documents", "document_parts", "signatures"):
        assert db.all(f"SELECT 1 FROM {table}") == []
    assert not ready.signatures.waiting()
    assert not ready.fetching.waiting()


def test_records_go_before_signatures_and_signatures_before_files(ready: Counter) -> None:
    order: list[str] = []

    class Errand:
        def __init__(self, name: str) -> None:
            self.name, self.left = name, 1

        def waiting(self) -> bool:
            return self.left > 0

        def step(self, _uplink: object) -> None:
            self.left -= 1
            order.append(self.name)

    parts = ready.field.parts(lambda: None, ready.known.authority.root_pem)  # type: ignore[arg-type,return-value]
    parts = replace(parts, errands=(Errand("first"), Errand("second")))
    pump = Pump(parts, ready.clock, lambda: 0.5)
    assert pump._aside_waits()
    pump._uplink = object()  # type: ignore[assignment]
    pump._step_aside()
    pump._step_aside()
    assert order == ["first", "second"]
    assert not pump._aside_waits()


def test_a_cloud_that_is_away_ends_the_round_and_nothing_is_lost(ready: Counter, service: Service) -> None:
    ready.sign(TASK.task_id)
    service.refuses[TASK.task_id] = away()
    with pytest.raises(UplinkError):
        ready.sync(service)
    assert states(ready) == [(QUEUED, "")]
    assert ready.signatures.waiting()
