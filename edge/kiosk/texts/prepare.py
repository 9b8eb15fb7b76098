"""Preparing a contract: laying the marks on its pages, and sending it."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "menu.PREPARE_CONTRACT": {"zh": "准备合同", "es": "Preparar un contrato", "en": "Prepare a contract"},
    "menu.PREPARE_CONTRACT.about": {
        "zh": "把签署位置拖到页面上，然后发出",
        "es": "Poner los lugares de firma y enviarlo",
        "en": "Lay the places to sign on its pages, and send it",
    },
    "prepare.title": {"zh": "准备合同", "es": "Preparar un contrato", "en": "Prepare a contract"},
    "prepare.login": {
        "zh": "请用发起方的账户登录",
        "es": "Entre con la cuenta de quien envía",
        "en": "Sign in to the sender's account",
    },
    "prepare.login.lead": {
        "zh": "合同以您本人的账户发出。草稿须先在别处上传，并已写明签署人。",
        "es": "El contrato sale en nombre de su cuenta. El borrador ya debe estar subido, con quienes firman.",
        "en": "The contract goes out in the name of your own account. Its draft has been uploaded before, with those who sign.",
    },
    "prepare.which": {
        "zh": "要准备哪份草稿？",
        "es": "¿Qué borrador quiere preparar?",
        "en": "Which draft would you like to prepare?",
    },
    "prepare.none": {
        "zh": "没有草稿。请先上传合同并写明签署人。",
        "es": "No hay borradores. Suba antes el contrato y diga quién firma.",
        "en": "There are no drafts. Upload the contract first, and say who signs.",
    },
    "prepare.untitled": {"zh": "未命名的合同", "es": "Contrato sin título", "en": "Contract without a title"},
    "prepare.pages": {"zh": "{n} 页", "es": "Páginas: {n}", "en": "Pages: {n}"},
    "prepare.open": {"zh": "打开", "es": "Abrir", "en": "Open"},
    "prepare.open_of": {"zh": "打开《{title}》", "es": "Abrir «{title}»", "en": "Open '{title}'"},
    "prepare.refresh": {"zh": "刷新列表", "es": "Actualizar la lista", "en": "Look again"},
    "prepare.leave": {"zh": "结束并清除", "es": "Terminar y borrar", "en": "End and clear"},
    "prepare.back_to": {"zh": "回到《{title}》", "es": "Volver a «{title}»", "en": "Back to '{title}'"},
    "prepare.away": {
        "zh": "准备合同需要网络。放好的位置还在，网络恢复后再按一次即可。",
        "es": "Hace falta la red. Los lugares puestos siguen aquí: pulse otra vez cuando vuelva.",
        "en": "This needs the network. What you laid down is still here: press again when it is back.",
    },
    "prepare.mark": {"zh": "{what} · {name}", "es": "{what} · {name}", "en": "{what} · {name}"},
    "prepare.where": {
        "zh": "第 {page} 页，距左边 {left} 毫米，距上边 {top} 毫米",
        "es": "página {page}, a {left} mm del borde izquierdo y {top} mm del superior",
        "en": "page {page}, {left} mm from the left and {top} mm from the top",
    },
    "prepare.said.removed": {"zh": "已移除。", "es": "Quitado.", "en": "Taken away."},
    "prepare.said.same": {"zh": "没有变化。", "es": "Sin cambios.", "en": "Nothing has changed."},
    "prepare.add_of": {"zh": "{what}：{name}", "es": "{what} de {name}", "en": "{what} of {name}"},
    "prepare.count": {"zh": "已放：", "es": "Puestos:", "en": "Laid down:"},
    "prepare.keys": {
        "zh": "把标记拖到页面上，或按一下放在空白处。选中后：方向键移动（按住 Shift 微调），+ 和 − 改变大小，Delete 移除，Ctrl+Z 撤销。",
        "es": "Arrastre la marca a la página, o púlsela y se pondrá en un lugar libre. Elegida: las flechas la mueven (con Mayús, poco a poco), + y − cambian el tamaño, Supr la quita, Ctrl+Z deshace.",
        "en": "Drag a mark onto the page, or press it: it is laid at a free place. Once chosen: arrows move it (with Shift, a little), + and − change its size, Delete takes it away, Ctrl+Z undoes.",
    },
    "prepare.tap": {
        "zh": "点一下页面，标记就移到那里。",
        "es": "Toque la página y la marca irá allí.",
        "en": "Tap the page, and the mark goes there.",
    },
    "prepare.to_left": {"zh": "向左", "es": "A la izquierda", "en": "To the left"},
    "prepare.to_right": {"zh": "向右", "es": "A la derecha", "en": "To the right"},
    "prepare.up": {"zh": "向上", "es": "Hacia arriba", "en": "Up"},
    "prepare.down": {"zh": "向下", "es": "Hacia abajo", "en": "Down"},
    "prepare.larger": {"zh": "标记变大", "es": "Marca más grande", "en": "Mark larger"},
    "prepare.smaller": {"zh": "标记变小", "es": "Marca más pequeña", "en": "Mark smaller"},
    "prepare.remove": {"zh": "移除", "es": "Quitar", "en": "Take away"},
    "prepare.undo": {"zh": "撤销", "es": "Deshacer", "en": "Undo"},
    "prepare.to_check": {"zh": "放好了，去检查", "es": "Revisar y enviar", "en": "Check and send"},
    "prepare.close": {"zh": "保存，以后再发", "es": "Guardar para después", "en": "Keep it for later"},
    "prepare.check": {"zh": "可以发出了吗？", "es": "¿Se puede enviar?", "en": "Can it be sent?"},
    "prepare.check.lead": {
        "zh": "《{title}》由以下各方签署。",
        "es": "Quiénes firman «{title}», y dónde.",
        "en": "Who signs '{title}', and where.",
    },
    "prepare.missing": {
        "zh": "还没有签名或盖章的位置。",
        "es": "Aún no tiene dónde firmar o sellar.",
        "en": "Has no place for a signature or a seal yet.",
    },
    "prepare.frozen": {
        "zh": "发出后，签署位置固定，任何人都不能再移动。",
        "es": "Una vez enviado, los lugares quedan fijos: nadie puede moverlos.",
        "en": "Once it is sent, the places are fixed: nobody can move them any more.",
    },
    "prepare.send": {"zh": "发出合同", "es": "Enviar el contrato", "en": "Send the contract"},
    "prepare.back_to_pages": {"zh": "返回页面", "es": "Volver a las páginas", "en": "Back to the pages"},
    "prepare.open_again": {"zh": "重新打开", "es": "Abrirlo de nuevo", "en": "Open it anew"},
    "prepare.sent": {"zh": "《{title}》已发出", "es": "«{title}» está enviado", "en": "'{title}' was sent"},
    "prepare.sent.lead": {
        "zh": "轮到签署的各方会收到通知。",
        "es": "Se avisa a quienes les toca firmar.",
        "en": "Those whose turn it is are being told.",
    },
    "accounts.refused.ETAG_MISMATCH": {
        "zh": "这份草稿已在别处改动",
        "es": "Otra persona cambió este borrador",
        "en": "Somebody else has changed this draft meanwhile",
    },
    "accounts.refused.CONTRACT_STATE": {
        "zh": "这份合同已不是草稿",
        "es": "Ya no es un borrador",
        "en": "It is no draft any more",
    },
    "accounts.refused.REAL_NAME_REQUIRED": {
        "zh": "发起方还没有通过实名认证",
        "es": "Quien envía aún no ha verificado su identidad",
        "en": "The sender's identity is not verified yet",
    },
    "accounts.refused.CONTRACT_REVIEW_REQUIRED": {
        "zh": "发出前须先由本机构批准",
        "es": "Antes debe aprobarlo la organización",
        "en": "The organisation has to approve it first",
    },
    "accounts.refused.CONTRACT_INCOMPLETE": {
        "zh": "草稿还不完整",
        "es": "Al borrador le falta algo",
        "en": "The draft is not complete",
    },
    "accounts.refused.TIMESTAMP_UNAVAILABLE": {
        "zh": "时间戳服务暂时不可用，合同没有发出",
        "es": "No hay sello de tiempo ahora: no se ha enviado nada",
        "en": "No time-stamp can be had now; nothing was sent",
    },
    "hint.MARKS_OVERLAP": {
        "zh": "标记已回到原处，请放在空白的地方。",
        "es": "La marca vuelve donde estaba: póngala donde haya sitio.",
        "en": "It is back where it was. Lay it where the page is free.",
    },
    "hint.MARKS_TOO_MANY": {
        "zh": "请先移除一个。",
        "es": "Quite antes alguna.",
        "en": "Take one away first.",
    },
    "hint.MARKS_NO_ROOM": {
        "zh": "请移动一个标记，或直接拖到想放的位置。",
        "es": "Mueva otra marca, o arrástrela adonde quiera.",
        "en": "Move a mark, or drag the new one to its place.",
    },
    "hint.MARKS_MISSING": {
        "zh": "请给每一位签署人放一个签名或盖章处。",
        "es": "Ponga una firma o un sello para cada uno.",
        "en": "Lay down a signature or a seal for each.",
    },
    "hint.DRAFT_WITHOUT_SIGNERS": {
        "zh": "请在上传草稿的地方写明签署人。",
        "es": "Indique quién firma donde subió el borrador.",
        "en": "Name those who sign where the draft was uploaded.",
    },
}
