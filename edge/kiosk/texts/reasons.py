"""Why a session ended as it did, in plain words, and the kiosk's faults. Others: edge.remedies."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "reason.unknown": {
        "zh": "设备报告：{code}",
        "es": "El dispositivo indica: {code}",
        "en": "The device says: {code}",
    },
    "reason.TIMEOUT": {
        "zh": "超时：{step}",
        "es": "Se acabó el tiempo: {step}",
        "en": "Time was up: {step}",
    },
    "reason.NO_ANSWER": {"zh": "缺少：{step}", "es": "Falta: {step}", "en": "Missing: {step}"},
    "step.START": {"zh": "开始", "es": "inicio", "en": "start"},
    "step.OPERATOR": {"zh": "操作员登录", "es": "identificación del operador", "en": "operator's sign-in"},
    "step.CONSENT": {"zh": "同意书", "es": "consentimiento", "en": "consent"},
    "step.DOCUMENT": {"zh": "读取证件", "es": "lectura del documento", "en": "reading the card"},
    "step.EARLIER_RECORDS": {"zh": "以往记录", "es": "registros anteriores", "en": "earlier records"},
    "step.CAPTURE": {"zh": "拍摄人脸", "es": "imagen de la cara", "en": "picture of the face"},
    "step.LIVENESS": {"zh": "活体检测", "es": "prueba de vida", "en": "liveness"},
    "step.MATCH": {"zh": "人脸比对", "es": "comparación de caras", "en": "comparison of faces"},
    "step.GALLERY": {"zh": "库内查找", "es": "búsqueda en la galería", "en": "search of the gallery"},
    "step.CUSTOMER_DATA": {"zh": "客户资料", "es": "datos del cliente", "en": "customer's data"},
    "step.NOTICE": {"zh": "重要提示", "es": "aviso", "en": "notice"},
    "step.SIGNATURE": {"zh": "签名", "es": "firma", "en": "signature"},
    "reason.SCORE_BELOW_THRESHOLD": {
        "zh": "人脸与证件照片不够相似",
        "es": "La cara no se parece lo bastante a la foto del documento",
        "en": "The face is not enough like the photo on the card",
    },
    "reason.NO_MATCH_SCORE": {
        "zh": "没有可以比对的人脸照片",
        "es": "No hubo ninguna imagen que comparar",
        "en": "There was no picture to compare",
    },
    "reason.NO_CAPTURE": {"zh": "没有拍到人脸", "es": "No se vio ninguna cara", "en": "No face was seen"},
    "reason.NO_DOCUMENT": {
        "zh": "没有读到证件",
        "es": "No se leyó ningún documento",
        "en": "No card was read",
    },
    "reason.NO_DOCUMENT_VALIDITY": {
        "zh": "无法判断证件是否有效",
        "es": "No se sabe si el documento es válido",
        "en": "Nobody can tell whether the card is valid",
    },
    "reason.NO_DOCUMENT_PHOTO": {
        "zh": "证件照片无法读取",
        "es": "La foto del documento no se puede leer",
        "en": "The card's photo cannot be read",
    },
    "reason.DOCUMENT_EXPIRED": {
        "zh": "证件已过期",
        "es": "El documento ha caducado",
        "en": "The card has expired",
    },
    "reason.DOCUMENT_NOT_YET_VALID": {
        "zh": "证件尚未生效",
        "es": "El documento todavía no es válido",
        "en": "The card is not valid yet",
    },
    "reason.DOCUMENT_VALIDITY_UNCERTAIN": {
        "zh": "设备时钟不确定，无法确认证件有效期",
        "es": "El reloj no es seguro: la validez del documento queda por comprobar",
        "en": "The clock is not certain, so the card's validity must be checked",
    },
    "reason.DOCUMENT_NOT_FROM_CHIP": {
        "zh": "证件内容不是从芯片读取的",
        "es": "Los datos no se leyeron del chip",
        "en": "The data were not read from the chip",
    },
    "reason.GALLERY_SECOND_CHECK": {
        "zh": "库中有非常相似的人，需要人工确认",
        "es": "Hay personas muy parecidas: alguien debe comprobarlo",
        "en": "Others look very much alike, so somebody has to look",
    },
    "reason.CAPTURE_INTERRUPTED": {
        "zh": "摄像头曾中断，已重新开始",
        "es": "La cámara se interrumpió y se empezó de nuevo",
        "en": "The camera was lost on the way, and it began anew",
    },
    "reason.PERSON_STOPPED": {
        "zh": "客户停止了核验",
        "es": "La persona no quiso seguir",
        "en": "The person stopped it",
    },
    "reason.OPERATOR_STOPPED": {
        "zh": "操作员停止了核验",
        "es": "Lo detuvo el operador",
        "en": "The operator stopped it",
    },
    "reason.OPERATOR_IDLE": {
        "zh": "操作员已因长时间无操作退出登录",
        "es": "La sesión del operador caducó por inactividad",
        "en": "The operator was idle for too long and is signed out",
    },
    "reason.OPERATOR_IS_APPLICANT": {
        "zh": "操作员不能核验自己",
        "es": "Nadie puede verificarse a sí mismo",
        "en": "Operators cannot verify themselves",
    },
    "reason.OTHER_PERSON": {
        "zh": "证件不是所等待的人的",
        "es": "El documento es de otra persona",
        "en": "The card is somebody else's than the one awaited",
    },
    "reason.CONSENT_REFUSED": {
        "zh": "没有同意",
        "es": "No se dio el consentimiento",
        "en": "Consent was not given",
    },
    "reason.EXITED_AT_EARLIER_RECORDS": {
        "zh": "看过以往记录后退出",
        "es": "Se salió tras ver los registros anteriores",
        "en": "Left after the earlier records were shown",
    },
    "reason.CUSTOMER_DATA_REFUSED": {
        "zh": "没有提供客户资料",
        "es": "No se dieron los datos",
        "en": "The customer's data were not given",
    },
    "reason.NOTICE_REFUSED": {
        "zh": "没有确认提示",
        "es": "No se confirmó el aviso",
        "en": "The notice was not confirmed",
    },
    "reason.SIGNATURE_REFUSED": {"zh": "没有签名", "es": "No se firmó", "en": "Nothing was signed"},
    "reason.INTERNAL_FAULT": {
        "zh": "设备内部出错，已有记录",
        "es": "Error interno del dispositivo",
        "en": "Something went wrong inside the device",
    },
    "reason.INTERRUPTED": {
        "zh": "设备被停止",
        "es": "Se detuvo el dispositivo",
        "en": "The device was stopped",
    },
    "reason.SPOOF": {
        "zh": "镜头前的不是真人",
        "es": "Ante la cámara no hay una persona viva",
        "en": "There is no live person before the camera",
    },
    "reason.ATTEMPTS_USED_UP": {
        "zh": "该证件短时间内失败次数过多，请一刻钟后再试",
        "es": "Demasiados intentos fallidos con este documento: espere un cuarto de hora",
        "en": "Too many failed attempts with this card: wait a quarter of an hour",
    },
    "reason.KIOSK_BUSY": {
        "zh": "正在进行核验",
        "es": "Hay una sesión en curso",
        "en": "A session is under way",
    },
    "reason.OTHER_PAGE": {
        "zh": "另一个页面正在操作",
        "es": "Otra página tiene el control",
        "en": "Another page has the controls",
    },
    "reason.QUESTION_OVER": {
        "zh": "这个问题已经结束",
        "es": "Esa pregunta ya terminó",
        "en": "That question is over",
    },
    "reason.SESSION_RUNNING": {
        "zh": "核验仍在进行",
        "es": "La sesión sigue en curso",
        "en": "The session is still under way",
    },
    "reason.BAD_REQUEST": {
        "zh": "页面已过时，请刷新",
        "es": "La página está anticuada: vuelva a cargarla",
        "en": "The page is out of date: reload it",
    },
    "reason.SIGNATURE_EMPTY": {
        "zh": "请签下完整的名字",
        "es": "Firme con su nombre completo",
        "en": "Sign with the whole name",
    },
    "reason.NO_OPERATOR": {
        "zh": "本设备没有这位操作员",
        "es": "No hay tal operador en este dispositivo",
        "en": "There is no such operator on this device",
    },
}
