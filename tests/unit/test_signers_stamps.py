"""Time-stamps: the embedded authority before other programs, and authorities of others over HTTP."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response

from cloud.pdf.ports import StampUnavailable
from cloud.signers.stamps import MAX_ANSWER_BYTES, HttpAuthority, Limits, Stampers
from cloud.signers.tsa import EmbeddedAuthority, Refusal
from tests.support.documents import START, Notary, named, place
from verifield.documents.identifiers import STAMP_POLICY
from verifield.documents.judging import judge
from verifield.documents.tokens import check_token
from verifield.documents.verdict import Outcome
from verifield.errors import Forged, Malformed, Untrusted

MESSAGE = b"what is stamped"
DIGEST = hashlib.sha256(MESSAGE).digest()
LIMITS = Limits(timeout=timedelta(seconds=5), tolerance=timedelta(seconds=60))

Answer = Callable[[bytes], "bytes | Spoken"]


class Spoken:
    """An answer of another status, type or shape."""

    def __init__(
        self, content: bytes, *, status: int = 200, kind: str = "application/timestamp-reply"
    ) -> None:
        self.content = content
        self.status = status
        self.kind = kind


@pytest.fixture(scope="module")
def notary(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    return Notary(tmp_path_factory.mktemp("notary"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    """Somebody else, who also stamps."""
    return Notary(tmp_path_factory.mktemp("other"))


def embedded(notary: Notary) -> EmbeddedAuthority:
    return EmbeddedAuthority(notary.keys, notary.sources)


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """An authority over HTTP that answers as ``answer`` says; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = answer(self.rfile.read(int(self.headers["Content-Length"])))
            spoken = given if isinstance(given, Spoken) else Spoken(given)
            self.send_response(spoken.status)
            self.send_header("Content-Type", spoken.kind)
            self.send_header("Content-Length", str(len(spoken.content)))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(spoken.content)

        def log_message(self, *_args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stamp"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def authority(notary: Notary, url: str, limits: Limits = LIMITS) -> HttpAuthority:
    return HttpAuthority(url, roots=[notary.root], limits=limits, sources=notary.sources)


def test_openssl_takes_our_time_stamps(notary: Notary, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "root.pem").write_bytes(pem(notary.root))
    run(openssl, "ts", "-query", "-data", "message", "-sha256", "-cert", "-out", "query", cwd=tmp_path)
    (tmp_path / "reply").write_bytes(embedded(notary).answer((tmp_path / "query").read_bytes()))
    verify = [openssl, "ts", "-verify", "-queryfile", "query", "-in", "reply", "-CAfile", "root.pem"]
    at = ["-attime", str(int(START.timestamp()) + 60)]
    assert "Verification: OK" in run(*verify, *at, cwd=tmp_path)
    (tmp_path / "other").write_bytes(b"something else")
    with pytest.raises(subprocess.CalledProcessError):
        run(*verify[:3], "-data", "other", *verify[5:], *at, cwd=tmp_path)


def test_rfc3161_client_takes_our_time_stamps(notary: Notary) -> None:
    request = TimestampRequestBuilder().data(MESSAGE).build()
    response = decode_timestamp_response(embedded(notary).answer(request.as_bytes()))
    verifier = VerifierBuilder().add_root_certificate(notary.root).build()
    assert verifier.verify_message(response, MESSAGE)
    assert response.tst_info.gen_time == START
    assert response.tst_info.nonce == request.nonce


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda request: b"", "bad_data_format"),
        (lambda request: request[:-1], "bad_data_format"),
        (lambda request: b"0" * 5000, "bad_data_format"),
        (lambda request: asked("sha1", 20), "bad_alg"),
        (lambda request: asked("sha256", 31), "bad_data_format"),
        (lambda request: asked("sha256", 32, req_policy="1.2.3.4"), "unaccepted_policy"),
    ],
)
def test_what_cannot_be_stamped_is_refused(
    notary: Notary, change: Callable[[bytes], bytes], fault: str
) -> None:
    answer = Refusal.load(embedded(notary).answer(change(asked("sha256", 32))))
    assert answer["status"]["status"].native == "rejection"
    assert answer["status"]["fail_info"].native == {fault}


def test_policy_and_certificates_are_as_asked(notary: Notary) -> None:
    request = asked("sha512", 64, req_policy=STAMP_POLICY, cert_req=False)
    answer = tsp.TimeStampResp.load(embedded(notary).answer(request))
    signed = answer["time_stamp_token"]["content"]
    assert signed["certificates"].native is None
    assert signed["encap_content_info"]["content"].parsed["policy"].native == STAMP_POLICY


def test_a_clock_outside_of_the_certificate_stamps_nothing(tmp_path: Path) -> None:
    notary = Notary(tmp_path)
    notary.now = START + timedelta(days=30 * 365)
    with pytest.raises(StampUnavailable):
        embedded(notary).stamp(DIGEST)


def test_tokens_are_checked(notary: Notary, other: Notary) -> None:
    token = embedded(notary).stamp(DIGEST)
    assert check_token(token, DIGEST, roots=[notary.root]).time == START
    with pytest.raises(Forged):
        check_token(token, hashlib.sha256(b"other").digest(), roots=[notary.root])
    with pytest.raises(Untrusted):
        check_token(token, DIGEST, roots=[other.root])
    for broken in (b"", token[:-1], b"\0" * 70_000):
        with pytest.raises(Malformed):
            check_token(broken, DIGEST, roots=[notary.root])


@pytest.mark.req("R156")
def test_the_token_time_is_that_of_the_service(notary: Notary) -> None:
    """Within a second for the embedded authority; within the tolerance for another one."""
    assert abs(check_token(embedded(notary).stamp(DIGEST), DIGEST, roots=[notary.root]).time - notary.now) < (
        timedelta(seconds=1)
    )
    for minutes, good in ((0, True), (0.9, True), (5, False), (-5, False)):
        wrong = Notary.of(notary, at=notary.now + timedelta(minutes=minutes))
        with serving(embedded(wrong).answer) as url:
            if good:
                assert check_token(authority(notary, url).stamp(DIGEST), DIGEST, roots=[notary.root])
            else:
                with pytest.raises(StampUnavailable, match="clock"):
                    authority(notary, url).stamp(DIGEST)


@pytest.mark.req("R156")
def test_with_the_authority_down_nothing_is_signed(notary: Notary, tmp_path: Path) -> None:
    """No time of our own in its place: signing stops, and the document stays as it was."""
    document = notary.frozen([place("name1", "first")])
    down = Notary.of(notary, at=notary.now)
    down.stamper = Stampers([authority(notary, "http://127.0.0.1:9/stamp")])
    with pytest.raises(StampUnavailable):
        down.signed(document, [named("name1")])
    with pytest.raises(StampUnavailable):
        down.frozen([place("name1", "first")])
    assert not notary.judged(document).complete


BAD: dict[str, Callable[[Notary, Notary, bytes], bytes | Spoken]] = {
    "refuses": lambda ours, _, request: embedded(ours).answer(request[:-1]),
    "fails": lambda ours, _, request: Spoken(embedded(ours).answer(request), status=503),
    "sends elsewhere": lambda ours, _, request: Spoken(b"", status=302),
    "answers as a web page": lambda ours, _, request: Spoken(
        embedded(ours).answer(request), kind="text/html"
    ),
    "answers too much": lambda ours, _, request: b"0" * (MAX_ANSWER_BYTES + 1),
    "answers nonsense": lambda ours, _, request: b"nonsense",
    "answers another request": lambda ours, _, request: embedded(ours).answer(asked("sha256", 32)),
    "stamps something else": lambda ours, _, request: embedded(ours).answer(
        asked("sha256", 32, nonce=tsp.TimeStampReq.load(request)["nonce"].native)
    ),
    "leaves the number out": lambda ours, _, request: without_nonce(ours, request),
    "names its signer by key": lambda ours, _, request: changed(embedded(ours).answer(request), by_key),
    "adds what nothing signs": lambda ours, _, request: changed(embedded(ours).answer(request), with_more),
    "is somebody else": lambda _, other, request: embedded(other).answer(request),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_authority_is_passed_over(notary: Notary, other: Notary, fault: str) -> None:
    with (
        serving(lambda request: BAD[fault](notary, other, request)) as bad,
        serving(embedded(notary).answer) as good,
    ):
        with pytest.raises(StampUnavailable):
            authority(notary, bad).stamp(DIGEST)
        both = Stampers([authority(notary, bad), authority(notary, good)])
        assert check_token(both.stamp(DIGEST), DIGEST, roots=[notary.root])


@pytest.mark.parametrize("known", ["the newer root", "the older root"])
def test_a_root_that_another_one_vouches_for(
    notary: Notary, other: Notary, known: str, tmp_path: Path
) -> None:
    """Tokens carry the cross-certificate, which leads to a root that may not be known: documents are good."""
    signing = Notary.of(notary, at=notary.now)
    older, crossed = older_root(other)
    root = other.root if known == "the newer root" else older
    with serving(lambda request: changed(embedded(other).answer(request), beside(crossed))) as url:
        signing.stamper = HttpAuthority(url, roots=[root], limits=LIMITS, sources=notary.sources)
        token = signing.stamper.stamp(DIGEST)
        frozen = signing.frozen([place("name1", "first")])
        document = signing.finished(signing.signed(frozen, [named("name1")]))
    for name, content in (("message", MESSAGE), ("token", token), ("root.pem", pem(root))):
        (tmp_path / name).write_bytes(content)
    verify = ["openssl", "ts", "-verify", "-data", "message", "-token_in", "-in", "token"]
    at = ["-attime", str(int(START.timestamp()) + 60)]
    assert "Verification: OK" in run(*verify, "-CAfile", "root.pem", *at, cwd=tmp_path)
    later = signing.now + timedelta(minutes=1)
    verdict = judge(document, roots=[signing.root], stamp_roots=[root], at=later)
    assert (verdict.outcome, verdict.findings) == (Outcome.VALID, ())


def test_a_time_stamp_that_no_document_has_room_for_is_passed_over(
    notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(embedded(notary).stamp(DIGEST))
    with serving(embedded(notary).answer) as url:
        monkeypatch.setattr("cloud.signers.stamps.MAX_TOKEN", length // 2)
        with pytest.raises(StampUnavailable, match="too large"):
            authority(notary, url).stamp(DIGEST)


def test_an_authority_that_says_nothing_is_not_waited_for(notary: Notary) -> None:
    """The bound is on all of it, however slowly it drips."""
    ended = threading.Event()
    short = Limits(timeout=timedelta(seconds=0.3), tolerance=timedelta(seconds=60))

    def silent(request: bytes) -> bytes:
        ended.wait(20)
        return b""

    with serving(silent) as url:
        try:
            with pytest.raises(StampUnavailable, match="TimeoutError"):
                authority(notary, url, short).stamp(DIGEST)
        finally:
            ended.set()


def test_the_embedded_authority_never_steps_in_for_others(notary: Notary) -> None:
    stampers = Stampers.open(
        embedded(notary),
        ["http://127.0.0.1:9/stamp"],
        roots=[notary.root],
        limits=LIMITS,
        sources=notary.sources,
    )
    with pytest.raises(StampUnavailable):
        stampers.stamp(DIGEST)
    alone = Stampers.open(embedded(notary), [], roots=[], limits=LIMITS, sources=notary.sources)
    assert check_token(alone.stamp(DIGEST), DIGEST, roots=[notary.root])


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def asked(algorithm: str, length: int, **more: Any) -> bytes:
    request = tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": {
                "hash_algorithm": {"algorithm": algorithm},
                "hashed_message": b"\x07" * length,
            },
            "cert_req": True,
            **more,
        }
    )
    return bytes(request.dump())


def without_nonce(notary: Notary, request: bytes) -> bytes:
    """A token over the right digest that anybody may have asked for before."""
    token = cms.ContentInfo.load(
        embedded(notary).stamp(tsp.TimeStampReq.load(request)["message_imprint"]["hashed_message"].native)
    )
    status = tsp.PKIStatusInfo({"status": "granted"})
    return bytes(tsp.TimeStampResp({"status": status, "time_stamp_token": token}).dump())


def changed(answer: bytes, change: Callable[[cms.SignedData], None]) -> bytes:
    """The answer with its token changed where nothing signs it."""
    parsed = tsp.TimeStampResp.load(answer)
    change(parsed["time_stamp_token"]["content"])
    return bytes(parsed.dump())


def by_key(signed: cms.SignedData) -> None:
    """Name the signer as RFC 5652, 5.3 allows it too."""
    [signer] = signed["signer_infos"]
    [key] = [one.chosen.key_identifier for one in signed["certificates"] if not one.chosen.ca]
    signer["version"] = "v3"
    signer["sid"] = cms.SignerIdentifier(name="subject_key_identifier", value=key)


def with_more(signed: cms.SignedData) -> None:
    """An attribute that is not signed."""
    [signer] = signed["signer_infos"]
    signer["unsigned_attrs"] = [{"type": "signing_time", "values": [cms.Time({"utc_time": START})]}]


def beside(certificate: x509.Certificate) -> Callable[[cms.SignedData], None]:
    """Carry ``certificate`` along."""

    def change(signed: cms.SignedData) -> None:
        more = cms.CertificateChoices.load(certificate.public_bytes(Encoding.DER))
        signed["certificates"] = [*signed["certificates"], more]

    return change


def older_root(notary: Notary) -> tuple[x509.Certificate, x509.Certificate]:
    """A root, and its certificate for the key of the root of ``notary``."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Older root")])
    key = ec.generate_private_key(ec.SECP256R1())
    usage = notary.root.extensions.get_extension_for_class(x509.KeyUsage)

    def issued(subject: x509.Name, public_key: CertificatePublicKeyTypes) -> x509.Certificate:
        return (
            x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
            .not_valid_before(START - timedelta(days=1))
            .not_valid_after(START + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage.value, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(key, SHA256())
        )

    return issued(issuer, key.public_key()), issued(notary.root.subject, notary.root.public_key())
