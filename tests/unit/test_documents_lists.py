"""A newer list of revoked signers that somebody gives: it is used, or it is said that it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from cloud.signers.certificates import RevokedSigner, revocation_list
from cloud.signers.tsa import EmbeddedAuthority
from cloud.sources import Sources
from tests.support.documents import Notary, named, place
from verifield.documents import Code, Finding, Outcome
from verifield.documents_cli import ExitCode, document
from verifield.revocation import MAX_REVOCATION_LIST_BYTES
from verifield.v1 import document_service_pb2 as pb


@dataclass(frozen=True)
class Wronged:
    """A closed document whose signer was revoked behind it, for not being who was named."""

    notary: Notary
    file: Path
    root: Path
    list_: bytes

    def ask(self, *words: str) -> tuple[int, str]:
        """Exit status, and the outcome or the error's code."""
        app = typer.Typer()
        app.command("document")(document)
        answer = CliRunner().invoke(app, [str(self.file), "--root", str(self.root), "--json", *words])
        said = json.loads(answer.stdout)
        return answer.exit_code, said["error"]["code"] if "error" in said else said["outcome"]


@pytest.fixture(scope="module")
def wronged(tmp_path_factory: pytest.TempPathFactory) -> Wronged:
    folder = tmp_path_factory.mktemp("wronged")
    notary = Notary(folder / "notary", now=datetime.now(UTC) - timedelta(hours=1))
    signer = notary.identity()
    content = notary.finished(notary.signed(notary.frozen([place("A", "one")]), [named("A")], signer))
    revoke(notary, signer.certificate)
    file, root = folder / "contract.pdf", folder / "root.pem"
    file.write_bytes(content)
    root.write_bytes(notary.root.public_bytes(Encoding.PEM))
    return Wronged(notary, file, root, notary.store.run(notary.authority.crl))


def revoke(notary: Notary, certificate: x509.Certificate) -> None:
    serial, reason = f"{certificate.serial_number:x}", pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY
    notary.store.run(lambda connection: notary.authority.revoke(connection, serial, reason))


def of_another(one: Wronged, folder: Path) -> bytes:
    other = Notary(folder / "other", now=one.notary.now)
    return other.store.run(other.authority.crl)


def too_long(one: Wronged, _: Path) -> bytes:
    revoked = RevokedSigner(1, one.notary.now, x509.ReasonFlags.key_compromise, None)
    each = len(revocation_list(one.notary.keys.signers, [revoked], number=1, now=one.notary.now)) // 10
    many = [
        RevokedSigner((1 << 150) + number, one.notary.now, x509.ReasonFlags.key_compromise, one.notary.now)
        for number in range(MAX_REVOCATION_LIST_BYTES // each)
    ]
    made = revocation_list(one.notary.keys.signers, many, number=1, now=one.notary.now)
    assert len(made) > MAX_REVOCATION_LIST_BYTES
    return made


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (lambda one, _: one.list_, ExitCode.UNKNOWN, "UNKNOWN"),
        (
            lambda one, _: x509.load_der_x509_crl(one.list_).public_bytes(Encoding.PEM),
            ExitCode.UNKNOWN,
            "UNKNOWN",
        ),
        (lambda one, _: one.list_[:-5], ExitCode.MALFORMED, "REVOCATION_LIST"),
        (lambda _one, _: b"<html>404</html>", ExitCode.MALFORMED, "REVOCATION_LIST"),
        (lambda _one, _: b"-----BEGIN X509 CRL-----\n", ExitCode.MALFORMED, "REVOCATION_LIST"),
        (lambda _one, _: b"", ExitCode.MALFORMED, "REVOCATION_LIST"),
        (too_long, ExitCode.MALFORMED, "REVOCATION_LIST"),
        (of_another, ExitCode.UNTRUSTED, "REVOCATION_ISSUER"),
    ],
    ids=["der", "pem", "cut", "page", "cut-pem", "empty", "too-long", "of-another"],
)
def test_a_list_that_cannot_be_used_is_never_passed_over(
    wronged: Wronged,
    tmp_path: Path,
    given: Callable[[Wronged, Path], bytes],
    status: ExitCode,
    said: str,
) -> None:
    assert wronged.ask() == (ExitCode.OK, "VALID")  # by the list inside, which is older than the revocation
    path = tmp_path / "given.crl"
    path.write_bytes(given(wronged, tmp_path))
    assert wronged.ask("--revocations", str(path)) == (status, said)


@pytest.mark.parametrize("behind_s", [0, 2, 59])
def test_from_the_beginning_counts_whatever_the_time_stamps_clock_says(tmp_path: Path, behind_s: int) -> None:
    """An authority's clock may be behind that of the service by the tolerance."""
    notary = Notary(tmp_path / "notary")
    notary.stamper = EmbeddedAuthority(
        notary.keys,
        Sources(
            now=lambda: notary.now - timedelta(seconds=behind_s), random_bytes=notary.sources.random_bytes
        ),
    )
    signer = notary.identity()
    content = notary.finished(notary.signed(notary.frozen([place("A", "one")]), [named("A")], signer))
    assert notary.judged(content).outcome is Outcome.VALID
    revoke(notary, signer.certificate)
    verdict = notary.judged(content)
    assert (verdict.outcome, verdict.findings) == (Outcome.UNKNOWN, (Finding(Code.REVOKED, "A"),))
