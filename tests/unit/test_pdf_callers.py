"""Whatever cloud.pdf refuses reaches whoever called as an error with a code, never as an internal fault."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.approvals import sealing
from cloud.contracts import freezing
from cloud.errors import Reason, ServiceError
from cloud.pdf.fields import Misplaced, PlacesRefused
from cloud.pdf.intake import PdfRefused, Why
from cloud.pdf.marks import MarkRefused
from cloud.pdf.ports import StampUnavailable
from cloud.pdf.sign import SignRefused
from tests.support.documents import START

REFUSALS = (
    PdfRefused(Why.DAMAGED, "damaged"),
    PlacesRefused(Misplaced.OUTSIDE, 0, "outside"),
    SignRefused("signed already"),
    MarkRefused("no picture"),
)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def room() -> dict[str, Any]:
    """What callers have around them; none of it is reached before the refusal."""
    nothing = SimpleNamespace(platform=lambda *_, **__: None, authority=SimpleNamespace(), stamper=None)
    nothing.authority = nothing
    return {
        "signers": nothing,
        "store": SimpleNamespace(run=lambda work: (None, None)),
        "sources": SimpleNamespace(now=lambda: START),
    }


@pytest.mark.parametrize("error", REFUSALS[:3], ids=lambda error: type(error).__name__)
def test_a_contract_that_cannot_be_frozen(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(freezing, "freeze", raising(error))
    with pytest.raises(ServiceError) as caught:
        freezing.PlatformFreezer(**room()).freeze(b"", ())
    assert caught.value.reason is Reason.CONTRACT_PDF_REFUSED


@pytest.mark.parametrize("step", ["picture_mark", "freeze", "sign", "finish"])
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_an_approval_that_cannot_be_sealed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        seal(monkeypatch, step, error)
    assert caught.value.reason is Reason.APPROVAL_DOCUMENT_REFUSED


def test_an_approval_without_a_time_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError) as caught:
        seal(monkeypatch, "freeze", StampUnavailable("away"))
    assert caught.value.reason is Reason.APPROVAL_STAMP_UNAVAILABLE


def seal(monkeypatch: pytest.MonkeyPatch, step: str, error: Exception) -> None:
    done = SimpleNamespace(content=b"", parts=())
    for name in ("picture_mark", "freeze", "sign", "finish"):
        monkeypatch.setattr(sealing, name, raising(error) if name == step else lambda *_, **__: done)
    around = room()
    around["store"].reading = Reading
    around["signers"].crls = lambda connection: ()
    around["signers"].chain = ()
    given: Any = SimpleNamespace(
        seal=SimpleNamespace(image_png=b""), row=SimpleNamespace(approval_id="approval")
    )
    sealing.Sealer(**around, seals=SimpleNamespace()).seal(b"", (), given, caller="somebody")  # type: ignore[arg-type]


class Reading:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
