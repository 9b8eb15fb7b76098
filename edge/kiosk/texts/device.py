"""Texts of the screens about the device itself: what waits, how it is, battery and line, the USB stick."""

from __future__ import annotations

from collections.abc import Mapping

from edge.texts import Language

TEXTS: Mapping[str, Mapping[Language, str]] = {
    "device.title": {"zh": "设备状态", "es": "Estado del dispositivo", "en": "How this device is"},
    "device.ok": {
        "zh": "一切正常，可以受理。",
        "es": "Todo está bien. Se puede trabajar.",
        "en": "All is well. You can work.",
    },
    "device.warn": {
        "zh": "可以受理，但有需要处理的事项。",
        "es": "Se puede trabajar, pero hay algo que atender.",
        "en": "You can work, but something needs attention.",
    },
    "device.bad": {
        "zh": "现在不能受理，请先处理下列问题。",
        "es": "Ahora no se puede trabajar. Resuelva antes lo siguiente.",
        "en": "You cannot work now. See to this first.",
    },
    "device.queue": {"zh": "待上传", "es": "En espera", "en": "What waits"},
    "device.pending": {
        "zh": "等待上传的记录",
        "es": "Registros por enviar",
        "en": "Records that wait to be sent",
    },
    "device.oldest": {"zh": "其中最早的一条", "es": "El más antiguo", "en": "The oldest of them"},
    "device.unreceipted": {
        "zh": "已上传、等待回执",
        "es": "Enviados, a la espera de recibo",
        "en": "Sent, waiting for a receipt",
    },
    "device.pictures": {"zh": "等待上传的图片", "es": "Imágenes por enviar", "en": "Pictures that wait"},
    "device.signatures": {
        "zh": "等待上传的合同签署",
        "es": "Firmas de contratos por enviar",
        "en": "Signatures of contracts that wait",
    },
    "device.receipt": {"zh": "最近一次回执", "es": "Último recibo", "en": "Last receipt"},
    "device.none": {"zh": "无", "es": "Ninguno", "en": "None"},
    "device.parts": {"zh": "逐项检查", "es": "Parte por parte", "en": "Part by part"},
    "device.state.ok": {"zh": "正常", "es": "Bien", "en": "Good"},
    "device.state.warn": {"zh": "请留意", "es": "Atención", "en": "Attention"},
    "device.state.bad": {"zh": "故障", "es": "Fallo", "en": "Fault"},
    "device.todo": {"zh": "怎么办：", "es": "Qué hacer: ", "en": "What to do: "},
    "device.again": {"zh": "重新检查", "es": "Mirar otra vez", "en": "Look again"},
    "device.as_of": {"zh": "检查时间：{time}", "es": "Comprobado a las {time}", "en": "Looked at {time}"},
    "device.safe": {
        "zh": "记录已安全保存在本设备。联网后会自动上传，不会丢失，也不会重复。",
        "es": "Los registros están a salvo en este dispositivo. Con conexión se envían solos: ni se "
        "pierden ni se repiten.",
        "en": "Records are safe on this device. Once there is a line they go by themselves: none is lost "
        "or sent twice.",
    },
    "ago.now": {"zh": "刚刚", "es": "ahora mismo", "en": "just now"},
    "ago.minutes": {"zh": "{n} 分钟前", "es": "hace {n} min", "en": "{n} min ago"},
    "ago.hours": {"zh": "{n} 小时前", "es": "hace {n} h", "en": "{n} h ago"},
    "ago.days": {"zh": "{n} 天前", "es": "hace {n} días", "en": "{n} days ago"},
    "battery.label": {"zh": "电量 {percent}%", "es": "Batería {percent} %", "en": "Battery {percent} %"},
    "battery.FULL": {"zh": "已充满", "es": "llena", "en": "full"},
    "battery.CHARGING": {"zh": "充电中", "es": "cargando", "en": "charging"},
    "battery.ENOUGH": {"zh": "充足", "es": "suficiente", "en": "enough"},
    "battery.LOW": {"zh": "偏低，请充电", "es": "baja: póngala a cargar", "en": "low: plug it in soon"},
    "battery.EMPTY": {
        "zh": "即将耗尽，请立即充电。已完成的记录不会丢失。",
        "es": "casi vacía: cárguela ya. Lo registrado no se pierde.",
        "en": "nearly empty: plug it in now. What is recorded is not lost.",
    },
    "line.FRESH": {"zh": "已联网", "es": "Con conexión", "en": "Online"},
    "line.QUIET": {
        "zh": "离线，可继续受理（上次联网：{ago}）",
        "es": "Sin conexión; puede seguir (último contacto: {ago})",
        "en": "Offline; you can go on (last contact: {ago})",
    },
    "line.STALE": {
        "zh": "久未联网（上次：{ago}）。请尽快联网或用 U 盘导出。",
        "es": "Mucho tiempo sin conexión ({ago}). Conéctelo pronto o exporte a una memoria USB.",
        "en": "Offline for long (last contact: {ago}). Connect it soon, or export to a USB stick.",
    },
    "line.NEVER": {
        "zh": "尚未与云端联系过，请联网。",
        "es": "Nunca ha tenido contacto con la nube. Conéctelo.",
        "en": "It has had no contact with the cloud yet. Connect it.",
    },
    "stick.title": {"zh": "用 U 盘传送记录", "es": "Enviar con memoria USB", "en": "Send by USB stick"},
    "stick.which": {"zh": "要做什么？", "es": "¿Qué quiere hacer?", "en": "What do you want to do?"},
    "stick.none": {
        "zh": "没有找到 U 盘。请插入 U 盘，稍等几秒，再点“重新查找”。",
        "es": "No se ve ninguna memoria USB. Insértela, espere unos segundos y pulse «Buscar otra vez».",
        "en": "No USB stick is there. Put one in, wait a few seconds, and choose 'Look again'.",
    },
    "stick.again": {"zh": "重新查找", "es": "Buscar otra vez", "en": "Look again"},
    "stick.free": {"zh": "可用空间 {size}", "es": "{size} libres", "en": "{size} free"},
    "stick.read_only": {
        "zh": "写保护：只能从中读取",
        "es": "Protegida contra escritura: solo se puede leer",
        "en": "Write-protected: it can only be read",
    },
    "stick.export": {
        "zh": "把记录写到“{name}”",
        "es": "Copiar los registros a «{name}»",
        "en": "Write the records to '{name}'",
    },
    "stick.export_help": {
        "zh": "文件已签名并只供云端使用。本设备仍保留记录，直到收到回执。",
        "es": "El archivo va firmado y solo sirve a la nube. El dispositivo conserva los registros hasta "
        "tener el recibo.",
        "en": "The file is signed and of use to the cloud alone. The records stay here until their "
        "receipt has come.",
    },
    "stick.import": {
        "zh": "从“{name}”读取云端的答复",
        "es": "Leer la respuesta de la nube de «{name}»",
        "en": "Read the cloud's answer from '{name}'",
    },
    "stick.choose": {
        "zh": "选择答复文件",
        "es": "¿Qué archivo es la respuesta?",
        "en": "Which file is the answer?",
    },
    "stick.no_files": {
        "zh": "这个 U 盘上没有答复文件（扩展名 .verifield）。请向云端操作员索取。",
        "es": "En esta memoria no hay respuestas (archivos .verifield). Pídalas a quien lleva la nube.",
        "en": "There is no answer on this stick (a .verifield file). Ask whoever runs the cloud for it.",
    },
    "stick.own": {
        "zh": "本设备导出的文件",
        "es": "exportado por este dispositivo",
        "en": "exported by this device",
    },
    "stick.working.export": {
        "zh": "正在写入，请勿拔出 U 盘。",
        "es": "Escribiendo: no saque la memoria.",
        "en": "Writing. Leave the stick in.",
    },
    "stick.working.import": {
        "zh": "正在读取，请勿拔出 U 盘。",
        "es": "Leyendo: no saque la memoria.",
        "en": "Reading. Leave the stick in.",
    },
    "stick.count": {"zh": "已处理 {n} 条记录", "es": "{n} registros", "en": "{n} records so far"},
    "stick.stop": {"zh": "停止", "es": "Parar", "en": "Stop"},
    "stick.done.export": {
        "zh": "已写入 {records} 条记录和 {files} 个文件（{size}）。现在可以拔出 U 盘。",
        "es": "Hecho: {records} registros y {files} archivos ({size}). Ya puede sacar la memoria.",
        "en": "Done: {records} records and {files} files ({size}). You can take the stick out now.",
    },
    "stick.next.export": {
        "zh": "把 U 盘交给云端操作员，再带回答复文件。",
        "es": "Lleve la memoria a quien lleva la nube y traiga la respuesta.",
        "en": "Take the stick to whoever runs the cloud, and bring the answer back.",
    },
    "stick.not_all": {
        "zh": "文件已达到最大长度：收到答复后请再导出一次。",
        "es": "El archivo no puede ser mayor: exporte otra vez cuando tenga la respuesta.",
        "en": "The file is as large as it may be: export again once its answer is here.",
    },
    "stick.done.import": {
        "zh": "已读取答复：{delivered} 条已送达，{confirmed} 条已有回执。",
        "es": "Respuesta leída: {delivered} entregados, {confirmed} con recibo.",
        "en": "The answer is read: {delivered} delivered, {confirmed} with a receipt.",
    },
    "stick.stale": {
        "zh": "这次导出之后设备已联过网：以更新的回执为准。",
        "es": "El dispositivo ha tenido contacto después de esa exportación: valen los recibos más nuevos.",
        "en": "The device has heard from the cloud since that export: the newer receipts count.",
    },
    "stick.notes": {
        "zh": "有 {n} 条说明需要告诉云端：请再导出一次。",
        "es": "Hay {n} notas para la nube: exporte otra vez.",
        "en": "{n} notes for the cloud were made: export again.",
    },
    "stick.stopped": {
        "zh": "已停止，没有留下任何改动。可以重新开始。",
        "es": "Parado. No ha cambiado nada; puede empezar de nuevo.",
        "en": "Stopped. Nothing was changed; you can begin again.",
    },
    "stick.busy": {
        "zh": "正在用 U 盘传送，请等它完成。",
        "es": "Ya se está usando la memoria. Espere a que termine.",
        "en": "The stick is in use already. Wait until it is done.",
    },
    "stick.close": {"zh": "完成", "es": "Terminar", "en": "Finish"},
}
