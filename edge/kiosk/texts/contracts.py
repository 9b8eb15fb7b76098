"""Texts of contracts: which wait here, reading page by page, the marks, and signing."""

from __future__ import annotations

from collections.abc import Mapping

from edge.texts import Language

TEXTS: Mapping[str, Mapping[Language, str]] = {
    "contracts.title": {"zh": "待签合同", "es": "Contratos por firmar", "en": "Contracts to sign"},
    "contracts.none": {
        "zh": "现在没有等待签署的合同。新合同会在联网后出现。",
        "es": "No hay contratos por firmar. Los nuevos llegan con la conexión.",
        "en": "No contract waits to be signed. New ones come with the line.",
    },
    "contracts.for": {"zh": "签署人：{name}", "es": "Firma: {name}", "en": "To be signed by {name}"},
    "contracts.from": {"zh": "发起方：{party}", "es": "De: {party}", "en": "From {party}"},
    "contracts.until": {"zh": "截止 {time}", "es": "Hasta el {time}", "en": "Until {time}"},
    "contracts.coming": {
        "zh": "文件尚未传完（{percent}%）。联网后会自动继续。",
        "es": "El documento aún no ha llegado entero ({percent} %). Con conexión sigue solo.",
        "en": "The document is not all here yet ({percent} %). It goes on by itself once there is a line.",
    },
    "contracts.ready": {"zh": "文件已在本机", "es": "El documento está aquí", "en": "The document is here"},
    "contracts.read": {"zh": "阅读", "es": "Leer", "en": "Read"},
    "contracts.read_of": {"zh": "阅读《{title}》", "es": "Leer «{title}»", "en": "Read '{title}'"},
    "contracts.signed": {"zh": "在本机签署的合同", "es": "Firmados aquí", "en": "Signed here"},
    "contracts.state.PREPARED": {"zh": "正在保存", "es": "Guardándose", "en": "Being kept"},
    "contracts.state.QUEUED": {
        "zh": "已签署，等待上传",
        "es": "Firmado; por enviar",
        "en": "Signed; waits to be sent",
    },
    "contracts.state.COMPLETED": {
        "zh": "已签署，云端已接收",
        "es": "Firmado; la nube lo tiene",
        "en": "Signed; the cloud has it",
    },
    "contracts.state.REFUSED": {
        "zh": "云端未接受：{reason}。请联系发起方。",
        "es": "La nube no lo aceptó ({reason}). Avise a quien lo envió.",
        "en": "The cloud did not take it ({reason}). Tell whoever sent it.",
    },
    "contracts.page": {
        "zh": "第 {n} 页，共 {all} 页",
        "es": "Página {n} de {all}",
        "en": "Page {n} of {all}",
    },
    "contracts.page_alt": {
        "zh": "合同第 {n} 页的图像",
        "es": "Imagen de la página {n} del contrato",
        "en": "Picture of page {n} of the contract",
    },
    "contracts.listen": {
        "zh": "看不见屏幕的人：请工作人员或亲友完整朗读本页。",
        "es": "Si la persona no ve la pantalla: léale esta página entera, usted o alguien de su confianza.",
        "en": "For somebody who cannot see the screen: read this whole page out, or let somebody they "
        "trust do it.",
    },
    "contracts.down": {"zh": "继续往下看", "es": "Seguir leyendo", "en": "Read on"},
    "contracts.next": {"zh": "下一页", "es": "Página siguiente", "en": "Next page"},
    "contracts.previous": {"zh": "上一页", "es": "Página anterior", "en": "Previous page"},
    "contracts.larger": {"zh": "放大", "es": "Más grande", "en": "Larger"},
    "contracts.smaller": {"zh": "缩小", "es": "Más pequeño", "en": "Smaller"},
    "contracts.leave": {"zh": "以后再读", "es": "Dejarlo por ahora", "en": "Leave it for now"},
    "contracts.marks": {
        "zh": "本页将被签署的位置：{n} 处，已用框标出。",
        "es": "Lugares para firmar en esta página: {n}. Los recuadros los señalan.",
        "en": "Places to be signed on this page: {n}. Frames show them.",
    },
    "contracts.mark.SIGNATURE": {"zh": "签名处", "es": "Firma", "en": "Signature"},
    "contracts.mark.SEAL": {"zh": "盖章处", "es": "Sello", "en": "Seal"},
    "contracts.mark.SIGN_DATE": {"zh": "签署日期", "es": "Fecha de la firma", "en": "Date of signing"},
    "contracts.mark.MARK": {"zh": "签署处", "es": "Lugar de firma", "en": "To be signed"},
    "contracts.mark_signed": {
        "zh": "{what}（已签）",
        "es": "{what} (ya firmado)",
        "en": "{what} (signed already)",
    },
    "contracts.marks_set": {
        "zh": "签署位置由发起方确定，在这里不能移动。",
        "es": "Los lugares los puso quien lo envió; aquí no se mueven.",
        "en": "The sender has set the places; they cannot be moved here.",
    },
    "contracts.unread": {
        "zh": "还没有看的页：{pages}。",
        "es": "Páginas por ver: {pages}.",
        "en": "Pages still to be seen: {pages}.",
    },
    "contracts.to_unread": {
        "zh": "转到第 {n} 页",
        "es": "Ir a la página {n}",
        "en": "Go to page {n}",
    },
    "contracts.to_sign": {
        "zh": "全部看完，去签署",
        "es": "Leído todo: firmar",
        "en": "All read: go on to sign",
    },
    "contracts.confirm": {
        "zh": "本人已读完《{title}》并愿意签署吗？",
        "es": "¿Ha leído la persona todo «{title}» y quiere firmarlo?",
        "en": "Has the person read all of '{title}', and do they want to sign it?",
    },
    "contracts.confirm_help": {
        "zh": "请签署人本人回答。接下来会核验证件和人脸，通过后即为签署。",
        "es": "Que responda la persona que firma. Ahora se comprueban su documento y su cara: con eso "
        "queda firmado.",
        "en": "Let the person who signs answer. Their card and face are checked next; with that it is "
        "signed.",
    },
    "contracts.pages_seen": {
        "zh": "全部 {n} 页都已显示。",
        "es": "Se han mostrado las {n} páginas.",
        "en": "All {n} pages were shown.",
    },
    "contracts.sign": {"zh": "是，开始签署", "es": "Sí, firmar", "en": "Yes, sign"},
    "contracts.not_yet": {"zh": "不，返回阅读", "es": "No, volver a leer", "en": "No, go back to reading"},
    "session.contract": {"zh": "签署合同", "es": "Firma del contrato", "en": "Signing the contract"},
    "contracts.kept": {
        "zh": "签署已保存在本设备，联网后自动上传。",
        "es": "La firma está guardada y se enviará sola con conexión.",
        "en": "The signature is kept here and goes by itself once there is a line.",
    },
    "reason.ALREADY_SIGNED": {
        "zh": "这份合同已在本设备签署。",
        "es": "Este contrato ya se firmó en este dispositivo.",
        "en": "This contract was signed at this device already.",
    },
    "hint.ALREADY_SIGNED": {
        "zh": "无需再签，签署状态见列表。",
        "es": "No hay que firmar otra vez; la lista dice cómo está.",
        "en": "Nothing has to be signed again; the list says how it stands.",
    },
    "reason.DOCUMENT_AWAY": {
        "zh": "合同文件还没有完整传到本设备。",
        "es": "El documento del contrato no ha llegado entero a este dispositivo.",
        "en": "The contract's document is not all on this device yet.",
    },
    "hint.DOCUMENT_AWAY": {
        "zh": "请让设备联网，稍后再打开。",
        "es": "Conecte el dispositivo y ábralo más tarde.",
        "en": "Connect the device, and open it again later.",
    },
    "reason.DOCUMENT_NOT_READ": {
        "zh": "合同还没有全部看完。",
        "es": "Aún no se han visto todas las páginas del contrato.",
        "en": "Not all pages of the contract were shown yet.",
    },
    "hint.DOCUMENT_NOT_READ": {
        "zh": "请逐页看完，再签署。",
        "es": "Pase por todas las páginas y firme después.",
        "en": "Go through all its pages, then sign.",
    },
    "reason.DOCUMENT_UNREADABLE": {
        "zh": "本设备无法显示这份合同的文件。",
        "es": "Este dispositivo no puede mostrar el documento del contrato.",
        "en": "This device cannot show the contract's document.",
    },
    "hint.DOCUMENT_UNREADABLE": {
        "zh": "可在联网的地方阅读签署。请报告云端操作员。",
        "es": "Se puede leer y firmar donde haya red. Avise a quien lleva la nube.",
        "en": "It can be read and signed where the network is. Tell whoever runs the cloud.",
    },
    "reason.NO_PAGE": {"zh": "没有这一页。", "es": "No existe esa página.", "en": "There is no such page."},
    "hint.NO_PAGE": {
        "zh": "请回到第一页。",
        "es": "Vuelva a la primera página.",
        "en": "Go back to the first page.",
    },
    "reason.TASK_UNKNOWN": {
        "zh": "这项任务已撤回、已过期或已完成。",
        "es": "Esta tarea se retiró, ha vencido o ya está hecha.",
        "en": "This task was withdrawn, has expired, or is done.",
    },
    "hint.TASK_UNKNOWN": {
        "zh": "请看列表中的最新任务。",
        "es": "Mire la lista de tareas.",
        "en": "See the list for what waits now.",
    },
    "reason.NO_CONTRACT": {
        "zh": "这项任务不是合同。",
        "es": "Esta tarea no es un contrato.",
        "en": "This task is no contract.",
    },
    "hint.NO_CONTRACT": {
        "zh": "请在合同列表中选择。",
        "es": "Elija en la lista de contratos.",
        "en": "Choose from the list of contracts.",
    },
    "reason.PICTURE_NOT_KEPT": {
        "zh": "本设备的策略不保存照片，因此不能签署合同。",
        "es": "Las normas de este dispositivo no guardan imágenes: aquí no se puede firmar.",
        "en": "This device's policy keeps no pictures, so that no contract can be signed here.",
    },
    "hint.PICTURE_NOT_KEPT": {
        "zh": "请报告管理员：策略须保存 best_shot。",
        "es": "Avise: las normas deben conservar «best_shot».",
        "en": "Tell whoever is in charge: the policy has to keep best_shot.",
    },
}
