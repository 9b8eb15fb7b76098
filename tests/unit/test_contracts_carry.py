"""Contracts and a cloud whose answers make no sense: it is asked again later, never at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.contracts.carry import RETRY_S
from edge.state.signatures import SignatureState
from tests.support.authority import Authority
from tests.support.offline_signing import (
    DOCUMENT,
    PART_BYTES,
    Counter,
    Service,
    contract_of,
    item_of,
    open_counter,
)
from verifield.v1.signing_service_pb2 import SubmitOfflineSignatureRequest, SubmitOfflineSignatureResponse
from verifield.v1.task_service_pb2 import GetTaskDocumentResponse

TASK = contract_of("lease")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with open_counter(tmp_path, Authority.create()) as opened:
        opened.pull(item_of(TASK))
        yield opened


class OddService(Service):
    """``size``: of a document, where another is said than is true. ``state``: what became of a signature."""

    size: int | None = None
    state: int | None = None

    def get_task_document(self, task_id: str, *, sha256: bytes, start: int) -> GetTaskDocumentResponse:
        part = super().get_task_document(task_id, sha256=sha256, start=start)
        if self.size is not None:
            part.size_bytes = self.size
        return part

    def submit_signature(self, request: SubmitOfflineSignatureRequest) -> SubmitOfflineSignatureResponse:
        answer = super().submit_signature(request)
        if self.state is not None:
            answer.state = self.state  # type: ignore[assignment]
        return answer


@pytest.fixture
def service() -> OddService:
    return OddService(documents={TASK.task_id: DOCUMENT})


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES + 1])
def test_a_document_longer_than_it_says_is_asked_for_again_only_later(
    counter: Counter, service: OddService, size: int
) -> None:
    service.size = size
    troubles = counter.sync(service)
    assert ["CLOUD_ANSWER" in trouble.message for trouble in troubles] == [True]
    assert len(service.parts) <= 2
    service.size = None
    for _ in range(2):  # what came before is thrown away for another size, and begun anew
        counter.clock.advance(RETRY_S)
        counter.sync(service)
    assert counter.show(TASK.task_id) == DOCUMENT


@pytest.mark.parametrize("state", [0, 99])
def test_a_state_that_this_version_does_not_know_is_asked_for_again_later(
    counter: Counter, service: OddService, state: int
) -> None:
    counter.sync(service)
    counter.show(TASK.task_id)
    counter.sign(TASK.task_id)
    service.state = state
    [trouble] = counter.sync(service)
    assert trouble.code == "SIGNATURE_WAITS"
    assert counter.known.state.signatures.count(SignatureState.QUEUED) == 1
    service.state = None
    counter.clock.advance(RETRY_S)
    assert counter.sync(service) == []
    [row] = counter.known.state.signatures.all()
    assert (row.state, row.reason) == (SignatureState.COMPLETED, "SIGNED")
