"""The verification, from the first screen to the receipt."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "session.verify": {"zh": "身份核验", "es": "Verificación", "en": "Verification"},
    "verify.title": {"zh": "核验身份", "es": "Verificar a una persona", "en": "Verify a person"},
    "verify.lead": {
        "zh": "整个过程约一分钟，屏幕会逐步提示。",
        "es": "Dura cerca de un minuto. La pantalla guía paso a paso.",
        "en": "It takes about a minute. The screen leads through it step by step.",
    },
    "verify.step.card": {
        "zh": "把身份证放在读卡器上",
        "es": "Documento sobre el lector",
        "en": "ID card on the reader",
    },
    "verify.step.face": {
        "zh": "看镜头，按提示做动作",
        "es": "Mirar a la cámara y seguir las indicaciones",
        "en": "Look into the camera, follow the prompts",
    },
    "verify.step.done": {"zh": "得到结果与回执", "es": "Resultado y recibo", "en": "Result and receipt"},
    "verify.begin": {"zh": "开始", "es": "Empezar", "en": "Begin"},
    "verify.card.title": {
        "zh": "请出示身份证",
        "es": "Su documento, por favor",
        "en": "Your ID card, please",
    },
    "verify.capture.title": {"zh": "请看镜头", "es": "Mire a la cámara", "en": "Look into the camera"},
    "verify.capture.picture": {
        "zh": "摄像头实时画面（镜像）",
        "es": "Imagen de la cámara en vivo, como en un espejo",
        "en": "Live picture of the camera, as in a mirror",
    },
    "verify.working": {"zh": "请稍候…", "es": "Un momento…", "en": "One moment…"},
    "verify.left": {"zh": "剩余 {seconds} 秒", "es": "Quedan {seconds} s", "en": "{seconds} s left"},
    "verify.stop": {"zh": "停止", "es": "Detener", "en": "Stop"},
    "verify.stop.title": {
        "zh": "要停止核验吗？",
        "es": "¿Detener la verificación?",
        "en": "Stop the verification?",
    },
    "verify.stop.text": {
        "zh": "停止也会留下一条签名记录。",
        "es": "También una verificación detenida deja un registro firmado.",
        "en": "One that was stopped leaves a signed record too.",
    },
    "verify.stop.no": {"zh": "继续核验", "es": "No, continuar", "en": "No, go on"},
    "verify.stop.person": {
        "zh": "客户要求停止",
        "es": "La persona no quiere seguir",
        "en": "The person wants to stop",
    },
    "verify.stop.operator": {"zh": "操作员停止", "es": "Detiene el operador", "en": "The operator stops it"},
    "verify.consent.title": {"zh": "请您同意", "es": "Su consentimiento", "en": "Your consent"},
    "verify.consent.yes": {"zh": "我同意", "es": "Estoy de acuerdo", "en": "I agree"},
    "verify.consent.no": {"zh": "我不同意", "es": "No estoy de acuerdo", "en": "I do not agree"},
    "verify.notice.title": {"zh": "重要提示", "es": "Aviso importante", "en": "Important notice"},
    "verify.notice.yes": {"zh": "已阅读并确认", "es": "Leído y conforme", "en": "Read and confirmed"},
    "verify.notice.no": {"zh": "不确认", "es": "No lo confirmo", "en": "I do not confirm"},
    "verify.earlier.title": {
        "zh": "该证件以往的记录",
        "es": "Registros anteriores de este documento",
        "en": "Earlier records of this document",
    },
    "verify.earlier.more": {
        "zh": "另有 {count} 条更早的记录",
        "es": "y {count} anteriores",
        "en": "and {count} older ones",
    },
    "verify.earlier.go_on": {"zh": "继续核验", "es": "Continuar", "en": "Continue verification"},
    "verify.earlier.exit": {"zh": "退出", "es": "Salir", "en": "Exit"},
    "verify.field.again": {
        "zh": "该内容无法使用，请重新输入。",
        "es": "Ese dato no es válido; escríbalo de nuevo.",
        "en": "That cannot be used; enter it again.",
    },
    "verify.field.again.phone": {
        "zh": "该号码在此无法使用。请核对数字，应为 5 至 15 位。",
        "es": "Ese número no se acepta aquí. Revise sus cifras: de 5 a 15.",
        "en": "That number is not accepted here. Check its digits: 5 to 15 of them.",
    },
    "verify.field.again.email": {
        "zh": "该邮箱地址无法使用。请完整填写，例如 name@example.com。",
        "es": "Esa dirección no es válida. Escríbala entera, como nombre@example.com.",
        "en": "That address cannot be used. Write all of it, as in name@example.com.",
    },
    "verify.field.no": {"zh": "不提供", "es": "Prefiero no darlo", "en": "I would rather not say"},
    "verify.sign.title": {"zh": "请签名", "es": "Su firma", "en": "Your signature"},
    "verify.sign.hint": {
        "zh": "请用手指、触控笔或鼠标在框内签名。",
        "es": "Firme en el recuadro con el dedo, un lápiz o el ratón.",
        "en": "Sign in the box with a finger, a pen or the mouse.",
    },
    "verify.sign.pad": {"zh": "签名区", "es": "Recuadro para firmar", "en": "Box to sign in"},
    "verify.sign.clear": {"zh": "清除重签", "es": "Borrar", "en": "Clear"},
    "verify.sign.type": {
        "zh": "无法手写？改为输入姓名",
        "es": "¿No puede dibujarla? Escriba su nombre",
        "en": "Cannot draw? Type your name instead",
    },
    "verify.sign.name": {"zh": "您的全名", "es": "Su nombre completo", "en": "Your full name"},
    "verify.sign.yes": {"zh": "确认签名", "es": "Firmar", "en": "Sign"},
    "verify.sign.no": {"zh": "不签名", "es": "No firmo", "en": "I do not sign"},
    "verify.receipt.id": {"zh": "回执编号", "es": "Recibo", "en": "Receipt"},
    "verify.receipt.seq": {"zh": "本机记录号", "es": "Registro n.º", "en": "Record no."},
    "verify.receipt.qr": {
        "zh": "回执编号的二维码",
        "es": "Código QR con el número del recibo",
        "en": "QR code of the receipt's number",
    },
    "verify.finish": {"zh": "结束", "es": "Terminar", "en": "Finish"},
    "verify.again": {"zh": "再试一次", "es": "Intentarlo otra vez", "en": "Try again"},
    "verify.other_way": {"zh": "换一种方式", "es": "De otra manera", "en": "Another way"},
    "verify.ways": {
        "zh": "不便转头、看不见屏幕或需要更多时间？",
        "es": "¿No puede girar la cabeza, no ve la pantalla o necesita más tiempo?",
        "en": "Cannot turn the head, cannot see the screen, or needs more time?",
    },
    "verify.way.STANDARD": {
        "zh": "通常方式：屏幕变色、张嘴、转头",
        "es": "Lo habitual: colores en la pantalla, abrir la boca y girar la cabeza",
        "en": "The usual way: colours on the screen, opening the mouth, turns of the head",
    },
    "verify.way.NO_SCREEN": {
        "zh": "看不见屏幕，或怕闪光：只转头，由您念出提示",
        "es": "No ve la pantalla o no tolera destellos: solo giros; usted lee las indicaciones",
        "en": "Cannot see the screen or bear flicker: turns only; you read the prompts aloud",
    },
    "verify.way.NO_TURN": {
        "zh": "不能转头：只看屏幕变色并张嘴",
        "es": "No puede girar la cabeza: solo los colores y abrir la boca",
        "en": "Cannot turn the head: only the screen's colours, and opening the mouth",
    },
    "verify.more_time": {"zh": "需要更多时间", "es": "Con más tiempo", "en": "With more time"},
    "verify.manual": {
        "zh": "由两名工作人员核定",
        "es": "Que decidan dos personas",
        "en": "Let two people decide",
    },
    "advice.INCONCLUSIVE": {
        "zh": "这不是您的错。请按提示再试一次。",
        "es": "No es culpa de nadie. Inténtelo otra vez siguiendo las indicaciones.",
        "en": "Nobody did anything wrong. Try again and follow the prompts.",
    },
    "advice.NOT_MATCHED": {
        "zh": "请确认证件属于本人；若是旧照片，可由工作人员核定。",
        "es": "Compruebe que el documento es de esta persona. Con una foto antigua puede decidir el personal.",
        "en": "Check that the card is this person's. With an old photo, staff may decide.",
    },
    "advice.SPOOF": {
        "zh": "请本人直接面对镜头，不要使用照片、屏幕或面具。",
        "es": "La persona misma debe estar ante la cámara, sin fotos, pantallas ni máscaras.",
        "en": "The person must stand before the camera, without pictures, screens or masks.",
    },
}
