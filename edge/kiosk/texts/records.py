"""Texts of the list of records, the receipt, and the tasks that wait for people."""

from __future__ import annotations

from collections.abc import Mapping

from edge.texts import Language

TEXTS: Mapping[str, Mapping[Language, str]] = {
    "records.title": {"zh": "今天的记录", "es": "Registros de hoy", "en": "Today's records"},
    "records.none": {
        "zh": "今天还没有记录。",
        "es": "Hoy todavía no hay registros.",
        "en": "There are no records of today yet.",
    },
    "records.private": {
        "zh": "这里只有编号和时间，没有姓名和证件号码。",
        "es": "Aquí solo hay números y horas: ni nombres ni documentos.",
        "en": "Numbers and times only: nobody's name or document is shown here.",
    },
    "records.time": {"zh": "时间", "es": "Hora", "en": "Time"},
    "records.outcome": {"zh": "结果", "es": "Resultado", "en": "Outcome"},
    "records.receipt": {"zh": "回执", "es": "Recibo", "en": "Receipt"},
    "records.number": {"zh": "编号", "es": "Número", "en": "Number"},
    "records.show": {"zh": "查看凭据", "es": "Ver comprobante", "en": "Show the receipt"},
    "records.show_of": {
        "zh": "查看 {time} 的凭据",
        "es": "Ver el comprobante de las {time}",
        "en": "Show the receipt of {time}",
    },
    "records.clock_doubt": {
        "zh": "设备时钟未经确认，时间仅供参考。",
        "es": "El reloj del dispositivo no está confirmado: las horas son orientativas.",
        "en": "Nobody vouches for this device's clock: take the times with care.",
    },
    "records.more": {
        "zh": "只显示最新的 {n} 条。",
        "es": "Solo se muestran los {n} más nuevos.",
        "en": "Only the newest {n} are shown.",
    },
    "records.state.PENDING": {"zh": "等待上传", "es": "Por enviar", "en": "Waits to be sent"},
    "records.state.DELIVERED": {
        "zh": "已送达，等待回执",
        "es": "Entregado; falta el recibo",
        "en": "Delivered; receipt to come",
    },
    "records.state.CONFIRMED": {"zh": "已有回执", "es": "Con recibo", "en": "Receipt is here"},
    "records.state.INVALID": {
        "zh": "被云端拒收，请报告管理员",
        "es": "Rechazado por la nube: avise",
        "en": "Refused by the cloud: report it",
    },
    "records.state.BRANCH": {
        "zh": "另行保存于云端",
        "es": "Guardado aparte en la nube",
        "en": "Kept apart by the cloud",
    },
    "records.state.DAMAGED": {
        "zh": "已损坏，请报告管理员",
        "es": "Dañado: avise",
        "en": "Damaged: report it",
    },
    "records.outcome.VERIFIED": {"zh": "核验通过", "es": "Verificado", "en": "Verified"},
    "records.outcome.NOT_MATCHED": {"zh": "不一致", "es": "No coincide", "en": "Not matched"},
    "records.outcome.SPOOF": {"zh": "疑似冒用", "es": "Suplantación", "en": "Spoof"},
    "records.outcome.INCONCLUSIVE": {"zh": "无法判断", "es": "Sin decisión", "en": "No decision"},
    "records.outcome.MANUAL": {"zh": "人工核定", "es": "Decidido por personas", "en": "Decided by people"},
    "records.outcome.ABORTED": {"zh": "已中止", "es": "Interrumpido", "en": "Stopped"},
    "records.outcome.EVENT": {"zh": "设备事件", "es": "Suceso del dispositivo", "en": "Event of the device"},
    "receipt.title": {"zh": "核验凭据", "es": "Comprobante", "en": "Receipt"},
    "receipt.help": {
        "zh": "请拍下此码，或记下编号。凭编号可查询本次核验。",
        "es": "Fotografíe el código o anote el número: con él se encuentra esta verificación.",
        "en": "Photograph the code, or write the number down: this verification is found by it.",
    },
    "receipt.qr": {
        "zh": "编号的二维码：{id}",
        "es": "Código QR del número {id}",
        "en": "QR code of the number {id}",
    },
    "receipt.back": {"zh": "返回列表", "es": "Volver a la lista", "en": "Back to the list"},
    "receipt.not_verified": {
        "zh": "这是一次核验的记录，并不表示核验通过。",
        "es": "Es constancia del intento; no significa que la persona esté verificada.",
        "en": "This shows that an attempt was made, not that the person is verified.",
    },
    "receipt.unknown": {
        "zh": "本设备上没有这条记录，或它已送达并按规定删除。",
        "es": "Ese registro no está en este dispositivo, o ya se entregó y se borró a su tiempo.",
        "en": "This record is not on this device, or was delivered and deleted in its time.",
    },
    "tasks.title": {"zh": "等待办理的人", "es": "Personas en espera", "en": "People who are expected"},
    "menu.TASKS": {"zh": "等待办理的人", "es": "Personas en espera", "en": "People expected"},
    "menu.TASKS.about": {
        "zh": "账户激活和合同签署的预约",
        "es": "Cuentas por activar y contratos por firmar",
        "en": "Accounts to activate, contracts to sign",
    },
    "tasks.none": {
        "zh": "现在没有等待办理的人。新任务会在联网后出现。",
        "es": "No se espera a nadie. Las tareas nuevas llegan con la conexión.",
        "en": "Nobody is expected now. New tasks come with the line.",
    },
    "tasks.account": {"zh": "开通账户", "es": "Activar una cuenta", "en": "Activate an account"},
    "tasks.contract": {"zh": "签署《{title}》", "es": "Firmar «{title}»", "en": "Sign '{title}'"},
    "tasks.until": {"zh": "截止 {time}", "es": "Hasta el {time}", "en": "Until {time}"},
    "tasks.perhaps_over": {
        "zh": "可能已过期（设备时钟未经确认）",
        "es": "Quizá ya ha vencido (el reloj no está confirmado)",
        "en": "Perhaps over (nobody vouches for the clock)",
    },
    "tasks.brings": {
        "zh": "须携带：{document}",
        "es": "Debe traer: {document}",
        "en": "Must bring: {document}",
    },
    "tasks.begin": {"zh": "开始核验", "es": "Empezar la verificación", "en": "Begin the verification"},
    "tasks.begin_for": {
        "zh": "为 {name} 开始核验",
        "es": "Empezar la verificación de {name}",
        "en": "Begin the verification of {name}",
    },
    "tasks.ask": {
        "zh": "{name} 本人到场了吗？",
        "es": "¿Está aquí {name} en persona?",
        "en": "Is {name} here in person?",
    },
    "tasks.ask_help": {
        "zh": "出于隐私，只显示姓名首字。证件会核对是否为本人。",
        "es": "Por privacidad solo se muestran las iniciales. El documento dirá si es la persona.",
        "en": "Only initials are shown, for privacy. The card will tell whether it is the person.",
    },
    "session.task": {"zh": "开通账户", "es": "Activar una cuenta", "en": "Activate an account"},
    "tasks.yes": {"zh": "到场，开始", "es": "Sí, empezar", "en": "Yes, begin"},
    "tasks.no": {"zh": "没有，返回", "es": "No, volver", "en": "No, go back"},
    "document.RESIDENT_ID": {
        "zh": "居民身份证",
        "es": "documento de identidad de residente",
        "en": "resident ID card",
    },
    "document.HKMT_PERMIT": {
        "zh": "港澳台居民居住证",
        "es": "permiso de residencia de Hong Kong, Macao o Taiwán",
        "en": "residence permit of Hong Kong, Macao or Taiwan",
    },
    "document.FOREIGNER_2017": {
        "zh": "外国人永久居留身份证（2017 版）",
        "es": "tarjeta de residencia permanente de extranjero (2017)",
        "en": "foreigner's permanent residence card (2017)",
    },
    "document.FOREIGNER_2023": {
        "zh": "外国人永久居留身份证（2023 版）",
        "es": "tarjeta de residencia permanente de extranjero (2023)",
        "en": "foreigner's permanent residence card (2023)",
    },
}
