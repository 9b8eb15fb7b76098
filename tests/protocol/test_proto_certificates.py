"""Certificate chains: the profile as issued, and everything that must not pass for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.authority import CA_LIFETIME, LEAF_LIFETIME, NOW, ORIGIN, Authority, der, new_key
from verifield.certificates import (
    MAX_CERTIFICATE_BYTES,
    MAX_CHAIN,
    MAX_ROOT_BYTES,
    MAX_ROOTS,
    Purpose,
    check_chain,
    common_name,
    load_roots,
    log_key,
    parse_certificate,
    signing_key,
)
from verifield.errors import Malformed, Unknown, Untrusted, VerifieldError
from verifield.profile import (
    BACKDATE,
    Usage,
    device_id_of,
    issuing_certificate,
    leaf_certificate,
    root_certificate,
)

BASIC = (x509.BasicConstraints(ca=False, path_length=None), True)
CA = (x509.BasicConstraints(ca=True, path_length=None), True)
USAGE = (x509.KeyUsage(True, *[False] * 8), True)
PURPOSE = (x509.ExtendedKeyUsage([Purpose.ATTESTATION.oid]), False)
STRANGE = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def chain(authority: Authority) -> list[bytes]:
    return authority.enroll("device-1").chain


def custom_leaf(
    authority: Authority, *extensions: tuple[x509.ExtensionType, bool], names: tuple[str, ...] = ("device-1",)
) -> bytes:
    """A leaf under the issuing CA with exactly these extensions."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]))
        .issuer_name(authority.issuing.subject)
        .public_key(new_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + LEAF_LIFETIME)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return der(builder.sign(authority.issuing_key, SHA256()))


@pytest.mark.parametrize("purpose", Purpose)
def test_a_chain_passes_for_its_own_purpose_only(authority: Authority, purpose: Purpose) -> None:
    key = Ed25519PrivateKey.generate() if purpose is Purpose.LOG else new_key()
    chain = authority.issue(key.public_key(), name="some-name", purpose=purpose)
    assert der(check_chain(chain, roots=[authority.root], at=NOW, purpose=purpose)) == chain[0]
    for other in set(Purpose) - {purpose}:
        with pytest.raises(Untrusted) as caught:
            check_chain(chain, roots=[authority.root], at=NOW, purpose=other)
        assert caught.value.code == "CERTIFICATE_PURPOSE"


@pytest.mark.parametrize("usage", ["tls_client", "tls_server"])
def test_a_tls_certificate_signs_no_attestation(authority: Authority, usage: Usage) -> None:
    leaf = leaf_certificate(
        issuer_cert=authority.issuing,
        issuer_key=authority.issuing_key,
        public_key=new_key().public_key(),
        common_name="device-1",
        purpose=usage,
        now=NOW,
        lifetime=LEAF_LIFETIME,
        san=["cloud.example", "127.0.0.1", "::1"],
    )
    with pytest.raises(Untrusted) as caught:
        check_chain(
            [der(leaf), der(authority.issuing)], roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION
        )
    assert caught.value.code == "CERTIFICATE_PURPOSE"
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    expected = ExtendedKeyUsageOID.CLIENT_AUTH if usage == "tls_client" else ExtendedKeyUsageOID.SERVER_AUTH
    assert list(usages) == [expected]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cloud.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_validity_counts_at_the_given_time_to_the_second(authority: Authority, chain: list[bytes]) -> None:
    first, last, second = NOW - BACKDATE, NOW + LEAF_LIFETIME, timedelta(seconds=1)
    for at in (first, last):
        check_chain(chain, roots=[authority.root], at=at, purpose=Purpose.ATTESTATION)
    for at in (first - second, last + second):
        with pytest.raises(Untrusted) as caught:
            check_chain(chain, roots=[authority.root], at=at, purpose=Purpose.ATTESTATION)
        assert caught.value.code == "CERTIFICATE_TIME"


def test_an_expired_issuer_or_root_ends_the_trust(authority: Authority) -> None:
    key = new_key()
    chain = authority.issue(
        key.public_key(),
        name="device-1",
        purpose=Purpose.ATTESTATION,
        lifetime=CA_LIFETIME + timedelta(days=9),
    )
    check_chain(chain, roots=[authority.root], at=NOW + CA_LIFETIME, purpose=Purpose.ATTESTATION)
    with pytest.raises(Untrusted) as caught:
        check_chain(
            chain,
            roots=[authority.root],
            at=NOW + CA_LIFETIME + timedelta(days=1),
            purpose=Purpose.ATTESTATION,
        )
    assert caught.value.code == "CHAIN"


def test_another_root_is_refused_even_with_the_same_name(authority: Authority, chain: list[bytes]) -> None:
    other = Authority.create()
    assert other.root.subject == authority.root.subject
    with pytest.raises(Untrusted) as caught:
        check_chain(chain, roots=[other.root], at=NOW, purpose=Purpose.ATTESTATION)
    assert caught.value.code == "CHAIN"
    check_chain(chain, roots=[other.root, authority.root], at=NOW, purpose=Purpose.ATTESTATION)


def test_no_root_at_all_is_an_error_of_the_caller(chain: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no root"):
        check_chain(chain, roots=[], at=NOW, purpose=Purpose.ATTESTATION)


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param((BASIC, USAGE), id="no purpose"),
        pytest.param((BASIC, PURPOSE), id="no key usage"),
        pytest.param((USAGE, PURPOSE), id="no basic constraints"),
        pytest.param((CA, USAGE, PURPOSE), id="a CA as signer"),
        pytest.param((BASIC, USAGE, PURPOSE, STRANGE), id="unknown critical extension"),
        pytest.param((BASIC, (USAGE[0], False), PURPOSE), id="key usage not critical"),
        pytest.param((BASIC, (x509.KeyUsage(False, True, *[False] * 7), True), PURPOSE), id="may not sign"),
        pytest.param(
            (BASIC, USAGE, (x509.ExtendedKeyUsage([Purpose.ATTESTATION.oid, Purpose.LOG.oid]), False)),
            id="two purposes",
        ),
        pytest.param(
            (BASIC, USAGE, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
            id="any purpose",
        ),
    ],
)
def test_leaves_outside_the_profile_are_untrusted(
    authority: Authority, extensions: tuple[tuple[x509.ExtensionType, bool], ...]
) -> None:
    good = [custom_leaf(authority, BASIC, USAGE, PURPOSE), der(authority.issuing)]
    check_chain(good, roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)
    bad = [custom_leaf(authority, *extensions), der(authority.issuing)]
    with pytest.raises(Untrusted):
        check_chain(bad, roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)


def test_a_device_cannot_issue_a_device(authority: Authority) -> None:
    device = authority.enroll("device-1")
    child = leaf_certificate(
        issuer_cert=device.certificate,
        issuer_key=device.key,
        public_key=new_key().public_key(),
        common_name="device-2",
        purpose=Purpose.ATTESTATION,
        now=NOW,
        lifetime=LEAF_LIFETIME,
    )
    with pytest.raises(Untrusted):
        check_chain([der(child), *device.chain], roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)


def test_an_issuing_ca_cannot_make_another(authority: Authority) -> None:
    sub_key, key = new_key(), new_key()
    sub = issuing_certificate(
        issuer_cert=authority.issuing,
        issuer_key=authority.issuing_key,
        public_key=sub_key.public_key(),
        name="Sub",
        now=NOW,
        lifetime=CA_LIFETIME,
    )
    leaf = leaf_certificate(
        issuer_cert=sub,
        issuer_key=sub_key,
        public_key=key.public_key(),
        common_name="device-1",
        purpose=Purpose.ATTESTATION,
        now=NOW,
        lifetime=LEAF_LIFETIME,
    )
    chain = [der(leaf), der(sub), der(authority.issuing)]
    with pytest.raises(Untrusted):
        check_chain(chain, roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)


def test_the_chain_is_exactly_leaf_to_issuer(authority: Authority, chain: list[bytes]) -> None:
    for wrong in (
        chain[:1],
        chain[::-1],
        [*chain, der(authority.root)],
        [*chain, chain[1]],
        [chain[0], *chain],
    ):
        with pytest.raises(Untrusted):
            check_chain(wrong, roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)


@pytest.mark.parametrize("length", [0, MAX_CHAIN + 1])
def test_a_chain_has_one_to_four_certificates(authority: Authority, chain: list[bytes], length: int) -> None:
    with pytest.raises(Malformed) as caught:
        check_chain([chain[0]] * length, roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)
    assert caught.value.code == "CHAIN_LENGTH"


def test_no_flipped_bit_of_a_certificate_passes_or_crashes(authority: Authority, chain: list[bytes]) -> None:
    for index in range(len(chain[0])):
        damaged = bytearray(chain[0])
        damaged[index] ^= 1 << index % 8
        with pytest.raises(VerifieldError):
            check_chain(
                [bytes(damaged), chain[1]], roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION
            )


@pytest.mark.parametrize(
    "tag", [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x17, 0x18, 0x30, 0x31, 0xA0]
)
def test_no_other_type_of_a_part_passes_or_crashes(
    authority: Authority, chain: list[bytes], tag: int
) -> None:
    """Each byte in turn becomes a tag of DER: a name made of bits, a time made of text, and so on."""
    for index in range(len(chain[0])):
        damaged = bytes([*chain[0][:index], tag, *chain[0][index + 1 :]])
        if damaged == chain[0]:
            continue
        with pytest.raises(VerifieldError):
            check_chain([damaged, chain[1]], roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)


def test_the_longest_chain_passes(authority: Authority) -> None:
    """Of another deployment, whose root sets no limit of its own to the path."""
    keys = [new_key() for _ in range(MAX_CHAIN)]
    certificates: list[x509.Certificate] = []
    for level, key in enumerate(keys):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {level}")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(certificates[-1].subject if certificates else subject)
            .public_key(key.public_key())
            .serial_number(level + 1)
            .not_valid_before(NOW)
            .not_valid_after(NOW + LEAF_LIFETIME)
            .add_extension(*CA)
            .add_extension(x509.KeyUsage(*[False] * 5, True, True, False, False), critical=True)
        )
        certificates.append(builder.sign(keys[max(level - 1, 0)], SHA256()))
    root, *issuers = certificates
    leaf = leaf_certificate(
        issuer_cert=issuers[-1],
        issuer_key=keys[-1],
        public_key=new_key().public_key(),
        common_name="device-1",
        purpose=Purpose.ATTESTATION,
        now=NOW + BACKDATE,
        lifetime=LEAF_LIFETIME,
    )
    chain = [der(certificate) for certificate in (leaf, *reversed(issuers))]
    assert len(chain) == MAX_CHAIN
    assert check_chain(chain, roots=[root], at=NOW + BACKDATE, purpose=Purpose.ATTESTATION) == leaf


def test_a_large_certificate_is_refused_unparsed(authority: Authority, chain: list[bytes]) -> None:
    def padded(size: int) -> bytes:
        filling = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
        return custom_leaf(authority, BASIC, (filling, False))

    sample = padded(15_000)
    usual = len(sample) - len(x509.load_der_x509_certificate(sample).signature) + 71  # of 70 to 72 bytes
    size = MAX_CERTIFICATE_BYTES - usual + 15_000
    while len(largest := padded(size)) != MAX_CERTIFICATE_BYTES:
        pass
    parse_certificate(largest)
    while len(larger := padded(size + 1)) != MAX_CERTIFICATE_BYTES + 1:
        pass
    for data in (b"", larger, chain[0] + b"\0"):
        with pytest.raises(Malformed):
            parse_certificate(data)


def test_keys_of_other_kinds_are_unknown(authority: Authority) -> None:
    log = x509.load_der_x509_certificate(authority.log_chain[0])
    device = x509.load_der_x509_certificate(authority.receipt_chain[0])
    assert signing_key(device) == authority.receipt_key.public_key()
    assert log_key(log) == authority.log_key.public_key()
    with pytest.raises(Unknown):
        signing_key(log)
    with pytest.raises(Unknown):
        log_key(device)
    p384 = authority.issue(
        ec.generate_private_key(ec.SECP384R1()).public_key(), name="device-1", purpose=Purpose.ATTESTATION
    )
    with pytest.raises(Unknown):
        signing_key(x509.load_der_x509_certificate(p384[0]))


def test_names_are_read_strictly(authority: Authority) -> None:
    assert common_name(x509.load_der_x509_certificate(authority.log_chain[0])) == ORIGIN
    assert device_id_of(authority.enroll("device-1").certificate) == "device-1"
    for names in ((), ("device-1", "device-2"), ("not a device",)):
        with pytest.raises(Malformed):
            device_id_of(x509.load_der_x509_certificate(custom_leaf(authority, BASIC, names=names)))


def test_a_certificate_without_a_device_id_is_never_issued(authority: Authority) -> None:
    with pytest.raises(Malformed):
        authority.enroll("no device id")


def test_roots_are_loaded_from_pem(authority: Authority) -> None:
    other = Authority.create()
    assert load_roots(authority.root_pem + other.root_pem) == [authority.root, other.root]
    assert len(load_roots(authority.root_pem * MAX_ROOTS)) == MAX_ROOTS
    with pytest.raises(Malformed):
        load_roots(authority.root_pem * (MAX_ROOTS + 1))
    comment = b"#" * (MAX_ROOT_BYTES - len(authority.root_pem) - 1) + b"\n"
    assert load_roots(comment + authority.root_pem) == [authority.root]
    with pytest.raises(Malformed):
        load_roots(comment + authority.root_pem + b"\n")


def test_what_is_no_root_is_refused(authority: Authority) -> None:
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + LEAF_LIFETIME)
    )
    no_ca = builder.add_extension(*BASIC).sign(key, SHA256())
    bare = builder.sign(key, SHA256())
    forged = builder.add_extension(*CA).sign(new_key(), SHA256())
    for certificate in (authority.issuing, no_ca, bare, forged):
        with pytest.raises(Malformed) as caught:
            load_roots(certificate.public_bytes(Encoding.PEM))
        assert caught.value.code == "ROOT_FILE"
    for pem in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\xfe"):
        with pytest.raises(Malformed):
            load_roots(pem)


def test_an_rsa_leaf_is_unknown(authority: Authority) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    chain = authority.issue(rsa_key, name="device-1", purpose=Purpose.ATTESTATION)  # type: ignore[arg-type]
    with pytest.raises(Unknown):
        signing_key(x509.load_der_x509_certificate(chain[0]))


def test_the_root_allows_one_level_of_issuers() -> None:
    root = root_certificate(new_key(), name="Root", now=NOW, lifetime=CA_LIFETIME)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1


def test_a_byte_that_the_library_does_not_read_is_still_fixed(authority: Authority) -> None:
    """The count of unused bits before the signature: any count that its last bits allow parses."""
    while True:
        chain = authority.issue(new_key().public_key(), name="device-1", purpose=Purpose.ATTESTATION)
        signature = x509.load_der_x509_certificate(chain[0]).signature
        if signature[-1] % 2 == 0:
            break
    changed = chain[0][: -len(signature) - 1] + b"\1" + signature
    assert x509.load_der_x509_certificate(changed).signature == signature
    with pytest.raises(Malformed):
        check_chain([changed, chain[1]], roots=[authority.root], at=NOW, purpose=Purpose.ATTESTATION)
