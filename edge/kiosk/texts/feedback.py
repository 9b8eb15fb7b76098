"""Feedback."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "feedback.title": {"zh": "您有什么意见？", "es": "¿Qué podemos mejorar?", "en": "What could be better?"},
    "feedback.lead": {
        "zh": "意见不记名。请不要写姓名、号码等个人信息。",
        "es": "Se envía sin su nombre. No escriba nombres, números ni otros datos personales.",
        "en": "It is sent without your name. Write no names, numbers or other personal data.",
    },
    "feedback.subject": {"zh": "关于", "es": "Se trata de", "en": "It is about"},
    "feedback.subject.PROCESS": {"zh": "办理流程", "es": "Los pasos", "en": "The steps"},
    "feedback.subject.SIGN_IN": {"zh": "登录", "es": "Entrar en la cuenta", "en": "Signing in"},
    "feedback.subject.SMS_CODE": {"zh": "短信验证码", "es": "El código del SMS", "en": "The code by message"},
    "feedback.subject.IDENTITY": {
        "zh": "四要素与证件",
        "es": "Los datos del documento",
        "en": "The card's elements",
    },
    "feedback.subject.FACE": {"zh": "人脸核验", "es": "La verificación de la cara", "en": "The face check"},
    "feedback.subject.MATERIAL": {
        "zh": "申请材料",
        "es": "Los documentos pedidos",
        "en": "The documents asked for",
    },
    "feedback.subject.DEVICE": {"zh": "这台设备", "es": "Este dispositivo", "en": "This device"},
    "feedback.subject.STAFF": {"zh": "工作人员", "es": "El personal", "en": "The staff"},
    "feedback.subject.OTHER": {"zh": "其他", "es": "Otra cosa", "en": "Something else"},
    "feedback.text": {"zh": "您的意见", "es": "Sus palabras", "en": "Your words"},
    "feedback.send": {"zh": "提交", "es": "Enviar", "en": "Send"},
    "feedback.away": {
        "zh": "您写的内容还在页面上，网络恢复后请再按一次。",
        "es": "Lo que escribió sigue en la página: pulse otra vez cuando vuelva.",
        "en": "Your words are still on the page: press again when it is back.",
    },
    "feedback.thanks": {"zh": "谢谢，已收到", "es": "Gracias, recibido", "en": "Thank you, it has come"},
    "feedback.ack": {
        "zh": "查询编号如下，请记下。",
        "es": "Anote este número para preguntar por ello.",
        "en": "Note this number to ask about it.",
    },
}
