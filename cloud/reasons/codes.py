"""Of codes, telephone numbers and messages."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.PHONE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Give a mobile number that can receive text messages; numbers of other countries with + and the country's code.",
        "请输入能接收短信的手机号码；境外号码请加 + 和国家代码。",
        "Dé un número móvil que reciba SMS; los de otros países, con + y el código del país.",
    ),
    Reason.PHONE_SEGMENT_UNSUPPORTED: Remedy(
        _S.FAILED_PRECONDITION,
        "Numbers of this segment are not served yet: change to another number and go on, or wait until the segment is opened.",
        "暂不支持该号段：请更换手机号码后继续，或等待该号段开通。",
        "Los números de este rango todavía no se admiten: cambie de número y continúe, o espere a que se abra el rango.",
    ),
    Reason.PHONE_OTHER_HOLDER: Remedy(
        _S.FAILED_PRECONDITION,
        "The carrier has this number under another person's name: give one of your own.",
        "运营商登记的机主与证件持有人不一致：请使用本人名下的手机号码。",
        "El operador tiene este número a nombre de otra persona: dé uno propio.",
    ),
    Reason.PHONE_HOLDER_UNKNOWN: Remedy(
        _S.FAILED_PRECONDITION,
        "The carrier could not say whose number this is: give another one, or go to a window.",
        "运营商无法确认该号码的机主：请更换号码，或到窗口办理。",
        "El operador no pudo decir de quién es este número: dé otro, o acuda a una ventanilla.",
    ),
    Reason.PHONE_MISSING: Remedy(
        _S.FAILED_PRECONDITION,
        "The account has no telephone number: give one first.",
        "账户没有手机号码：请先填写。",
        "La cuenta no tiene número de teléfono: dé uno primero.",
    ),
    Reason.PHONE_CHANGED: Remedy(
        _S.FAILED_PRECONDITION,
        "The account's number is another one by now: prove the new one.",
        "账户的手机号码已更换：请验证新号码。",
        "El número de la cuenta ya es otro: compruebe el nuevo.",
    ),
    Reason.SMS_TOO_OFTEN: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "If no message came, go to a place with a good signal, wait the time that is told, and ask again; or let a window have the number verified.",
        "若未收到短信，请到信号良好的地方，等待提示的时间后重新获取；或请窗口人员核实号码。",
        "Si no llegó el mensaje, vaya a un lugar con buena cobertura, espere el tiempo indicado y pida otro; o haga verificar el número en una ventanilla.",
        60.0,
    ),
    Reason.CODE_WRONG: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the newest message, and type its six digits.",
        "请查看最新短信，并输入其中的六位数字。",
        "Mire el mensaje más reciente y escriba sus seis cifras.",
    ),
    Reason.CODE_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask for a new code: one counts for five minutes.",
        "请重新获取验证码：验证码五分钟内有效。",
        "Pida un código nuevo: cada uno vale cinco minutos.",
    ),
    Reason.CODE_LOCKED: Remedy(
        _S.FAILED_PRECONDITION,
        "There were too many wrong tries: ask for a new code.",
        "错误次数过多：请重新获取验证码。",
        "Hubo demasiados intentos fallidos: pida un código nuevo.",
    ),
    Reason.CODE_USED: Remedy(
        _S.FAILED_PRECONDITION,
        "A code counts once: ask for a new one.",
        "验证码只能使用一次：请重新获取。",
        "Un código vale una sola vez: pida uno nuevo.",
    ),
    Reason.CODE_REPLACED: Remedy(
        _S.FAILED_PRECONDITION,
        "A newer code was sent: use that one.",
        "已发送新的验证码：请使用新的验证码。",
        "Se envió un código más nuevo: use ese.",
    ),
    Reason.CODE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Ask for a new code.",
        "请重新获取验证码。",
        "Pida un código nuevo.",
    ),
    Reason.SAME_STAFF: Remedy(
        _S.FAILED_PRECONDITION,
        "Whoever asked for a number to be verified does not vouch for it: let another person do it.",
        "申请核实号码的人员不能自行确认：请由另一位人员确认。",
        "Quien pidió verificar un número no responde por él: que lo haga otra persona.",
    ),
    Reason.MESSAGE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the id with verifield-cloud messages list.",
        "请用 verifield-cloud messages list 核对编号。",
        "Compruebe el identificador con verifield-cloud messages list.",
    ),
    Reason.MESSAGE_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Only a message that was given up can be taken up again.",
        "只有已放弃的消息才能重新发送。",
        "Solo se puede retomar un mensaje abandonado.",
    ),
    Reason.MESSAGE_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "What it said is no longer true, or no longer kept: let its receiver ask anew.",
        "消息内容已失效或不再保存：请收件人重新申请。",
        "Lo que decía ya no vale o ya no se conserva: que el destinatario lo pida de nuevo.",
    ),
}
