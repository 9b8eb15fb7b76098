"""Of contracts."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.REAL_NAME_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Verify your identity first; without it nothing is sent or signed.",
        "请先完成实名认证；未实名不能发起或签署合同。",
        "Verifique primero su identidad; sin ello no se envía ni se firma nada.",
    ),
    Reason.CONTRACT_OTHERS: Remedy(
        _S.PERMISSION_DENIED,
        "Only its sender and its parties see a contract; open the link of your invitation.",
        "只有发起方和签约方可以查看合同；请打开您的邀请链接。",
        "Solo el remitente y las partes ven un contrato; abra el enlace de su invitación.",
    ),
    Reason.CONTRACT_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the contract's state; what was asked for is not possible in it.",
        "请查看合同状态；当前状态不允许此操作。",
        "Consulte el estado del contrato; lo pedido no es posible en él.",
    ),
    Reason.CONTRACT_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Send or delete some of your drafts first.",
        "请先发送或删除部分草稿。",
        "Envíe o borre antes algunos de sus borradores.",
    ),
    Reason.CONTRACT_SENT_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "So many contracts were sent within a day; send the next ones tomorrow.",
        "一天内发送的合同已达上限；请明天再发送。",
        "Se enviaron demasiados contratos en un día; envíe los siguientes mañana.",
        retry_s=3600,
    ),
    Reason.CONTRACT_PDF_REFUSED: Remedy(
        _S.INVALID_ARGUMENT,
        "The fact why tells what is wrong with the PDF; print it anew to a plain PDF and upload that.",
        "why 指出 PDF 的问题；请重新打印为普通 PDF 后上传。",
        "El dato why indica el problema del PDF; imprímalo de nuevo como PDF simple y súbalo.",
    ),
    Reason.CONTRACT_DEADLINE: Remedy(
        _S.INVALID_ARGUMENT,
        "Give a deadline in the future, at most 366 days from now.",
        "请填写未来的截止时间，最长 366 天。",
        "Indique un plazo futuro, de 366 días como máximo.",
    ),
    Reason.CONTRACT_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "The deadline has passed; ask the sender for a new contract.",
        "合同已过截止时间；请联系发起方重新发起。",
        "El plazo ha pasado; pida al remitente un contrato nuevo.",
    ),
    Reason.CONTRACT_INCOMPLETE: Remedy(
        _S.FAILED_PRECONDITION,
        "Add what the fact missing names, then send it.",
        "请补充 missing 所列内容后再发送。",
        "Añada lo que indica missing y envíelo después.",
    ),
    Reason.CONTRACT_REVIEW_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Wait until all who were asked have approved it.",
        "请等待所有内部审批人批准。",
        "Espere a que lo aprueben todos los revisores internos.",
    ),
    Reason.CONTRACT_REVIEWER_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Name people who may act for the organisation that sends the contract, not yourself.",
        "请指定可代表发起机构的人员，且不能是本人。",
        "Indique personas que puedan actuar por la organización remitente, no usted mismo.",
    ),
    Reason.CONTRACT_REASON_REQUIRED: Remedy(
        _S.INVALID_ARGUMENT,
        "Say why.",
        "请填写理由。",
        "Indique el motivo.",
    ),
    Reason.CONTRACT_REMINDED: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "They were told a short time ago; wait some hours.",
        "刚刚已经提醒过；请过几小时再试。",
        "Se les avisó hace poco; espere unas horas.",
        retry_s=3600.0,
    ),
    Reason.CONTRACT_RETENTION: Remedy(
        _S.FAILED_PRECONDITION,
        "It is kept until its retention ends (the fact until); it can be made longer, not shorter.",
        "合同须保存至保留期结束（until）；保留期只能延长。",
        "Se conserva hasta el fin de su plazo (until); puede alargarse, no acortarse.",
    ),
    Reason.CONTRACT_NOT_COMPLETE: Remedy(
        _S.FAILED_PRECONDITION,
        "Wait until all have signed; half-signed documents go to those who sign alone.",
        "请等待全部签署完成；未签完的文件只提供给签署方。",
        "Espere a que firmen todos; lo firmado a medias es solo para quienes firman.",
    ),
    Reason.CONTRACT_NOT_READ: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at all pages, then confirm that you have read the document.",
        "请查看全部页面，然后确认已阅读。",
        "Vea todas las páginas y confirme después que ha leído el documento.",
    ),
    Reason.CONTRACT_DOCUMENT_OTHER: Remedy(
        _S.ABORTED,
        "This is not the document of the contract; read it again.",
        "这不是该合同的文件；请重新阅读。",
        "Este no es el documento del contrato; léalo de nuevo.",
    ),
    Reason.CONTRACT_NOT_YOUR_TURN: Remedy(
        _S.FAILED_PRECONDITION,
        "Wait for those who act before you; you are told when it is your turn.",
        "请等待前序签约方完成；轮到您时会收到通知。",
        "Espere a quienes van antes; se le avisará cuando le toque.",
    ),
    Reason.CONTRACT_NO_PAGE: Remedy(
        _S.NOT_FOUND,
        "The document has fewer pages.",
        "文件没有这么多页。",
        "El documento tiene menos páginas.",
    ),
    Reason.CONTRACT_PAGE_FAILED: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Ask for a smaller picture, or try again in a moment.",
        "请减小图片尺寸，或稍后再试。",
        "Pida una imagen menor o inténtelo en un momento.",
        retry_s=2.0,
    ),
    Reason.PARTIES_TOO_FEW: Remedy(
        _S.INVALID_ARGUMENT,
        "A contract has two parties or more, or its sender signs alone; somebody has to sign.",
        "合同至少需要两方，或由发起方单独签署；必须有签署方。",
        "Un contrato tiene dos partes o más, o firma solo el remitente; alguien debe firmar.",
    ),
    Reason.PARTY_DUPLICATE: Remedy(
        _S.INVALID_ARGUMENT,
        "Name each party once.",
        "每个签约方只能填写一次。",
        "Indique cada parte una sola vez.",
    ),
    Reason.PARTY_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "The fact why names what is wrong with the party at the fact number.",
        "why 指出第 number 个签约方的问题。",
        "El dato why indica qué falla en la parte número number.",
    ),
    Reason.PARTIES_ORDER: Remedy(
        _S.INVALID_ARGUMENT,
        "Let those who approve come before the last one who signs.",
        "审批方须排在最后一个签署方之前。",
        "Quienes aprueban van antes del último que firma.",
    ),
    Reason.PARTY_IDENTITY_MISMATCH: Remedy(
        _S.FAILED_PRECONDITION,
        "The invitation is for somebody with another name; ask the sender to send it to your verified name.",
        "邀请的姓名与您的实名不一致；请联系发起方更正。",
        "La invitación es para otro nombre; pida al remitente que use su nombre verificado.",
    ),
    Reason.INVITATION_INVALID: Remedy(
        _S.NOT_FOUND,
        "The link was used, replaced or ended; ask the sender to remind you, which sends a new one.",
        "链接已使用、已更换或已失效；请让发起方重新提醒以获取新链接。",
        "El enlace se usó, se cambió o terminó; pida un recordatorio, que trae otro nuevo.",
    ),
    Reason.MARKS_REFUSED: Remedy(
        _S.INVALID_ARGUMENT,
        "The facts why and index name the place that is wrong; move it.",
        "why 和 index 指出有问题的位置；请移动该控件。",
        "Los datos why e index indican el lugar incorrecto; muévalo.",
    ),
    Reason.MARKS_NO_ROOM: Remedy(
        _S.FAILED_PRECONDITION,
        "The last page has no room for all marks; place them yourself.",
        "末页放不下全部签署控件；请手动放置。",
        "En la última página no caben todas las marcas; colóquelas usted.",
    ),
    Reason.REVISION_MOVED: Remedy(
        _S.ABORTED,
        "Somebody signed meanwhile; sign again on the document as it is now.",
        "期间有其他方签署；请在最新版本上重新签署。",
        "Alguien firmó mientras tanto; firme de nuevo sobre el documento actual.",
    ),
}
