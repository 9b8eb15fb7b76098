"""Sign-in and menu."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "signin.title": {"zh": "操作员登录", "es": "Identifíquese", "en": "Sign in"},
    "signin.who": {"zh": "您是？", "es": "¿Quién es usted?", "en": "Who are you?"},
    "signin.pin": {"zh": "PIN 码", "es": "PIN", "en": "PIN"},
    "signin.pin.hint": {
        "zh": "用键盘或屏幕数字键输入。",
        "es": "Con el teclado o con los números de la pantalla.",
        "en": "With the keyboard, or the digits on the screen.",
    },
    "signin.pad": {"zh": "数字键盘", "es": "Teclado numérico", "en": "Digits"},
    "signin.erase": {"zh": "删除一位", "es": "Borrar una cifra", "en": "Erase one digit"},
    "signin.go": {"zh": "登录", "es": "Entrar", "en": "Sign in"},
    "session.signin": {"zh": "刷脸登录", "es": "Entrar con la cara", "en": "Signing in with the face"},
    "signin.face": {"zh": "刷脸登录", "es": "Entrar con mi cara", "en": "With my face"},
    "signin.face.hint": {
        "zh": "先选姓名，再看摄像头。认不出时请用 PIN 码。",
        "es": "Elija su nombre y mire a la cámara. Si no le reconoce, use el PIN.",
        "en": "Choose your name, then look into the camera. Where it does not know you, use the PIN.",
    },
    "signin.stop.title": {"zh": "要停止登录吗？", "es": "¿No entrar?", "en": "Stop signing in?"},
    "signin.stop.text": {
        "zh": "停止不算失败，可以改用 PIN 码。",
        "es": "No cuenta como fallo; puede usar el PIN.",
        "en": "That counts as no failure; the PIN can be used instead.",
    },
    "signin.stop.no": {"zh": "继续登录", "es": "No, continuar", "en": "No, go on"},
    "signin.stop.yes": {"zh": "停止登录", "es": "Sí, detener", "en": "Yes, stop"},
    "hint.SIGN_IN_STOPPED": {
        "zh": "请用 PIN 码登录，或再刷脸一次。",
        "es": "Use el PIN o pruebe otra vez con la cara.",
        "en": "Sign in with the PIN, or try your face again.",
    },
    "hint.FACE_NOT_ENROLLED": {
        "zh": "请用 PIN 码登录。",
        "es": "Entre con el PIN.",
        "en": "Sign in with the PIN.",
    },
    "hint.NOBODY_CHOSEN": {
        "zh": "请先选择您的姓名。",
        "es": "Elija primero su nombre.",
        "en": "Choose your name first.",
    },
    "signin.wait": {"zh": "请等待 {seconds} 秒。", "es": "Espere {seconds} s.", "en": "Wait {seconds} s."},
    "home.title": {"zh": "请选择要办理的业务", "es": "¿Qué desea hacer?", "en": "What would you like to do?"},
    "home.hello": {"zh": "您好，{name}", "es": "Hola, {name}", "en": "Hello, {name}"},
    "menu.IDENTITY": {"zh": "身份核验", "es": "Identidad", "en": "Identity"},
    "menu.VERIFY": {"zh": "核验身份", "es": "Verificar a una persona", "en": "Verify a person"},
    "menu.VERIFY.about": {
        "zh": "读取身份证并比对人脸",
        "es": "Documento y cara, en un minuto",
        "en": "ID card and face, in a minute",
    },
    "menu.MANUAL": {"zh": "人工核定", "es": "Decisión manual", "en": "Decide by hand"},
    "menu.MANUAL.about": {
        "zh": "由两名工作人员共同决定",
        "es": "Dos personas deciden juntas",
        "en": "Two people decide together",
    },
    "menu.CONTRACTS": {"zh": "合同", "es": "Contratos", "en": "Contracts"},
    "menu.SIGN_CONTRACT": {"zh": "阅读并签署合同", "es": "Leer y firmar", "en": "Read and sign"},
    "menu.SIGN_CONTRACT.about": {
        "zh": "在本设备等待签署的合同",
        "es": "Contratos que esperan en este dispositivo",
        "en": "Contracts that wait at this device",
    },
    "menu.ENTERPRISE": {"zh": "企业业务", "es": "Empresas", "en": "Enterprises"},
    "menu.COOP_VERIFY": {
        "zh": "协同联网核查",
        "es": "Verificación colaborativa",
        "en": "Co-operative verification",
    },
    "menu.COOP_VERIFY.about": {
        "zh": "为企业开户核查证件与本人",
        "es": "Para la cuenta de una empresa",
        "en": "For an enterprise's bank account",
    },
    "menu.CERTIFICATION": {"zh": "认证申请", "es": "Certificaciones", "en": "Certifications"},
    "menu.CERTIFICATION.about": {
        "zh": "提交申请与证明材料",
        "es": "Solicitudes con sus documentos",
        "en": "Applications with their documents",
    },
    "menu.ACCOUNTS": {"zh": "账户", "es": "Cuentas", "en": "Accounts"},
    "menu.ACTIVATE": {
        "zh": "账户：登录、注册、激活",
        "es": "Cuenta: entrar, registrar, activar",
        "en": "Account: sign in, register, activate",
    },
    "menu.ACTIVATE.about": {
        "zh": "用短信验证码和本人核验",
        "es": "Con un código y la propia persona",
        "en": "With a code and the person",
    },
    "menu.FEEDBACK": {"zh": "意见反馈", "es": "Comentarios", "en": "Feedback"},
    "menu.FEEDBACK.about": {
        "zh": "告诉我们哪里可以更好",
        "es": "Díganos qué podemos mejorar",
        "en": "Tell us what could be better",
    },
    "menu.DEVICE": {"zh": "设备", "es": "Dispositivo", "en": "Device"},
    "menu.QUEUE": {"zh": "记录与上传", "es": "Registros y envíos", "en": "Records and delivery"},
    "menu.QUEUE.about": {
        "zh": "本设备的记录与等待上传的数量",
        "es": "Lo registrado y lo que espera conexión",
        "en": "What was recorded, what still waits",
    },
    "menu.HEALTH": {"zh": "设备检查", "es": "Estado", "en": "Health"},
    "menu.HEALTH.about": {
        "zh": "摄像头、读卡器、时钟、磁盘等",
        "es": "Cámara, lector, reloj, disco…",
        "en": "Camera, reader, clock, disk and more",
    },
    "menu.STICK": {"zh": "U 盘传送", "es": "Memoria USB", "en": "USB stick"},
    "menu.STICK.about": {
        "zh": "没有网络时用 U 盘带走记录",
        "es": "Llevar los registros sin red",
        "en": "Carry records where there is no network",
    },
}
