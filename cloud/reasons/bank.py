"""Of verifications for banks."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.CARD_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Put the identity card on the reader first.",
        "请先在读卡器上读取居民身份证。",
        "Coloque primero el documento de identidad sobre el lector.",
    ),
    Reason.CARD_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "The card's validity is over, or has not begun; use a card that is valid today.",
        "该证件不在有效期内；请使用有效的居民身份证。",
        "El documento no está vigente; use uno que sea válido hoy.",
    ),
    Reason.FACE_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Pass the face verification first.",
        "请先通过人脸识别。",
        "Supere primero la verificación facial.",
    ),
    Reason.RECORDS_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Show the earlier records first (ListRecords).",
        "请先显示已有的核查记录。",
        "Muestre primero los registros anteriores.",
    ),
    Reason.DECISION_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "The customer decides first: leave, or continue.",
        "请客户先选择“退出”或“继续核查”。",
        "El cliente decide primero: salir o continuar.",
    ),
    Reason.CUSTOMER_UNCONFIRMED: Remedy(
        _S.FAILED_PRECONDITION,
        "The customer confirms the information first.",
        "请客户先确认客户信息。",
        "El cliente confirma primero sus datos.",
    ),
    Reason.CUSTOMER_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Create the customer's information first.",
        "请先录入客户信息。",
        "Cree primero los datos del cliente.",
    ),
    Reason.CUSTOMER_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id, the version, or the number.",
        "请核对客户编号、版本或证件号码。",
        "Compruebe el identificador, la versión o el número.",
    ),
    Reason.COMPLETION_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Choose bank, company and period first.",
        "请先选择银行、单位名称和有效期。",
        "Elija primero banco, empresa y plazo.",
    ),
    Reason.NOTICES_UNCONFIRMED: Remedy(
        _S.FAILED_PRECONDITION,
        "The customer confirms the important notice first.",
        "请客户先确认重要提示。",
        "El cliente confirma primero el aviso importante.",
    ),
    Reason.NOTICE_OUTDATED: Remedy(
        _S.FAILED_PRECONDITION,
        "Show the newest notice (GetNotices), and have that confirmed.",
        "请重新显示最新的重要提示并由客户确认。",
        "Muestre el aviso más reciente y haga que el cliente lo confirme.",
    ),
    Reason.NOTICE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "There is no notice of this version.",
        "没有该版本的重要提示。",
        "No hay ningún aviso de esa versión.",
    ),
    Reason.SIGNATURE_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "The customer signs first.",
        "请客户先签名。",
        "El cliente firma primero.",
    ),
    Reason.SIGNATURE_EMPTY: Remedy(
        _S.INVALID_ARGUMENT,
        "Sign on the pad with the whole name.",
        "请在签名板上签写完整姓名。",
        "Firme en la tableta con el nombre completo.",
    ),
    Reason.SIGNATURE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Clear the pad and sign again; the picture must show the whole pad.",
        "请清除后重新签名；图像须显示整个签名板。",
        "Borre la tableta y firme de nuevo; la imagen debe mostrar toda la tableta.",
    ),
    Reason.REQUEST_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Issue the request first.",
        "请先生成申请书。",
        "Genere primero la solicitud.",
    ),
    Reason.STEP_DONE: Remedy(
        _S.FAILED_PRECONDITION,
        "This step was done; go on with the next one (GetSession tells the state).",
        "该步骤已完成；请继续下一步。",
        "Este paso ya se hizo; continúe con el siguiente.",
    ),
    Reason.COOP_SESSION_ENDED: Remedy(
        _S.FAILED_PRECONDITION,
        "The session has ended; begin a new one.",
        "本次办理已结束；请重新开始。",
        "La sesión ha terminado; comience una nueva.",
    ),
    Reason.COOP_SESSION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "This device has no such session; begin a new one.",
        "本设备没有该办理会话；请重新开始。",
        "Este dispositivo no tiene esa sesión; comience una nueva.",
    ),
    Reason.COOP_SESSIONS_OPEN: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Finish or cancel a session of this device first.",
        "请先完成或取消本设备上的其他办理。",
        "Termine o cancele antes otra sesión de este dispositivo.",
        retry_s=60.0,
    ),
    Reason.COOP_CHECK_RUNNING: Remedy(
        _S.UNAVAILABLE,
        "The authority is being asked; try again in a moment.",
        "正在核查，请稍候重试。",
        "La consulta está en curso; inténtelo de nuevo en un momento.",
        retry_s=2.0,
    ),
    Reason.COOP_RECORD_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id or the number of the record.",
        "请核对核查记录的编号。",
        "Compruebe el identificador o el número del registro.",
    ),
    Reason.COOP_RECORD_REVOKED: Remedy(
        _S.FAILED_PRECONDITION,
        "The record was revoked already.",
        "该核查记录已被撤销。",
        "El registro ya fue revocado.",
    ),
    Reason.CHOICE_WITHDRAWN: Remedy(
        _S.FAILED_PRECONDITION,
        "Bank, period or company can no longer be chosen so: begin a new session and choose again.",
        "所选银行、有效期或单位已不可用；请重新开始并重新选择。",
        "El banco, el plazo o la empresa ya no se pueden elegir así: comience otra sesión y elija de nuevo.",
    ),
    Reason.CUSTOMER_CHANGES_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Confirm the newest version, or begin a new session.",
        "请确认最新版本，或重新开始。",
        "Confirme la última versión o comience una nueva sesión.",
    ),
    Reason.DEVICE_NOT_ACTIVE: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask the operator: the device was suspended by an alarm, or another took its place.",
        "请联系运维人员：该设备因告警被暂停，或已被替换。",
        "Consulte al operador: el dispositivo está suspendido por una alarma, o fue sustituido por otro.",
    ),
    Reason.BANK_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id of the bank.",
        "请核对银行编号。",
        "Compruebe el identificador del banco.",
    ),
    Reason.BANK_NOT_OFFERED: Remedy(
        _S.INVALID_ARGUMENT,
        "Choose a bank from the list.",
        "请从列表中选择银行。",
        "Elija un banco de la lista.",
    ),
    Reason.BANK_CODE_TAKEN: Remedy(
        _S.ALREADY_EXISTS,
        "Another bank has this code; choose another one.",
        "该代码已被其他银行使用；请另选。",
        "Otro banco tiene este código; elija otro.",
    ),
    Reason.PERIOD_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Periods are like P90D, P6M or P1Y, ten years at most.",
        "有效期格式如 P90D、P6M、P1Y，最长十年。",
        "Los plazos son como P90D, P6M o P1Y, como máximo diez años.",
    ),
    Reason.PERIOD_NOT_OFFERED: Remedy(
        _S.INVALID_ARGUMENT,
        "Choose a period that the bank offers.",
        "请选择该银行提供的有效期。",
        "Elija un plazo que el banco ofrezca.",
    ),
    Reason.ORGANISATION_NAME_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Give the full registered name of the company.",
        "请填写完整的单位名称。",
        "Indique el nombre completo de la empresa.",
    ),
    Reason.ORGANISATION_NOT_LINKED: Remedy(
        _S.INVALID_ARGUMENT,
        "Choose an organisation of this customer, or give its name.",
        "请选择该客户已关联的单位，或填写单位名称。",
        "Elija una organización de este cliente o indique su nombre.",
    ),
    Reason.ORGANISATIONS_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "End a link that is no longer needed first.",
        "请先解除不再需要的单位关联。",
        "Quite antes un vínculo que ya no se necesite.",
    ),
}
