"""A report as a file: JSON, PDF and evidence in one ZIP, under a manifest that the service signs.

1  the evidence gets names, and the JSON is written: it has one form, and so one digest
2  the PDF says the same and names that digest; the platform signs it, time-stamped, with the digest as reason
3  the manifest lists both, and the evidence, and is signed with the key of certifications
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.authority import Authority
from cloud.certifications.bundle import Bundle
from cloud.papers.render import Fonts, render
from cloud.pdf.freeze import freeze
from cloud.pdf.ports import Identity, Stamper
from cloud.reports.gather import Gathered
from cloud.reports.paper import Printer
from verifield.archive import MANIFEST_NAME
from verifield.dsse import encode_envelope, pae
from verifield.report_facts import (
    REPORT_TYPE,
    REPORT_VERSION,
    ReportFacts,
    SignatureFacts,
    encode_report,
)
from verifield.reports import FACE, JSON_NAME, MANIFEST_TYPE, PASSKEY, PDF_NAME
from verifield.v1 import badge_pb2
from verifield.v1 import report_pb2 as pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEDIA_TYPES = MappingProxyType(
    {
        "json": "application/json",
        "pdf": "application/pdf",
        "bundle": "application/vnd.verifield.bundle.v1+protobuf",
    }
)


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What a device saw: the bundle of its record, and the task that it was made for, empty for none."""

    bundle: bytes = field(repr=False)
    task_id: str


@dataclass(frozen=True, slots=True)
class Made:
    """A report. ``content``: the ZIP."""

    facts: ReportFacts
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Press:
    """What reports are made with. ``fonts``: None for those that are found."""

    authority: Authority
    stamper: Stamper
    fonts: Fonts | None

    def make(
        self,
        gathered: Gathered,
        device_records: Mapping[str, DeviceRecord],
        *,
        report_id: str,
        now: datetime,
        language: str,
        identity: Identity,
    ) -> Made:
        """``device_records``: by their ids, those that are in the log. ``identity``: of the platform.

        Raises:
            StampUnavailable: no time-stamp can be had now.
        """
        made = now.astimezone(UTC)
        evidence, signatures = _with_evidence(gathered, device_records)  # step 1
        facts = ReportFacts(
            type=REPORT_TYPE,
            version=REPORT_VERSION,
            report_id=report_id,
            made=made,
            root_sha256=self.authority.root.fingerprint(SHA256()),
            contract=gathered.contract,
            parties=gathered.parties,
            signatures=signatures,
            seal_uses=gathered.seal_uses,
            revisions=gathered.revisions,
            timeline=gathered.timeline,
        )
        text = encode_report(facts)
        pdf = self._pdf(facts, sha256(text).digest(), language=language, identity=identity)  # step 2
        files = {JSON_NAME: text, PDF_NAME: pdf, **evidence}
        bundle = Bundle()
        bundle.add(MANIFEST_NAME, self._manifest(facts, files))  # step 3
        for name, content in files.items():
            bundle.add(name, content)
        return Made(facts, bundle.take() + bundle.end())

    def _pdf(self, facts: ReportFacts, digest: bytes, *, language: str, identity: Identity) -> bytes:
        paper = Printer(language).paper(facts, json_sha256=digest)
        return freeze(
            render(paper, self.fonts),
            (),
            identity=identity,
            stamper=self.stamper,
            at=facts.made,
            reason=f"report.json SHA-256 {digest.hex()}",
        )

    def _manifest(self, facts: ReportFacts, files: Mapping[str, bytes]) -> bytes:
        manifest = pb.ReportManifest(
            report_id=facts.report_id,
            contract_id=facts.contract.contract_id,
            document_sha256=facts.contract.document_sha256,
            revision_sha256=facts.contract.revision_sha256,
            made_us=(facts.made - _EPOCH) // timedelta(microseconds=1),
            files=list(_entries(files)),
        )
        payload = manifest.SerializeToString(deterministic=True)
        signature = self.authority.certification_key.sign(pae(MANIFEST_TYPE, payload), ec.ECDSA(SHA256()))
        signed = badge_pb2.SignedManifest(
            envelope=encode_envelope(payload_type=MANIFEST_TYPE, payload=payload, signatures=[signature]),
            certificates=self.authority.chain_of(self.authority.certification.certificate),
        )
        return signed.SerializeToString(deterministic=True)


def _entries(files: Mapping[str, bytes]) -> Iterator[badge_pb2.ArchivedFile]:
    for name, content in files.items():
        yield badge_pb2.ArchivedFile(
            name=name,
            size_bytes=len(content),
            sha256=sha256(content).digest(),
            media_type=_MEDIA_TYPES[name.rpartition(".")[2]],
        )


def _with_evidence(
    gathered: Gathered, device_records: Mapping[str, DeviceRecord]
) -> tuple[dict[str, bytes], tuple[SignatureFacts, ...]]:
    """The files of the evidence, and the signatures with their names; marks of one act share one."""
    files: dict[str, bytes] = {}
    signatures = []
    for one, row in zip(gathered.signatures, gathered.records, strict=True):
        named, record = one, device_records.get(one.evidence_id)
        if one.method == FACE and record is not None:
            name = f"records/{one.evidence_id}.bundle"
            files[name], named = record.bundle, replace(one, file=name, task_id=record.task_id)
        elif one.method == PASSKEY and row.evidence is not None:
            name = f"assertions/{row.signing_id}.json"
            files[name], named = row.evidence, replace(one, file=name)
        signatures.append(named)
    return files, tuple(signatures)
