"""``verifield-verify report``: an evidence report of a contract, checked offline."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from verifield.documents.trust import Trust
from verifield.errors import Malformed
from verifield.files import read_file
from verifield.reports import CheckedReport, check_document, check_report

MAX_CONTRACT_BYTES = 64 * 1024 * 1024
"""Of a contract with all its signatures."""


def examine(file: Path, *, trust: Trust, contract: Path | None) -> dict[str, Any]:
    """Check a report, with a contract's file where it is given, and tell what was found.

    Raises:
        VerifieldError: it is refused.
        OSError: a file cannot be read.
    """
    content = None if contract is None else _read(contract)
    with file.open("rb") as opened:
        found = check_report(opened, roots=trust.roots, contract=content)
    open_points = [*found.missing, *_documents(found, content, trust)]
    facts = found.facts
    return {
        "report_id": facts.report_id,
        "contract_id": facts.contract.contract_id,
        "title": facts.contract.title,
        "state": facts.contract.state,
        "sent": facts.contract.sent.isoformat(timespec="milliseconds"),
        "document_sha256": facts.contract.document_sha256.hex(),
        "contract_sha256": facts.contract.revision_sha256.hex(),
        "contract_checked": found.contract_checked,
        "signatures": {
            f"party {one.party_number}, {one.field}": f"{one.signer}, {one.method}, "
            f"{one.signed.isoformat(timespec='milliseconds')}, {one.certificate}"
            for one in facts.signatures
        },
        "not_checked": {f"{number}": text for number, text in enumerate(open_points, start=1)},
    }


def _documents(found: CheckedReport, contract: bytes | None, trust: Trust) -> list[str]:
    """Judge the signatures in both PDF files; return what was not judged."""
    if importlib.util.find_spec("pyhanko") is None:
        return ["The signatures within the PDF files: install 'verifield[documents]' to check them too."]
    said = []
    for name, content in (("report.pdf", found.pdf), ("the contract", contract)):
        if content is None:
            said.append("The contract itself: give its file with --contract.")
            continue
        check_document(name, trust.judge(content), found.facts if content is contract else None)
    return said


def _read(path: Path) -> bytes:
    content = read_file(path, MAX_CONTRACT_BYTES)
    if len(content) > MAX_CONTRACT_BYTES:
        raise Malformed("CONTRACT_SIZE", "The contract's file is too large.")
    return content
