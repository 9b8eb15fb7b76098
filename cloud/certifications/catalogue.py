"""What can be applied for: types in editions, and the declaration. Version 1 comes with the service."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import certification_care as rows
from verifield.v1 import certification_service_pb2 as pb

MAX_TEXT = 200
"""Characters of a value where its field says nothing."""

DEFAULT_LIFETIME_S = 365 * 86_400

_VARYING = re.compile(r"[*+?]|\{[0-9]*,[0-9]*\}")
_MAX_VARYING = 2


def _text(zh: str, en: str, es: str) -> pb.CertificationText:
    return pb.CertificationText(zh=zh, en=en, es=es)


def _field(
    name: str, title: pb.CertificationText, *, kind: int = pb.FORM_FIELD_KIND_TEXT, required: bool = True
) -> pb.FormField:
    return pb.FormField(name=name, kind=pb.FormFieldKind.ValueType(kind), required=required, title=title)


def _material(
    kind: str, title: pb.CertificationText, *, identity: bool = False, required: bool = False
) -> pb.MaterialRule:
    category = pb.MATERIAL_CATEGORY_IDENTITY if identity else pb.MATERIAL_CATEGORY_SUPPORTING
    return pb.MaterialRule(kind=kind, category=category, required=required, title=title)


_FRONT = _material(
    "id_card_front",
    _text("身份证正面", "Front of the identity card", "Anverso del documento"),
    identity=True,
    required=True,
)
_BACK = _material(
    "id_card_back",
    _text("身份证反面", "Back of the identity card", "Reverso del documento"),
    identity=True,
    required=True,
)

DEFAULT_TYPES = (
    pb.CertificationType(
        code="PERSONAL",
        version=1,
        level=1,
        title=_text("个人认证", "Certification of a person", "Certificación de una persona"),
        fields=[
            _field("address", _text("通讯地址", "Postal address", "Dirección postal")),
            _field("occupation", _text("职业", "Occupation", "Profesión"), required=False),
            _field(
                "email", _text("电子邮箱", "E-mail", "Correo"), kind=pb.FORM_FIELD_KIND_EMAIL, required=False
            ),
        ],
        materials=[
            _FRONT,
            _BACK,
            _material(
                "household_register", _text("户口簿", "Household register", "Libro de familia"), identity=True
            ),
            _material("employment_proof", _text("在职证明", "Proof of employment", "Certificado de empleo")),
            _material("social_security_record", _text("社保记录", "Social-security record", "Vida laboral")),
        ],
        checks=["identity_document", "form_matches_document", "materials_authentic"],
    ),
    pb.CertificationType(
        code="ORGANISATION",
        version=1,
        level=2,
        title=_text("单位认证", "Certification of an organisation", "Certificación de una organización"),
        fields=[
            _field(
                "organisation_name",
                _text("单位名称", "Name of the organisation", "Nombre de la organización"),
            ),
            _field(
                "credit_code",
                _text("统一社会信用代码", "Unified social credit code", "Código social unificado"),
                kind=pb.FORM_FIELD_KIND_CREDIT_CODE,
            ),
            _field(
                "founded",
                _text("成立日期", "Founded on", "Fecha de constitución"),
                kind=pb.FORM_FIELD_KIND_DATE,
                required=False,
            ),
            _field("address", _text("注册地址", "Registered address", "Domicilio social")),
        ],
        materials=[
            _material(
                "business_licence",
                _text("营业执照", "Business licence", "Licencia comercial"),
                identity=True,
                required=True,
            ),
            _FRONT,
            _BACK,
            _material(
                "authorisation_letter",
                _text("授权书", "Letter of authorisation", "Carta de autorización"),
                required=True,
            ),
            _material("articles", _text("章程", "Articles of association", "Estatutos")),
        ],
        checks=["licence_authentic", "credit_code_matches", "authority_of_applicant", "materials_authentic"],
    ),
)

DEFAULT_DECLARATION = _text(
    "本人声明：所填信息和所提交材料真实、有效、合法，并愿意承担提供虚假信息的后果。",
    "I declare that what I state and hand in is true, valid and lawful; I answer for what is false in it.",
    "Declaro que lo que indico y entrego es verdadero, válido y lícito, y respondo de lo que sea falso.",
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Looks up what counts now; nothing is kept in memory."""

    sources: Sources

    def types(self, connection: Connection) -> list[pb.CertificationType]:
        """All that can be applied for now, in order of their codes."""
        newest = {one.code: one for one in self._editions(connection, None)}
        return [newest[code] for code in sorted(newest) if not newest[code].retired]

    def current(self, connection: Connection, code: str) -> pb.CertificationType:
        """The edition of a type that counts now.

        Raises:
            ServiceError: CERTIFICATION_TYPE_UNKNOWN: there is none, or nobody can apply for it any more.
        """
        found = [one for one in self._editions(connection, code) if one.code == code]
        if not found or found[-1].retired:
            raise _unknown()
        return found[-1]

    def edition(self, connection: Connection, code: str, version: int) -> pb.CertificationType:
        """One edition, whatever the time.

        Raises:
            ServiceError: CERTIFICATION_TYPE_UNKNOWN.
        """
        for one in self._editions(connection, code, at_us=None):
            if (one.code, one.version) == (code, version):
                return one
        raise _unknown()

    def declaration(self, connection: Connection) -> pb.Declaration:
        """The one that counts now."""
        now_us = to_us(self.sources.now())
        found = [row for row in rows.rules_of(connection, rows.DECLARATION) if row.effective_us <= now_us]
        if not found:
            return to_declaration(1, DEFAULT_DECLARATION)
        return to_declaration(found[-1].version, pb.CertificationText.FromString(found[-1].content))

    def publish_type(
        self, connection: Connection, wanted: pb.CertificationType, *, effective_us: int | None, author: str
    ) -> pb.CertificationType:
        """Add an edition.

        Raises:
            ServiceError: CERTIFICATION_RULES_INVALID, CERTIFICATION_RULES_VERSION.
        """
        check_type(wanted)
        known = [one.version for one in self._editions(connection, wanted.code, at_us=None)]
        content, now_us = wanted.SerializeToString(deterministic=True), to_us(self.sources.now())
        effective = max(now_us, effective_us or 0)
        row = rows.RuleRow(rows.TYPE, wanted.code, wanted.version, content, effective, author, now_us)
        self._add(connection, row, known)
        return wanted

    def publish_declaration(
        self,
        connection: Connection,
        version: int,
        text: pb.CertificationText,
        *,
        effective_us: int | None,
        author: str,
    ) -> pb.Declaration:
        """Add an edition.

        Raises:
            ServiceError: CERTIFICATION_RULES_INVALID, CERTIFICATION_RULES_VERSION.
        """
        if not text.zh or not text.en or not text.es:
            raise _invalid("text")
        known = [1, *(row.version for row in rows.rules_of(connection, rows.DECLARATION))]
        content, now_us = text.SerializeToString(deterministic=True), to_us(self.sources.now())
        effective = max(now_us, effective_us or 0)
        row = rows.RuleRow(rows.DECLARATION, "", version, content, effective, author, now_us)
        self._add(connection, row, known)
        return to_declaration(version, text)

    def _add(self, connection: Connection, row: rows.RuleRow, known: list[int]) -> None:
        newest = max(known, default=0)
        if row.version != newest + 1 or not rows.add_rule(connection, row):
            raise ServiceError(
                Reason.CERTIFICATION_RULES_VERSION,
                f"The next version of these rules is {newest + 1}.",
                {"newest": str(newest)},
            )

    def _editions(
        self, connection: Connection, code: str | None, *, at_us: int | None = -1
    ) -> list[pb.CertificationType]:
        """Oldest first within each code. ``at_us``: what takes effect later is left out; -1 is now."""
        at_us = to_us(self.sources.now()) if at_us == -1 else at_us
        own = [one for one in DEFAULT_TYPES if code in (None, one.code)]
        found = rows.rules_of(connection, rows.TYPE, code=code)
        return own + [
            pb.CertificationType.FromString(row.content)
            for row in found
            if at_us is None or row.effective_us <= at_us
        ]


def to_declaration(version: int, text: pb.CertificationText) -> pb.Declaration:
    """With its digest: SHA-256 over version and the three texts, each behind its length in bytes."""
    parts = (str(version), text.zh, text.en, text.es)
    hashed = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return pb.Declaration(version=version, text=text, sha256=sha256(hashed).digest())


def check_type(wanted: pb.CertificationType) -> None:
    """Check what the contract's rules cannot say.

    Raises:
        ServiceError: CERTIFICATION_RULES_INVALID, naming the field.
    """
    _check_unique("fields", (one.name for one in wanted.fields))
    _check_unique("materials", (one.kind for one in wanted.materials))
    _check_unique("checks", wanted.checks)
    if not wanted.checks or not wanted.level or not wanted.version:
        raise _invalid("checks, level, version")
    for one in wanted.fields:
        if bool(one.choices) != (one.kind == pb.FORM_FIELD_KIND_CHOICE):
            raise _invalid(f"fields.{one.name}.choices")
        if one.pattern and not _is_simple(one.pattern):
            raise _invalid(f"fields.{one.name}.pattern")


def _is_simple(pattern: str) -> bool:
    """Whether matching takes little time whatever the value: no groups, and few counts that vary."""
    if re.search(r"[()|\\]", pattern) or len(_VARYING.findall(pattern)) > _MAX_VARYING:
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _check_unique(field: str, names: Iterable[str]) -> None:
    found = list(names)
    if len(set(found)) != len(found):
        raise _invalid(field)


def _invalid(field: str) -> ServiceError:
    return ServiceError(
        Reason.CERTIFICATION_RULES_INVALID, f"These rules cannot be: {field}.", {"field": field}
    )


def _unknown() -> ServiceError:
    return ServiceError(Reason.CERTIFICATION_TYPE_UNKNOWN, "There is no such type of certification.")
