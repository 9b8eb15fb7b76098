"""Of signatures and the documents that carry them."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.SIGNING_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the signing's id; you see only your own.",
        "请核对签署编号；只能查看本人的签署。",
        "Compruebe el identificador de la firma; solo ve las suyas.",
    ),
    Reason.SIGNING_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "This is not possible in the signing's state; look at it with GetSigning, or start signing again.",
        "当前签署状态不允许此操作；请查看签署状态，或重新开始签署。",
        "El estado de la firma no lo permite; consúltelo o empiece a firmar de nuevo.",
    ),
    Reason.SIGNING_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "The time for this signing is over; start signing again.",
        "本次签署已超时；请重新开始签署。",
        "El tiempo de esta firma ha pasado; empiece a firmar de nuevo.",
    ),
    Reason.SIGNING_UNDER_WAY: Remedy(
        _S.FAILED_PRECONDITION,
        "This party has already authenticated, and its signature is being made; look at it with GetSigning.",
        "该签署方已完成身份认证，签名正在生成；请稍后查看签署状态。",
        "Esta parte ya se ha autenticado y su firma se está haciendo; consulte su estado.",
    ),
    Reason.SIGNING_TRIES: Remedy(
        _S.FAILED_PRECONDITION,
        "Too many tries did not authenticate you; start signing again.",
        "认证失败次数过多；请重新开始签署。",
        "Demasiados intentos de autenticación fallidos; empiece a firmar de nuevo.",
    ),
    Reason.SIGNATURE_REVOKED: Remedy(
        _S.FAILED_PRECONDITION,
        "Somebody's signature in this contract was revoked; ask the sender to withdraw it and to send it anew.",
        "本合同中已有签名被吊销；请发送方撤回并重新发送。",
        "Una firma de este contrato fue revocada; pida al remitente que lo retire y lo envíe de nuevo.",
    ),
    Reason.PREVIEW_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at what you sign first (PreviewSigned).",
        "请先预览签署后的文件。",
        "Vea primero lo que va a firmar.",
    ),
    Reason.PREVIEW_OUTDATED: Remedy(
        _S.ABORTED,
        "What you confirmed is not what would be signed now; look at the new preview and confirm it.",
        "您确认的内容已变化；请重新预览并确认。",
        "Lo que confirmó ya no es lo que se firmaría; vea la nueva vista previa y confírmela.",
    ),
    Reason.SIGN_METHOD_NOT_ALLOWED: Remedy(
        _S.FAILED_PRECONDITION,
        "This contract is not signed by this method; use one of those that are allowed.",
        "本合同不允许使用此认证方式；请选择允许的方式。",
        "Este contrato no admite este método de firma; use uno de los permitidos.",
    ),
    Reason.SEAL_CHOICE_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "A seal belongs on this document: choose one of the organisation's seals in the preview.",
        "该文件需要加盖印章；请在预览时选择本单位的印章。",
        "El documento lleva un sello: elija uno de la organización en la vista previa.",
    ),
    Reason.SIGNATURE_ASSET_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Choose one of your own signatures (ListSignatureAssets).",
        "请选择本人已保存的签名。",
        "Elija una de sus propias firmas.",
    ),
    Reason.SIGNATURE_ASSETS_TOO_MANY: Remedy(
        _S.FAILED_PRECONDITION,
        "Remove one of your drawn signatures before you draw another one.",
        "手写签名数量已达上限；请先移除一个再绘制。",
        "Quite una de sus firmas dibujadas antes de dibujar otra.",
    ),
    Reason.PASSKEY_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Use one of your own passkeys, or register this one first.",
        "请使用本人的通行密钥，或先注册该通行密钥。",
        "Use una de sus claves de acceso, o registre primero esta.",
    ),
    Reason.PASSKEY_REFUSED: Remedy(
        _S.PERMISSION_DENIED,
        "The passkey's answer is not one for this request; try again, with your fingerprint, face or PIN.",
        "通行密钥的应答与本次请求不符；请使用指纹、面容或 PIN 重试。",
        "La respuesta de la clave no es de esta petición; inténtelo de nuevo con su huella, rostro o PIN.",
    ),
    Reason.PASSKEY_CLONED: Remedy(
        _S.PERMISSION_DENIED,
        "The passkey may have been copied: remove it, and register a new one.",
        "该通行密钥可能已被复制；请移除并重新注册。",
        "La clave de acceso puede haber sido copiada: quítela y registre una nueva.",
    ),
    Reason.PASSKEY_KNOWN: Remedy(
        _S.ALREADY_EXISTS,
        "This passkey is registered already.",
        "该通行密钥已注册。",
        "Esta clave de acceso ya está registrada.",
    ),
    Reason.PASSKEYS_TOO_MANY: Remedy(
        _S.FAILED_PRECONDITION,
        "Remove one of your passkeys before you register another one.",
        "通行密钥数量已达上限；请先移除一个。",
        "Quite una de sus claves de acceso antes de registrar otra.",
    ),
    Reason.PASSKEY_REGISTRATION_OVER: Remedy(
        _S.FAILED_PRECONDITION,
        "This registration is over; begin again with StartPasskey.",
        "本次注册已失效；请重新开始注册通行密钥。",
        "Este registro ha caducado; empiece de nuevo.",
    ),
    Reason.TIMESTAMP_UNAVAILABLE: Remedy(
        _S.UNAVAILABLE,
        "No authority for time-stamps answers; the service tries again by itself until the deadline.",
        "时间戳服务暂不可用；系统将在截止时间前自动重试。",
        "Ninguna autoridad de sellado de tiempo responde; el servicio lo reintenta hasta el plazo.",
        retry_s=30,
    ),
    Reason.SIGN_DOCUMENT_MOVED: Remedy(
        _S.FAILED_PRECONDITION,
        "The document is not the one that was to be signed here; nothing was signed.",
        "文件已不是当时待签的文件；未作签署。",
        "El documento ya no es el que se iba a firmar; no se ha firmado nada.",
    ),
    Reason.SIGN_TASK_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "There is no such task at this site; synchronise the device.",
        "本站点没有该任务；请同步设备。",
        "No hay tal tarea en este lugar; sincronice el dispositivo.",
    ),
    Reason.SIGN_TASK_OVER: Remedy(
        _S.FAILED_PRECONDITION,
        "The contract does not await this signature any more; nothing was signed.",
        "该合同已不再等待此签署；未作签署。",
        "El contrato ya no espera esta firma; no se ha firmado nada.",
    ),
    # Documents and certificates of signers.
    Reason.SIGNER_NOT_PROVEN: Remedy(
        _S.FAILED_PRECONDITION,
        "The name or the organisation is not the one that was verified: verify it anew, then sign.",
        "姓名或组织与实名认证的信息不一致：请重新认证后再签署。",
        "El nombre o la organización no son los verificados: verifíquelos de nuevo y firme después.",
    ),
    Reason.SIGNER_CERTIFICATE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Check the serial number with verifield-cloud documents certificates list.",
        "请用 verifield-cloud documents certificates list 核对证书序列号。",
        "Compruebe el número de serie con verifield-cloud documents certificates list.",
    ),
    Reason.DOCUMENT_SIZE: Remedy(
        _S.INVALID_ARGUMENT,
        "A document that is checked has at most 48 MiB: check a larger one with verifield-verify document.",
        "可核验的文件最大为 48 MiB：更大的文件请用 verifield-verify document 核验。",
        "Un documento tiene como máximo 48 MiB: uno mayor se comprueba con verifield-verify document.",
    ),
    Reason.DOCUMENT_EMPTY: Remedy(
        _S.INVALID_ARGUMENT,
        "Send the bytes of the file.",
        "请发送文件内容。",
        "Envíe los bytes del archivo.",
    ),
    Reason.DOCUMENT_CHECKS_BUSY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Many documents are being checked: try again in a few seconds.",
        "正在核验的文件较多：请稍后几秒重试。",
        "Se están comprobando muchos documentos: inténtelo de nuevo en unos segundos.",
        5.0,
    ),
    Reason.DOCUMENT_CHECKS_AWAY: Remedy(
        _S.UNAVAILABLE,
        "Documents cannot be checked at the moment: try again, or use verifield-verify document.",
        "暂时无法核验文件：请重试，或使用 verifield-verify document。",
        "Ahora no se pueden comprobar documentos: inténtelo de nuevo o use verifield-verify document.",
        5.0,
    ),
}
