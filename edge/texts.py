"""Every sentence that a person on a device reads, in zh, es and en. Codes stay the same in all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from edge.answers import Refusal
from edge.model import Outcome, Prompt, Standing

Language = Literal["zh", "es", "en"]

PROMPTS: dict[Prompt, dict[Language, str]] = {
    Prompt.PLACE_CARD: {
        "zh": "请将身份证放在读卡区。",
        "es": "Coloque el documento sobre el lector.",
        "en": "Lay the ID card on the reader.",
    },
    Prompt.LIFT_CARD: {
        "zh": "请拿起身份证。",
        "es": "Levante el documento del lector.",
        "en": "Lift the ID card off the reader.",
    },
    Prompt.PLUG_IN_READER: {
        "zh": "读卡器已断开，请重新插好。",
        "es": "El lector se ha desconectado: vuelva a enchufarlo.",
        "en": "The card reader is unplugged. Plug it in again.",
    },
    Prompt.LOOK_AT_CAMERA: {
        "zh": "请看镜头。",
        "es": "Mire a la cámara.",
        "en": "Look into the camera.",
    },
    Prompt.COME_CLOSER: {"zh": "请靠近一些。", "es": "Acérquese.", "en": "Come closer."},
    Prompt.MOVE_BACK: {"zh": "请后退一些。", "es": "Aléjese un poco.", "en": "Move back a little."},
    Prompt.ONE_PERSON_ONLY: {
        "zh": "请只留一人在镜头前。",
        "es": "Solo una persona ante la cámara, por favor.",
        "en": "Only one person in view, please.",
    },
    Prompt.MORE_LIGHT: {
        "zh": "请面向光源。",
        "es": "Gírese hacia la luz.",
        "en": "Turn towards the light.",
    },
    Prompt.LESS_LIGHT: {
        "zh": "光线太强，请避开强光。",
        "es": "Hay demasiada luz: apártese de la luz fuerte.",
        "en": "Too much light. Step out of the glare.",
    },
    Prompt.PLAIN_LIGHT: {
        "zh": "请到普通白光下。",
        "es": "Póngase bajo una luz blanca normal.",
        "en": "Stand in plain white light.",
    },
    Prompt.MOVE_TO_MIDDLE: {
        "zh": "请站到画面中间。",
        "es": "Póngase en el centro de la imagen.",
        "en": "Move to the middle of the picture.",
    },
    Prompt.UNCOVER_FACE: {
        "zh": "请露出眼睛和嘴（摘下墨镜或口罩）。",
        "es": "Descubra los ojos y la boca (sin gafas de sol ni mascarilla).",
        "en": "Uncover your eyes and mouth (no sunglasses or mask).",
    },
    Prompt.HOLD_STILL: {"zh": "请保持不动。", "es": "No se mueva.", "en": "Hold still."},
    Prompt.TURN_LEFT: {
        "zh": "← 请把头转向您的左边。",
        "es": "← Gire la cabeza hacia su izquierda.",
        "en": "← Turn your head to your left.",
    },
    Prompt.TURN_RIGHT: {
        "zh": "→ 请把头转向您的右边。",
        "es": "→ Gire la cabeza hacia su derecha.",
        "en": "→ Turn your head to your right.",
    },
    Prompt.LOOK_STRAIGHT: {"zh": "请正视镜头。", "es": "Mire al frente.", "en": "Look straight ahead."},
    Prompt.WATCH_SCREEN: {
        "zh": "☀ 请看屏幕并保持不动：屏幕会变换颜色。",
        "es": "☀ Mire la pantalla sin moverse: cambiará de color.",
        "en": "☀ Keep looking at the screen and hold still: it changes colour.",
    },
    Prompt.OPEN_MOUTH: {
        "zh": "◯ 请看屏幕，张开嘴。",
        "es": "◯ Mire la pantalla y abra la boca.",
        "en": "◯ Look at the screen and open your mouth.",
    },
    Prompt.CAMERA_LOST: {
        "zh": "摄像头已断开，请重新插好。",
        "es": "La cámara se ha desconectado: vuelva a enchufarla.",
        "en": "The camera is unplugged. Plug it in again.",
    },
    Prompt.CAMERA_FROZEN: {
        "zh": "摄像头画面卡住，请拔下后重新插好。",
        "es": "La imagen de la cámara está congelada: desenchúfela y vuelva a enchufarla.",
        "en": "The camera's picture is frozen. Unplug the camera and plug it in again.",
    },
    Prompt.CAMERA_BLACK: {
        "zh": "摄像头画面全黑，请移开遮挡物并打开灯。",
        "es": "La cámara no ve nada: destape la lente y encienda la luz.",
        "en": "The camera sees only black. Uncover its lens and switch on the light.",
    },
    Prompt.CAMERA_BUSY: {
        "zh": "摄像头正被其他程序占用，请关闭该程序。",
        "es": "Otro programa usa la cámara: ciérrelo.",
        "en": "Another program uses the camera. Close that program.",
    },
    Prompt.DONE: {"zh": "完成，谢谢。", "es": "Listo, gracias.", "en": "Done, thank you."},
}


class Ask(StrEnum):
    """What a desk asks and answers, beside the texts that the policy brings."""

    WHO = "WHO"
    PIN = "PIN"
    AGREE = "AGREE"
    CONFIRM = "CONFIRM"
    EARLIER = "EARLIER"
    GO_ON = "GO_ON"
    AGAIN = "AGAIN"
    SIGN = "SIGN"
    YES = "YES"
    NO_OPERATOR = "NO_OPERATOR"
    UNCHECKED = "UNCHECKED"  # with the code of what is wrong
    WAIT = "WAIT"  # with seconds


HAS_READ: dict[Language, str] = {
    "zh": "本人已从头到尾阅读《{title}》并愿意签署？",
    "es": "¿Ha leído la persona todo el documento «{title}» y quiere firmarlo?",
    "en": "Has the person read all of “{title}”, and do they want to sign it?",
}
"""Asked of the operator before a contract is signed."""


QUALITY_REASONS: dict[str, dict[Language, str]] = {
    "FACE_UNCLEAR": {"zh": "看不清人脸", "es": "No se ve bien la cara", "en": "The face is unclear"},
    "FACE_TOO_SMALL": {"zh": "人脸太小", "es": "La cara es demasiado pequeña", "en": "The face is too small"},
    "FACE_TOO_LARGE": {
        "zh": "离镜头太近",
        "es": "La cara está demasiado cerca",
        "en": "The face is too near",
    },
    "FACE_CROPPED": {
        "zh": "人脸超出画面",
        "es": "La cara se sale de la imagen",
        "en": "The face is cut by the picture's edge",
    },
    "HEAD_TURNED": {"zh": "头部左右偏转", "es": "La cabeza está girada", "en": "The head is turned"},
    "HEAD_NODDED": {
        "zh": "抬头或低头过多",
        "es": "La cabeza está levantada o bajada",
        "en": "The chin is too high or too low",
    },
    "HEAD_TILTED": {"zh": "头部倾斜", "es": "La cabeza está inclinada", "en": "The head is tilted"},
    "TOO_DARK": {"zh": "太暗", "es": "Demasiado oscuro", "en": "Too dark"},
    "TOO_BRIGHT": {"zh": "太亮", "es": "Demasiado claro", "en": "Too bright"},
    "UNEVEN_LIGHT": {
        "zh": "光线不均匀",
        "es": "La luz es desigual",
        "en": "One side of the face is in the shade",
    },
    "LOW_CONTRAST": {"zh": "对比度太低", "es": "Contraste demasiado bajo", "en": "Too little contrast"},
    "EYES_COVERED": {"zh": "眼睛被遮挡", "es": "Los ojos están cubiertos", "en": "The eyes are covered"},
    "MOUTH_COVERED": {"zh": "嘴部被遮挡", "es": "La boca está cubierta", "en": "The mouth is covered"},
    "NO_COLOUR": {"zh": "画面没有颜色", "es": "La imagen no tiene color", "en": "The picture has no colour"},
    "COLOUR_CAST": {
        "zh": "颜色失真",
        "es": "Los colores no son naturales",
        "en": "The colours are not natural",
    },
    "BLURRED": {"zh": "画面模糊", "es": "La imagen está borrosa", "en": "The picture is blurred"},
    "MULTIPLE_FACES": {"zh": "画面中不止一人", "es": "Hay más de una persona", "en": "More than one person"},
}
"""Why a face could not be judged, by the reasons of ``edge.capture.quality``."""

ASKS: dict[Ask, dict[Language, str]] = {
    Ask.WHO: {"zh": "操作员：", "es": "Operador: ", "en": "Operator: "},
    Ask.PIN: {"zh": "PIN 码：", "es": "PIN: ", "en": "PIN: "},
    Ask.AGREE: {"zh": "您同意吗？", "es": "¿Está de acuerdo?", "en": "Do you agree?"},
    Ask.CONFIRM: {"zh": "您已阅读并确认？", "es": "¿Leído y conforme?", "en": "Read and confirmed?"},
    Ask.EARLIER: {
        "zh": "本设备对该证件的以往记录：",
        "es": "Registros anteriores de este documento en este dispositivo:",
        "en": "Earlier records of this document on this device:",
    },
    Ask.GO_ON: {"zh": "继续核验？", "es": "¿Continuar?", "en": "Continue?"},
    Ask.AGAIN: {
        "zh": "该内容无法使用，请重新输入。",
        "es": "Ese dato no es válido; escríbalo de nuevo.",
        "en": "That cannot be used; enter it again.",
    },
    Ask.SIGN: {
        "zh": "请输入您的全名以签字（留空表示拒绝）：",
        "es": "Escriba su nombre completo para firmar (vacío: no firma): ",
        "en": "Type your full name to sign (leave empty to refuse): ",
    },
    Ask.YES: {"zh": "是", "es": "sí", "en": "yes"},
    Ask.NO_OPERATOR: {
        "zh": "本设备没有这位操作员。",
        "es": "No hay tal operador en este dispositivo.",
        "en": "There is no such operator on this device.",
    },
    Ask.UNCHECKED: {
        "zh": "无法核对登录信息（{code}）。",
        "es": "No se pudo comprobar la identidad ({code}).",
        "en": "The sign-in could not be checked ({code}).",
    },
    Ask.WAIT: {"zh": "请等待 {seconds} 秒。", "es": "Espere {seconds} s.", "en": "Wait {seconds} s."},
}

FIELDS: dict[str, dict[Language, str]] = {
    "document_name": {"zh": "证件上的姓名", "es": "Nombre en el documento", "en": "Name on the document"},
    "document_number": {"zh": "证件号码", "es": "Número del documento", "en": "Number of the document"},
    "document_valid_from": {
        "zh": "有效期起（如 2020-01-31）",
        "es": "Válido desde (p. ej. 2020-01-31)",
        "en": "Valid from (as 2020-01-31)",
    },
    "document_valid_to": {
        "zh": "有效期止（如 2040-01-31，或：长期）",
        "es": "Válido hasta (p. ej. 2040-01-31, o: largo plazo)",
        "en": "Valid to (as 2040-01-31, or: long-term)",
    },
    "phone": {"zh": "手机号码", "es": "Teléfono móvil", "en": "Mobile phone number"},
    "email": {"zh": "电子邮箱", "es": "Correo electrónico", "en": "E-mail address"},
    "address": {"zh": "联系地址", "es": "Dirección", "en": "Postal address"},
}
"""Labels of what a desk asks for: the elements of a document, and customer fields; others show their name."""

OUTCOMES: dict[Outcome, dict[Language, str]] = {
    Outcome.VERIFIED: {
        "zh": "核验通过：本人在场，且与证件照片一致。",
        "es": "Verificado: persona presente y coincide con la foto del documento.",
        "en": "Verified: a live person whose face matches the card's photo.",
    },
    Outcome.NOT_MATCHED: {
        "zh": "不一致：本人在场，但与证件照片不符。",
        "es": "No coincide: persona presente, pero no es la de la foto del documento.",
        "en": "Not matched: a live person, but not the one on the card's photo.",
    },
    Outcome.SPOOF: {
        "zh": "疑似冒用：镜头前的不是真人。",
        "es": "Suplantación: ante la cámara no hay una persona viva.",
        "en": "Spoof: what the camera sees is not a live person.",
    },
    Outcome.INCONCLUSIVE: {
        "zh": "无法判断，请重试。",
        "es": "No se pudo decidir; inténtelo de nuevo.",
        "en": "No decision was possible; try again.",
    },
    Outcome.MANUAL: {
        "zh": "已由两名工作人员人工核定。",
        "es": "Decidido por dos personas.",
        "en": "Decided by two people.",
    },
    Outcome.ABORTED: {"zh": "已中止。", "es": "Interrumpido.", "en": "Stopped before a decision."},
}

STANDINGS: dict[Standing, dict[Language, str]] = {
    Standing.NORMAL: {
        "zh": "设备可以使用。",
        "es": "El dispositivo está listo.",
        "en": "This device is ready.",
    },
    Standing.DEGRADED: {
        "zh": "设备可以使用，但已久未联网：记录将带有标记。请尽快联网。",
        "es": "El dispositivo funciona, pero lleva mucho tiempo sin contacto: los registros quedan marcados. "
        "Conéctelo pronto.",
        "en": "This device works, but records are marked: no word from the cloud for long. Connect it.",
    },
    Standing.STOPPED: {
        "zh": "设备已停止受理：离线时间过长。请联网后再试。",
        "es": "El dispositivo no admite sesiones: lleva demasiado tiempo sin contacto. Conéctelo a la red.",
        "en": "This device takes no session: it had no word from the cloud for too long. Connect it.",
    },
    Standing.LOCKED: {
        "zh": "设备已被锁定。请联系管理员。",
        "es": "El dispositivo está bloqueado. Avise a su responsable.",
        "en": "This device is locked. Call whoever is in charge of it.",
    },
}

REFUSALS: dict[Refusal, dict[Language, str]] = {
    Refusal.WRONG: {
        "zh": "登录失败，请重试。",
        "es": "No se pudo iniciar la sesión; inténtelo de nuevo.",
        "en": "The sign-in failed; try again.",
    },
    Refusal.BLOCKED: {
        "zh": "失败次数过多，请稍后再试。",
        "es": "Demasiados intentos fallidos; espere antes de intentarlo de nuevo.",
        "en": "Too many failed attempts; wait before the next one.",
    },
    Refusal.BUSY: {
        "zh": "此人正在另一处登录，请重试。",
        "es": "Hay otro intento de la misma persona en curso; inténtelo de nuevo.",
        "en": "Another attempt of the same person is under way; try again.",
    },
}
