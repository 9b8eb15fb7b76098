"""The report for people: a page for the contract, one for each party, and how to check all of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

from cloud.papers.paper import Paper, Row, Section
from cloud.reports.words import Word, say
from verifield.report_facts import ContractFacts, EventFacts, PartyFacts, ReportFacts, SignatureFacts

_NOTHING = "-"


class Printer:
    """In one language."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._say = partial(say, language=language)

    def paper(self, facts: ReportFacts, *, json_sha256: bytes) -> Paper:
        """All of a report. ``json_sha256``: of the same for programs."""
        return Paper(
            number=facts.report_id,
            title=self._say(Word.TITLE),
            language=self._language,
            made=facts.made,
            sections=tuple(self._sections(facts, json_sha256)),
        )

    def _sections(self, facts: ReportFacts, json_sha256: bytes) -> Iterator[Section]:
        yield self._contract(facts.contract, json_sha256)
        yield Section(self._say(Word.CHECK), text=self._say(Word.HOW))
        for party in facts.parties:
            signatures = [one for one in facts.signatures if one.party_number == party.number]
            yield self._party(party, signatures)
        if facts.seal_uses:
            rows = tuple(
                Row(_at(one.time), f"{one.seal_id} v{one.version} ({one.organisation_id}) {one.field}")
                for one in facts.seal_uses
            )
            yield Section(self._say(Word.SEAL_USES), rows=rows, new_page=True)
        yield Section(
            self._say(Word.REVISIONS),
            rows=tuple(Row(f"{one.number}  {_at(one.time)}", one.sha256.hex()) for one in facts.revisions),
            new_page=not facts.seal_uses,
        )
        yield Section(self._say(Word.TIMELINE), rows=tuple(map(self._event, facts.timeline)))

    def _contract(self, contract: ContractFacts, json_sha256: bytes) -> Section:
        rows = (
            (Word.NAME, contract.title),
            (Word.CONTRACT, contract.contract_id),
            (Word.NUMBER, contract.number),
            (Word.STATE, contract.state),
            (Word.SENT, _at(contract.sent)),
            (Word.DEADLINE, _at(contract.deadline)),
            (Word.COMPLETED, _at(contract.completed)),
            (Word.METHODS, ", ".join(contract.allowed_methods)),
            (Word.UPLOAD_HASH, contract.upload_sha256.hex()),
            (Word.DOCUMENT_HASH, contract.document_sha256.hex()),
            (Word.CURRENT_HASH, contract.revision_sha256.hex()),
            (Word.JSON_HASH, json_sha256.hex()),
        )
        return self._rows(self._say(Word.CONTRACT), rows)

    def _party(self, party: PartyFacts, signatures: list[SignatureFacts]) -> Section:
        person = party.identity
        rows = [
            (Word.NAME, party.name),
            (Word.ROLE, f"{party.role}, {party.kind}"),
            (Word.STATE, party.state),
            *([(Word.USCC, party.uscc)] if party.uscc else []),
            (Word.PERSON, person.name if person else ""),
            (Word.ID_NUMBER, person.id_number if person else ""),
            (Word.VERIFIED, f"{person.method} {_at(person.verified)}" if person else ""),
            (Word.NOTIFIED, _at(party.notified)),
            (Word.OPENED, _at(party.opened)),
            (Word.READ, _at(party.read)),
            (Word.READ_HASH, party.read_sha256.hex()),
            (Word.AUTHENTICATED, _at(party.authenticated)),
            (Word.ACTED, _at(party.acted)),
        ]
        for _, marks in groupby(signatures, key=lambda one: (one.certificate, one.evidence_id)):
            first, *_ = fields = list(marks)
            rows += self._act(first)
            for one in fields:
                rows += self._mark(one)
        return self._rows(self._say(Word.PARTY, number=party.number), tuple(rows), new_page=True)

    def _act(self, one: SignatureFacts) -> Iterator[tuple[Word, str]]:
        """What all marks of one act of signing share."""
        evidence = one.evidence_id
        if one.evidence_sha256:
            evidence = f"{evidence} {one.evidence_sha256.hex()}"
        if one.device_id and not one.file:
            evidence = f"{evidence} ({self._say(Word.NOT_IN_LOG)})"
        yield Word.CERTIFICATE, f"{one.certificate}, {one.signer}"
        if one.revoked is not None:
            yield Word.REVOKED, _at(one.revoked)
        yield Word.METHOD, f"{one.method} {_at(one.authenticated)}"
        yield Word.EVIDENCE, evidence
        if one.device_id:
            yield Word.DEVICE, one.device_id
        yield Word.BOUND_TO, one.nonce.hex()

    def _mark(self, one: SignatureFacts) -> Iterator[tuple[Word, str]]:
        yield Word.SIGNATURE, f"{one.field}, {one.kind}, p. {one.page}"
        if one.seal_id:
            yield Word.SEAL, f"{one.seal_id} v{one.seal_version}"
        yield Word.STAMP, f"{_at(one.signed)}, {one.stamp}"
        yield Word.BEFORE_AFTER, f"{one.before_sha256.hex()} {one.after_sha256.hex()}"

    def _event(self, one: EventFacts) -> Row:
        party = self._say(Word.PARTY, number=one.party_number) if one.party_number else ""
        return Row(_at(one.time), " ".join(filter(None, (one.event, party, f"({one.state})"))))

    def _rows(self, heading: str, rows: tuple[tuple[Word, str], ...], *, new_page: bool = False) -> Section:
        return Section(
            heading,
            rows=tuple(Row(self._say(word), value or _NOTHING) for word, value in rows),
            new_page=new_page,
        )


def _at(moment: datetime | None) -> str:
    """To the millisecond, as the service tells it everywhere; empty for none."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
