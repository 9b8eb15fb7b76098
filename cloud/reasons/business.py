"""Of the catalogue of services, of requests, of rules with a date, and of feedback."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.RULES_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the editions of this kind of rules, and choose one of them.",
        "请列出此类规则的各个版本，并选择其中之一。",
        "Liste las ediciones de estas reglas y elija una de ellas.",
    ),
    Reason.RULES_PAST: Remedy(
        _S.FAILED_PRECONDITION,
        "Give a time to come, or none for now.",
        "请指定未来的时间；不指定则立即生效。",
        "Indique un momento futuro, o ninguno para que valgan ya.",
    ),
    Reason.RULES_ORDER: Remedy(
        _S.FAILED_PRECONDITION,
        "Withdraw the later edition first, publish this one, and then the later one again with this change in it.",
        "请先撤回较晚生效的版本，再发布此版本，然后重新发布包含此更改的较晚版本。",
        "Retire primero la edición posterior, publique esta y después de nuevo la posterior con este cambio.",
    ),
    Reason.RULES_IN_EFFECT: Remedy(
        _S.FAILED_PRECONDITION,
        "Publish another edition: what has counted is never taken back.",
        "请发布新版本：已生效的规则不能撤回。",
        "Publique otra edición: lo que ya ha valido no se retira.",
    ),
    Reason.RULES_WITHDRAWN: Remedy(
        _S.FAILED_PRECONDITION,
        "Nothing has to be done: these rules never count.",
        "无需处理：这些规则永远不会生效。",
        "No hay que hacer nada: estas reglas nunca valdrán.",
    ),
    Reason.CLIENT_UNKNOWN: Remedy(
        _S.NOT_FOUND,
        "Ask for a client that the rules name, for example kiosk.",
        "请查询规则中列出的客户端，例如 kiosk。",
        "Pregunte por un cliente que las reglas nombren, por ejemplo kiosk.",
    ),
    Reason.SERVICE_UNKNOWN: Remedy(
        _S.NOT_FOUND,
        "Choose a code from the list of services.",
        "请从服务目录中选择代码。",
        "Elija un código de la lista de servicios.",
    ),
    Reason.FILING_NOT_ALLOWED: Remedy(
        _S.FAILED_PRECONDITION,
        "The applicant signs in, allows business to be handled in the account's settings, and gives a period that is running.",
        "请申请人登录，在账户管理中选择允许办理企业登记业务，并设置当前有效的期限。",
        "El solicitante debe iniciar sesión, permitir los trámites en su cuenta e indicar un periodo en curso.",
    ),
    Reason.BUSINESS_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the requests of the account that is signed in.",
        "请查看当前登录账户的申请列表。",
        "Liste las solicitudes de la cuenta con la que ha iniciado sesión.",
    ),
    Reason.BUSINESS_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the request: its state says what can be done next.",
        "请查看申请：其状态说明下一步可以做什么。",
        "Mire la solicitud: su estado dice qué puede hacerse.",
    ),
    Reason.BUSINESS_TOO_OFTEN: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Go on with the requests that were begun, or wait.",
        "请继续办理已开始的申请，或稍后再试。",
        "Continúe con las solicitudes ya iniciadas, o espere.",
    ),
    Reason.BUSINESS_TOO_MANY_DOCUMENTS: Remedy(
        _S.FAILED_PRECONDITION,
        "Remove a document, or put several pages into one file.",
        "请删除一份材料，或将多页合并为一个文件。",
        "Quite un documento, o reúna varias páginas en un archivo.",
    ),
    Reason.BUSINESS_DOCUMENT_DIGEST: Remedy(
        _S.INVALID_ARGUMENT,
        "Send the file again: what arrived is not what was announced.",
        "请重新上传文件：收到的内容与声明不符。",
        "Envíe el archivo de nuevo: lo que llegó no es lo anunciado.",
    ),
    Reason.DELEGATION_MISSING: Remedy(
        _S.PERMISSION_DENIED,
        "Ask the applicant for a delegation for this kind of business, and accept it.",
        "请申请人就此项业务出具委托，并由您接受。",
        "Pida al solicitante una delegación para este trámite y acéptela.",
    ),
    Reason.DELEGATION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the delegations of the account that is signed in.",
        "请查看当前登录账户的委托列表。",
        "Liste las delegaciones de la cuenta con la que ha iniciado sesión.",
    ),
    Reason.DELEGATION_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the delegation; a new one can be offered.",
        "请查看该委托；可以重新出具委托。",
        "Mire la delegación; puede ofrecerse otra nueva.",
    ),
    Reason.DELEGATION_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Revoke a delegation that is no longer needed.",
        "请撤销不再需要的委托。",
        "Revoque una delegación que ya no haga falta.",
    ),
    Reason.FEEDBACK_TOO_OFTEN: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Thank you; what was sent will be read. Send more later.",
        "感谢您的反馈；已提交的内容会有人阅读。请稍后再提交。",
        "Gracias; lo enviado se leerá. Envíe más tarde lo demás.",
    ),
}
