"""The kinds of rules, and the ones that the service comes with: editions of version 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from verifield.v1 import rulebook_pb2 as pb

M = TypeVar("M", bound=Message)

_VERSION = "0.1"  # of the clients that this version of the service was made with


@dataclass(frozen=True, slots=True)
class RuleKind(Generic[M]):
    """``part``: its field in Rules. ``default``: counts where nothing was published; nobody changes it."""

    number: pb.RuleKind.ValueType
    part: str
    default: M = field(repr=False)

    NUMBER_SEGMENTS: ClassVar[RuleKind[pb.NumberSegmentRules]]
    VERIFICATION: ClassVar[RuleKind[pb.VerificationRules]]
    CLIENT_VERSIONS: ClassVar[RuleKind[pb.ClientVersionRules]]
    REVIEW: ClassVar[RuleKind[pb.ReviewRules]]
    PROCESS: ClassVar[RuleKind[pb.ProcessRules]]
    APPLICATION_LIMITS: ClassVar[RuleKind[pb.ApplicationLimitRules]]
    LOGIN: ClassVar[RuleKind[pb.LoginRules]]

    @property
    def name(self) -> str:
        """Without the prefix of the contract, for example NUMBER_SEGMENTS."""
        return pb.RuleKind.Name(self.number).removeprefix("RULE_KIND_")

    def of(self, rules: pb.Rules) -> M:
        """The rules of this kind in the message for all kinds."""
        return cast("M", getattr(rules, self.part))

    def wrap(self, rules: M) -> pb.Rules:
        """The reverse of :meth:`of`."""
        wrapped = pb.Rules()
        getattr(wrapped, self.part).CopyFrom(rules)
        return wrapped


def _long(**spans: float) -> Duration:
    span = Duration()
    span.FromTimedelta(timedelta(**spans))
    return span


def _limit(count: int, *, within: Duration, cool_down: Duration | None = None) -> pb.RuleLimit:
    return pb.RuleLimit(count=count, within=within, cool_down=cool_down)


RuleKind.NUMBER_SEGMENTS = RuleKind(
    pb.RULE_KIND_NUMBER_SEGMENTS,
    "number_segments",
    pb.NumberSegmentRules(
        segments=[
            pb.PhoneSegment(
                country_code=86,
                prefix="199",
                status=pb.SEGMENT_STATUS_UNSUPPORTED,
                note="Not served yet.",
            )
        ]
    ),
)

RuleKind.VERIFICATION = RuleKind(
    pb.RULE_KIND_VERIFICATION,
    "verification",
    pb.VerificationRules(
        phone_id_binding=pb.PHONE_BINDING_OFF,
        tries_before_escalation=3,
        face_tries_before_window=3,
        evidence_max_age=_long(minutes=5),
        recheck_after=_long(days=365),
    ),
)

RuleKind.CLIENT_VERSIONS = RuleKind(
    pb.RULE_KIND_CLIENT_VERSIONS,
    "client_versions",
    pb.ClientVersionRules(
        clients=[
            pb.ClientVersions(
                client=client,
                min_version=_VERSION,
                latest_version=_VERSION,
                notes=pb.RuleText(
                    zh="提升稳定性，修复已知问题。",
                    en="Improved stability, and faults mended.",
                    es="Mayor estabilidad y errores corregidos.",
                ),
                features=[pb.ClientFeature(feature="long_term", min_version=_VERSION)],
            )
            for client in ("kiosk", "phone")
        ]
    ),
)

RuleKind.REVIEW = RuleKind(
    pb.RULE_KIND_REVIEW,
    "review",
    pb.ReviewRules(
        decide_within=_long(days=3),
        supplement_within=_long(days=15),
        sampled_per_mille=50,
        tasks_per_reviewer=200,
    ),
)

RuleKind.PROCESS = RuleKind(
    pb.RULE_KIND_PROCESS,
    "process",
    pb.ProcessRules(
        processes=[
            pb.Process(
                process="business",
                text=pb.RuleText(
                    zh="填写申请，上传材料，提交后由审核人员办理。",
                    en="Fill in the request, upload its documents, submit it; a reviewer decides.",
                    es="Rellene la solicitud, suba los documentos y envíela; un revisor decide.",
                ),
                numbers=[pb.ProcessNumber(name="target_days", value=5)],
            ),
            pb.Process(
                process="certification",
                text=pb.RuleText(
                    zh="选择认证类型，填写信息，上传材料，提交后等待审核结果。",
                    en="Choose the type, fill in the form, upload the material, submit, await the result.",
                    es="Elija el tipo, rellene el formulario, suba el material y espere el resultado.",
                ),
                numbers=[pb.ProcessNumber(name="target_days", value=5)],
            ),
        ]
    ),
)

RuleKind.APPLICATION_LIMITS = RuleKind(
    pb.RULE_KIND_APPLICATION_LIMITS,
    "application_limits",
    pb.ApplicationLimitRules(
        certifications=_limit(5, within=_long(days=30), cool_down=_long(days=7)),
        business_requests=_limit(20, within=_long(days=1)),
        feedback_of_account=_limit(10, within=_long(days=1)),
        feedback_of_source=_limit(60, within=_long(hours=1)),
    ),
)

RuleKind.LOGIN = RuleKind(
    pb.RULE_KIND_LOGIN,
    "login",
    pb.LoginRules(
        tries_before_lock=10,
        lock_for=_long(minutes=30),
        unknown_per_minute=10,
        session=_long(hours=12),
    ),
)

KINDS: tuple[RuleKind[Message], ...] = cast(
    "tuple[RuleKind[Message], ...]",
    (
        RuleKind.NUMBER_SEGMENTS,
        RuleKind.VERIFICATION,
        RuleKind.CLIENT_VERSIONS,
        RuleKind.REVIEW,
        RuleKind.PROCESS,
        RuleKind.APPLICATION_LIMITS,
        RuleKind.LOGIN,
    ),
)


def kind_of(rules: pb.Rules) -> RuleKind[Message]:
    """Which kind's rules these are; the contract demands that they are of one."""
    return next(kind for kind in KINDS if kind.part == rules.WhichOneof("rules"))


def kind_numbered(number: int) -> RuleKind[Message]:
    """The kind with this number of the contract."""
    return next(kind for kind in KINDS if kind.number == number)
