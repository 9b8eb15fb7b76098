"""Of review tasks and of tickets to the information centre."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

_TASKS: Remedies = {
    Reason.REVIEW_KIND_CLOSED: Remedy(
        _S.FAILED_PRECONDITION,
        "This service does not review such things; ask whoever runs it.",
        "本服务不办理此类审核；请向服务管理方咨询。",
        "Este servicio no revisa asuntos de este tipo; consulte a quien lo administra.",
    ),
    Reason.REVIEW_TASK_EXISTS: Remedy(
        _S.ALREADY_EXISTS,
        "Wait until the review that is under way has ended.",
        "请等待正在进行的审核结束。",
        "Espere a que termine la revisión en curso.",
    ),
    Reason.REVIEW_TASK_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id; verifield-cloud reviews list shows the tasks.",
        "请核对标识；verifield-cloud reviews list 可列出任务。",
        "Compruebe el identificador; verifield-cloud reviews list muestra las tareas.",
    ),
    Reason.REVIEW_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Read the task again: somebody else, or the clock, has moved it on.",
        "请重新读取任务：它已被他人处理，或已到期。",
        "Lea de nuevo la tarea: otra persona, o el plazo, la ha cambiado de estado.",
    ),
    Reason.REVIEW_NOT_YOURS: Remedy(
        _S.PERMISSION_DENIED,
        "Take the task first, or leave it to the reviewer who has it.",
        "请先领取该任务，或交由持有该任务的审核员处理。",
        "Tome primero la tarea, o déjela a quien la tiene.",
    ),
    Reason.REVIEW_CONFLICT: Remedy(
        _S.PERMISSION_DENIED,
        "Leave it to another reviewer: this one has something in common with the applicant, or has decided "
        "in this matter before.",
        "请交由其他审核员处理：该审核员与申请人有关联，或此前已就此事作出决定。",
        "Déjelo a otro revisor: este tiene algo en común con el solicitante, o ya decidió en este asunto.",
    ),
    Reason.REVIEW_NOTHING_TO_TAKE: Remedy(
        _S.NOT_FOUND,
        "There is nothing that you could take now; look again later.",
        "目前没有可领取的任务，请稍后再看。",
        "No hay nada que pueda tomar ahora; vuelva a mirar más tarde.",
    ),
    Reason.REVIEW_NOBODY_FREE: Remedy(
        _S.FAILED_PRECONDITION,
        "Name a reviewer, raise somebody's capacity, or give somebody the skill.",
        "请指定审核员、提高某人的任务上限，或为某人添加相应技能。",
        "Nombre a un revisor, aumente la capacidad de alguien o dele la competencia.",
    ),
    Reason.REVIEW_CHECK_UNKNOWN: Remedy(
        _S.INVALID_ARGUMENT,
        "Use one of the task's check items; reading the task shows them.",
        "请使用该任务的检查项；读取任务即可看到。",
        "Use una de las comprobaciones de la tarea; al leerla se muestran.",
    ),
    Reason.REVIEW_CHECKS_MISSING: Remedy(
        _S.FAILED_PRECONDITION,
        "Record a result for each check item that is named, then decide.",
        "请先为所列各检查项登记结果，再作出决定。",
        "Registre un resultado para cada comprobación nombrada y decida después.",
    ),
    Reason.REVIEW_CHECKS_FAILED: Remedy(
        _S.FAILED_PRECONDITION,
        "What has a failed check does not pass: decide NOT_PASSED, ask for a supplement, or correct the check.",
        "有检查项未通过时不能通过审核：请作出不通过决定、要求补充材料，或更正检查结果。",
        "Con una comprobación fallida no se aprueba: decida NOT_PASSED, pida un complemento o corríjala.",
    ),
    Reason.REVIEW_REASONS_MISSING: Remedy(
        _S.INVALID_ARGUMENT,
        "Give at least one concrete reason, each with a code and words that the applicant understands.",
        "请至少给出一条具体理由，每条均须有代码和申请人能看懂的说明。",
        "Dé al menos un motivo concreto, cada uno con un código y palabras que el solicitante entienda.",
    ),
    Reason.SUPPLEMENT_DEADLINE: Remedy(
        _S.INVALID_ARGUMENT,
        "Choose a deadline between an hour and 90 days from now, or none for the usual one.",
        "请选择从现在起一小时至 90 天之间的期限；不填则用默认期限。",
        "Elija un plazo entre una hora y 90 días desde ahora, o ninguno para el habitual.",
    ),
    Reason.SUPPLEMENT_LATE: Remedy(
        _S.FAILED_PRECONDITION,
        "The deadline has passed; apply again.",
        "期限已过，请重新申请。",
        "El plazo ha pasado; presente una nueva solicitud.",
    ),
    Reason.SUPPLEMENT_TOO_OFTEN: Remedy(
        _S.FAILED_PRECONDITION,
        "Decide on what is there, with reasons: the applicant was asked often enough.",
        "已多次要求申请人补充材料，请根据现有材料作出决定并说明理由。",
        "Decida con lo que hay, con motivos: ya se pidió bastantes veces al solicitante.",
    ),
}

_MANAGED: Remedies = {
    Reason.SECOND_REVIEW_BLIND: Remedy(
        _S.FAILED_PRECONDITION,
        "A second review decides on what the first one saw: decide, or release it.",
        "复核须根据初审所见材料作出决定：请作出决定或退回任务。",
        "Una segunda revisión decide con lo que vio la primera: decida o devuélvala.",
    ),
    Reason.SECOND_REVIEW_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id; verifield-cloud reviews second shows the second reviews.",
        "请核对标识；verifield-cloud reviews second 可列出复核。",
        "Compruebe el identificador; verifield-cloud reviews second muestra las segundas revisiones.",
    ),
    Reason.SECOND_REVIEW_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Only a disagreement that nobody has settled yet can be settled.",
        "只有尚未裁定的分歧可以裁定。",
        "Solo se puede resolver un desacuerdo que nadie haya resuelto aún.",
    ),
    Reason.REVIEWER_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Give this user a profile first: verifield-cloud reviewers set.",
        "请先为该用户建立审核员档案：verifield-cloud reviewers set。",
        "Dé primero un perfil a este usuario: verifield-cloud reviewers set.",
    ),
    Reason.REVIEWER_NO_ROLE: Remedy(
        _S.FAILED_PRECONDITION,
        "Give this user the role reviewer (seal-reviewer for organisations and seals), and see that the user is not disabled.",
        "请先授予该用户审核员角色（仅审核企业与印章时为印章审核员），并确认该用户未被停用。",
        "Dé a este usuario el rol reviewer (seal-reviewer para organizaciones y sellos), y compruebe que no está deshabilitado.",
    ),
    Reason.REVIEWER_SUSPENDED: Remedy(
        _S.PERMISSION_DENIED,
        "A discipline case is open, or ended with a removal: others decide.",
        "该审核员正接受纪律调查或已被取消资格：请由他人决定。",
        "Hay un expediente disciplinario abierto, o acabó en destitución: deciden otros.",
    ),
    Reason.REVIEWER_UNSKILLED: Remedy(
        _S.FAILED_PRECONDITION,
        "Choose a reviewer who has the skill for this kind, or add it to the profile.",
        "请选择具备此类技能的审核员，或在档案中添加该技能。",
        "Elija a un revisor con la competencia para este tipo, o añádala a su perfil.",
    ),
    Reason.REVIEWER_FULL: Remedy(
        _S.FAILED_PRECONDITION,
        "Decide what you have first.",
        "请先处理完手中的任务。",
        "Decida primero lo que tiene.",
    ),
    Reason.REVIEWER_SELF: Remedy(
        _S.PERMISSION_DENIED,
        "Nobody manages an own profile or case, or settles a dispute about an own decision: ask somebody else.",
        "任何人不得管理自己的档案或案件，也不得裁定涉及本人决定的争议：请他人办理。",
        "Nadie gestiona su propio perfil o expediente, ni zanja una disputa sobre su decisión: pídalo a otra persona.",
    ),
    Reason.DISCIPLINE_CASE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id; verifield-cloud reviewers cases shows the cases.",
        "请核对标识；verifield-cloud reviewers cases 可列出案件。",
        "Compruebe el identificador; verifield-cloud reviewers cases muestra los expedientes.",
    ),
    Reason.DISCIPLINE_CASE_CLOSED: Remedy(
        _S.FAILED_PRECONDITION,
        "A closed case stays as it is; open a new one where there are new facts.",
        "已结案件不再更改；如有新事实，请另立新案。",
        "Un expediente cerrado queda como está; abra otro si hay hechos nuevos.",
    ),
}

_TICKETS: Remedies = {
    Reason.TICKET_KIND_CLOSED: Remedy(
        _S.FAILED_PRECONDITION,
        "This service does not take such tickets; ask whoever runs it.",
        "本服务不受理此类工单；请向服务管理方咨询。",
        "Este servicio no admite este tipo de caso; consulte a quien lo administra.",
    ),
    Reason.TICKET_PAYLOAD: Remedy(
        _S.INVALID_ARGUMENT,
        "Send what belongs to this kind of ticket.",
        "请提交与该工单类型相符的内容。",
        "Envíe lo que corresponde a este tipo de caso.",
    ),
    Reason.TICKET_EXISTS: Remedy(
        _S.ALREADY_EXISTS,
        "Wait for the information centre: it already has a ticket of this kind for this account.",
        "请等待信息中心处理：该账户已有同类工单。",
        "Espere al centro de información: ya tiene un caso de este tipo para esta cuenta.",
    ),
    Reason.TICKET_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id; verifield-cloud escalations list shows the tickets.",
        "请核对标识；verifield-cloud escalations list 可列出工单。",
        "Compruebe el identificador; verifield-cloud escalations list muestra los casos.",
    ),
    Reason.TICKET_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Take the ticket before you end it; one that has ended stays as it is.",
        "请先领取工单再办结；已办结的工单不再更改。",
        "Tome el caso antes de cerrarlo; uno cerrado queda como está.",
    ),
    Reason.TICKET_NOT_YOURS: Remedy(
        _S.PERMISSION_DENIED,
        "Take the ticket first: somebody else sees to it.",
        "请先领取工单：目前由他人处理。",
        "Tome primero el caso: otra persona lo atiende.",
    ),
    Reason.TICKET_OWN: Remedy(
        _S.PERMISSION_DENIED,
        "Whoever opened a ticket never decides it: ask somebody else in the information centre.",
        "开单人不得自行办结工单：请信息中心的其他人员处理。",
        "Quien abrió un caso nunca lo decide: pídalo a otra persona del centro de información.",
    ),
    Reason.TICKET_NEEDS_PERSON: Remedy(
        _S.PERMISSION_DENIED,
        "Sign in as yourself: with a token of the service nobody can tell two people apart.",
        "请以本人身份登录：使用服务令牌无法区分两人。",
        "Entre con su propia identidad: con un token del servicio no se distinguen dos personas.",
    ),
    Reason.TICKET_REASON_MISSING: Remedy(
        _S.INVALID_ARGUMENT,
        "Say why it is rejected, in words that the window can pass on.",
        "请说明拒绝的理由，以便窗口转告。",
        "Diga por qué se rechaza, con palabras que la ventanilla pueda transmitir.",
    ),
}

REMEDIES: Remedies = {**_TASKS, **_MANAGED, **_TICKETS}
