"""Whom somebody trusts who checks documents, out of files; and the verdict by that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from verifield.certificates import MAX_ROOT_BYTES, load_roots
from verifield.documents.apart import Limits, judge_apart
from verifield.documents.verdict import Code, Verdict
from verifield.errors import Untrusted
from verifield.files import read_file
from verifield.revocation import MAX_PEM_BYTES, read_list


@dataclass(frozen=True, slots=True)
class Trust:
    """``stamp_roots``: of other time-stamping authorities. ``revocations``: a newer list of revoked signers
    (DER) than the one in a document; None for that one."""

    roots: list[x509.Certificate]
    stamp_roots: list[x509.Certificate]
    revocations: bytes | None

    @classmethod
    def open(cls, root: Path, *, stamp_root: Path | None, revocations: Path | None) -> Trust:
        """Read the files: PEM, and the list also in DER.

        Raises:
            Malformed, Unknown: one is something else.
            OSError: one cannot be read.
        """
        return cls(
            load_roots(read_file(root, MAX_ROOT_BYTES)),
            load_roots(read_file(stamp_root, MAX_ROOT_BYTES)) if stamp_root else [],
            read_list(read_file(revocations, MAX_PEM_BYTES)) if revocations else None,
        )

    def judge(self, content: bytes, *, limits: Limits | None = None) -> Verdict:
        """The verdict on a document, now.

        Raises:
            Untrusted: the list is of others than issued the document's certificates: it would say nothing.
            Unknown: DOCUMENTS_EXTRA, as ``judge_apart``.
            OSError: no process can be started.
        """
        verdict = judge_apart(
            content,
            roots=self.roots,
            at=datetime.now(UTC),
            stamp_roots=self.stamp_roots,
            revocations=[self.revocations] if self.revocations is not None else [],
            limits=limits,
        )
        if any(one.code is Code.LIST_FOREIGN for one in verdict.notes):
            raise Untrusted(
                "REVOCATION_ISSUER",
                "The revocation list is not by the authority that issued the certificates of this document.",
                hint="Fetch the list of revoked signers of the deployment that the document is of.",
            )
        return verdict
