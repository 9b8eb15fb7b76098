"""What is offered: the kinds of registration business, and the menu of devices.

Codes are stable: they stand in requests and delegations. A kind that is no longer offered keeps its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cloud.errors import Reason, ServiceError


@dataclass(frozen=True, slots=True)
class Name:
    """In the languages that everything here is told in."""

    zh: str
    en: str
    es: str


@dataclass(frozen=True, slots=True)
class ServiceType:
    """``number``: its place within the group. ``needs_reason``: a request says in words what it is about."""

    code: str
    name: Name
    group: int
    number: int
    needs_reason: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """What can be begun at a device, and what it begins with."""

    code: str
    name: Name
    reads_card: bool = False
    needs_account: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """A first choice on the screen of a device."""

    code: str
    name: Name
    functions: tuple[Function, ...]


_GROUPS: tuple[tuple[tuple[str, str, str, str], ...], ...] = (
    (
        ("COMPANY_REGISTRATION", "公司注册", "Company registration", "Registro de sociedad"),
        ("NAME_CHECK", "企业核名", "Enterprise name check", "Comprobación del nombre de la empresa"),
        ("COMPANY_CHANGE", "公司变更", "Company change", "Modificación de sociedad"),
        ("COMPANY_CANCELLATION", "公司注销", "Company cancellation", "Cancelación de sociedad"),
        (
            "CERTIFICATE_REGISTRATION",
            "各类证件登记",
            "Registration of certificates of all kinds",
            "Registro de certificados de todo tipo",
        ),
        (
            "BUSINESS_LICENCE",
            "营业执照办理",
            "Business-licence matters",
            "Trámites de la licencia de actividad",
        ),
        ("CHANGE_HANDLING", "变更办理", "Change handling", "Tramitación de cambios"),
        ("BUSINESS_CONSULTING", "工商咨询", "Business consulting", "Asesoramiento empresarial"),
        (
            "ANNUAL_INSPECTION_EXECUTION",
            "年检办理",
            "Annual inspection execution",
            "Realización de la inspección anual",
        ),
        (
            "COMPANY_REGISTRATION_WORK",
            "公司登记工作",
            "Company registration work",
            "Gestiones de registro de sociedades",
        ),
    ),
    (
        ("SEAL_ENGRAVING_FILING", "刻章备案", "Seal-engraving filing", "Notificación de grabado de sellos"),
        ("COMPANY_TRANSFER", "公司转让", "Company transfer", "Transmisión de sociedad"),
        (
            "ENTERPRISE_ANNUAL_INSPECTION",
            "企业年检",
            "Enterprise annual inspection",
            "Inspección anual de la empresa",
        ),
        (
            "INCORPORATION_UNDERTAKING",
            "承接注册企业",
            "Undertaking of enterprise incorporation",
            "Constitución de empresas por encargo",
        ),
        (
            "ENTERPRISE_REGISTRATION",
            "企业登记业务",
            "Enterprise registration business",
            "Registro de empresas",
        ),
        (
            "AGENCY_BUSINESS_LICENCE",
            "代办营业执照",
            "Agency for the business licence",
            "Gestoría de la licencia de actividad",
        ),
        ("AGENCY_QUALIFICATION", "代办资质", "Agency for qualifications", "Gestoría de habilitaciones"),
        ("AGENCY_PERMIT", "代办许可证", "Agency for permits", "Gestoría de permisos"),
        ("EQUITY_CHANGE", "股权变更", "Equity change", "Cambio de participaciones"),
        ("EQUITY_TRANSFER", "股权转让", "Equity transfer", "Transmisión de participaciones"),
    ),
    (
        ("ENTERPRISE_OPENING", "企业开户", "Enterprise account opening", "Apertura de cuenta de empresa"),
        ("ENTERPRISE_CANCELLATION", "企业注销", "Enterprise cancellation", "Cancelación de empresa"),
        (
            "ENTERPRISE_ANNUAL_REVIEW",
            "企业年审",
            "Enterprise annual review",
            "Revisión anual de la empresa",
        ),
        (
            "HIGH_TECH_RECOGNITION",
            "高新技术企业认定",
            "High-tech-enterprise recognition",
            "Reconocimiento de empresa de alta tecnología",
        ),
        (
            "BLUE_CHIP_REFORM",
            "蓝筹股改",
            "Blue-chip share reform",
            "Transformación en sociedad por acciones cotizable",
        ),
        (
            "CAPITAL_CHANGE",
            "注册资本变更",
            "Change of registered capital",
            "Cambio del capital registrado",
        ),
        ("NAME_CHANGE", "企业名称变更", "Change of enterprise name", "Cambio del nombre de la empresa"),
        ("SCOPE_CHANGE", "经营范围变更", "Change of business scope", "Cambio del objeto social"),
        ("ADDRESS_CHANGE", "地址变更", "Change of address", "Cambio de domicilio"),
        ("OTHER_CHANGE", "其他变更", "Other change", "Otro cambio"),
    ),
    (
        (
            "LEGAL_REPRESENTATIVE_CHANGE",
            "法定代表人变更",
            "Change of legal representative",
            "Cambio de representante legal",
        ),
        (
            "EQUITY_CHANGE_REGISTRATION",
            "股权变更登记",
            "Registration of an equity change",
            "Inscripción de un cambio de participaciones",
        ),
        (
            "LIMITED_COMPANY_REGISTRATION",
            "有限公司注册",
            "Registration of a limited company",
            "Registro de sociedad limitada",
        ),
        (
            "PARTNERSHIP_REGISTRATION",
            "合伙（合作）企业注册",
            "Registration of a partnership or cooperative enterprise",
            "Registro de sociedad colectiva o cooperativa",
        ),
        (
            "SOLE_PROPRIETORSHIP_REGISTRATION",
            "个人独资企业注册",
            "Registration of a sole proprietorship",
            "Registro de empresa individual",
        ),
        ("BRANCH_REGISTRATION", "分公司注册", "Registration of a branch", "Registro de sucursal"),
        ("ADDRESS_REGISTRATION", "注册地址登记", "Address registration", "Registro de domicilio"),
    ),
)

_NEED_REASON = frozenset({"OTHER_CHANGE"})

SERVICE_TYPES: Mapping[str, ServiceType] = MappingProxyType(
    {
        code: ServiceType(code, Name(zh, en, es), group, number, needs_reason=code in _NEED_REASON)
        for group, services in enumerate(_GROUPS, start=1)
        for number, (code, zh, en, es) in enumerate(services, start=1)
    }
)
"""By code, in order of group and number."""

MENU = (
    Module(
        "ENTERPRISE",
        Name("企业业务", "Enterprise business", "Trámites de empresas"),
        (
            Function(
                "COOP_VERIFY",
                Name(
                    "协同联网核查", "Collaborative network verification", "Verificación colaborativa en red"
                ),
                reads_card=True,
            ),
            Function(
                "BUSINESS_REQUEST",
                Name("企业登记业务办理", "Registration business", "Trámites de registro"),
                needs_account=True,
            ),
            Function(
                "DELEGATION",
                Name("委托代办", "Acting for others", "Actuar por cuenta de otros"),
                needs_account=True,
            ),
        ),
    ),
    Module(
        "PERSONAL",
        Name("个人业务", "Personal matters", "Asuntos personales"),
        (
            Function(
                "REGISTER", Name("注册账户", "Register an account", "Registrar una cuenta"), reads_card=True
            ),
            Function("ACTIVATE", Name("激活账户", "Activate an account", "Activar una cuenta")),
            Function(
                "IDENTITY_VERIFY",
                Name("身份核验", "Identity verification", "Verificación de identidad"),
                reads_card=True,
                needs_account=True,
            ),
            Function(
                "CERTIFICATION",
                Name("认证申请", "Apply for a certification", "Solicitar una certificación"),
                needs_account=True,
            ),
        ),
    ),
    Module(
        "HELP",
        Name("帮助与反馈", "Help and feedback", "Ayuda y sugerencias"),
        (Function("FEEDBACK", Name("意见反馈", "Feedback", "Sugerencias")),),
    ),
)
"""What every device offers."""


def find_service(code: str) -> ServiceType:
    """The kind of business with this code.

    Raises:
        ServiceError: SERVICE_UNKNOWN.
    """
    found = SERVICE_TYPES.get(code)
    if found is None:
        raise ServiceError(Reason.SERVICE_UNKNOWN, "There is no such kind of business.", {"code": code})
    return found
