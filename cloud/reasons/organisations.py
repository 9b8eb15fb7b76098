"""Of organisations, of their seals, and of approvals under a seal."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.ORGANISATION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the organisations of the account that is signed in.",
        "请查看当前登录账户的企业列表。",
        "Liste las organizaciones de la cuenta con la que ha iniciado sesión.",
    ),
    Reason.ORGANISATION_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the organisation: its state says what can be done next.",
        "请查看企业：其状态说明下一步可以做什么。",
        "Mire la organización: su estado dice qué puede hacerse.",
    ),
    Reason.ORGANISATION_LIMIT: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Use one of the organisations that this account administers already.",
        "请使用此账户已管理的企业。",
        "Use una de las organizaciones que esta cuenta ya administra.",
    ),
    Reason.ORGANISATION_EXISTS: Remedy(
        _S.ALREADY_EXISTS,
        "This organisation is verified here already: ask its administrator.",
        "该企业已通过认证：请联系其管理员。",
        "Esta organización ya está verificada aquí: pregunte a su administrador.",
    ),
    Reason.ORG_REAL_NAME_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Have the organisation verified first: hand in its data and its licence.",
        "请先完成企业实名认证：提交企业信息和营业执照。",
        "Verifique primero la organización: presente sus datos y su licencia.",
    ),
    Reason.USCC_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Type the unified social credit code as it stands on the licence: 18 characters.",
        "请按营业执照填写统一社会信用代码：18 位。",
        "Escriba el código unificado de crédito social como figura en la licencia: 18 caracteres.",
    ),
    Reason.LICENCE_NUMBER_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Type the registration number as it stands on the licence: 15 digits.",
        "请按营业执照填写注册号：15 位数字。",
        "Escriba el número de registro como figura en la licencia: 15 cifras.",
    ),
    Reason.ORG_CODE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Type the organisation code as it stands on its certificate: 9 characters.",
        "请按证书填写组织机构代码：9 位。",
        "Escriba el código de organización como figura en su certificado: 9 caracteres.",
    ),
    Reason.ORG_CODE_MISMATCH: Remedy(
        _S.INVALID_ARGUMENT,
        "The organisation code is characters 9 to 17 of the unified social credit code: correct one of them, or leave it out.",
        "组织机构代码应为统一社会信用代码的第 9 至 17 位：请更正，或不填写。",
        "El código de organización son los caracteres 9 a 17 del código unificado: corrija uno, o déjelo vacío.",
    ),
    Reason.ORG_NUMBER_REQUIRED: Remedy(
        _S.INVALID_ARGUMENT,
        "Give either the unified social credit code, or the registration number with the organisation code.",
        "请填写统一社会信用代码，或填写注册号和组织机构代码。",
        "Indique el código unificado de crédito social, o el número de registro con el código de organización.",
    ),
    Reason.ORG_NAME_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Type the name as it stands on the licence: letters, digits, brackets, dots and spaces.",
        "请按营业执照填写企业名称。",
        "Escriba el nombre como figura en la licencia: letras, cifras, paréntesis, puntos y espacios.",
    ),
    Reason.REPRESENTATIVE_MISMATCH: Remedy(
        _S.FAILED_PRECONDITION,
        "The legal representative is somebody else than the account holder: say that the administrator is not the representative, and add an authorisation letter.",
        "法定代表人与账户持有人不一致：请选择“非法定代表人”，并上传授权委托书。",
        "El representante legal no es el titular de la cuenta: indique que el administrador no es el representante y añada una carta de autorización.",
    ),
    Reason.AUTHORISATION_LETTER_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Add the authorisation letter of the legal representative: PDF, JPEG or PNG.",
        "请上传法定代表人的授权委托书：PDF、JPEG 或 PNG。",
        "Añada la carta de autorización del representante legal: PDF, JPEG o PNG.",
    ),
    Reason.ORG_LICENCE_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Add the business licence: PDF, JPEG or PNG.",
        "请上传营业执照：PDF、JPEG 或 PNG。",
        "Añada la licencia comercial: PDF, JPEG o PNG.",
    ),
    Reason.ORGANISATION_DOCUMENTS_TOO_MANY: Remedy(
        _S.FAILED_PRECONDITION,
        "Remove a document, or put several pages into one file.",
        "请删除一份材料，或将多页合并为一个文件。",
        "Quite un documento, o reúna varias páginas en un archivo.",
    ),
    Reason.UPLOAD_DIGEST: Remedy(
        _S.INVALID_ARGUMENT,
        "Send the file again: what arrived is not what was announced.",
        "请重新上传文件：收到的内容与声明不符。",
        "Envíe el archivo de nuevo: lo que llegó no es lo anunciado.",
    ),
    Reason.SEAL_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the seals of the organisation.",
        "请查看企业的印章列表。",
        "Liste los sellos de la organización.",
    ),
    Reason.SEAL_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the seal: its state says what can be done next.",
        "请查看印章：其状态说明下一步可以做什么。",
        "Mire el sello: su estado dice qué puede hacerse.",
    ),
    Reason.SEAL_NOT_APPROVED: Remedy(
        _S.FAILED_PRECONDITION,
        "Wait until a reviewer has approved the seal.",
        "请等待印章审核通过。",
        "Espere a que un revisor apruebe el sello.",
    ),
    Reason.SEAL_FROZEN: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask the administrator of the organisation to unfreeze the seal.",
        "请联系企业管理员解冻印章。",
        "Pida al administrador de la organización que desbloquee el sello.",
    ),
    Reason.SEAL_REVOKED: Remedy(
        _S.FAILED_PRECONDITION,
        "Use another seal: this one was revoked for ever.",
        "请使用其他印章：此印章已永久注销。",
        "Use otro sello: este fue revocado para siempre.",
    ),
    Reason.SEAL_NOT_GRANTED: Remedy(
        _S.PERMISSION_DENIED,
        "Ask the administrator of the organisation for a grant of this seal.",
        "请联系企业管理员授权使用此印章。",
        "Pida al administrador de la organización autorización para este sello.",
    ),
    Reason.SEALS_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Revoke a seal that is no longer needed.",
        "请注销不再需要的印章。",
        "Revoque un sello que ya no haga falta.",
    ),
    Reason.SEAL_IMAGE_FORMAT: Remedy(
        _S.INVALID_ARGUMENT,
        "Save the picture as PNG with a transparent background: photographs are not taken.",
        "请将印章图片保存为透明背景的 PNG；不接受照片。",
        "Guarde la imagen como PNG con fondo transparente: no se aceptan fotografías.",
    ),
    Reason.SEAL_IMAGE_BYTES: Remedy(
        _S.INVALID_ARGUMENT,
        "Make the file smaller.",
        "请减小文件大小。",
        "Reduzca el tamaño del archivo.",
    ),
    Reason.SEAL_IMAGE_TOO_SMALL: Remedy(
        _S.INVALID_ARGUMENT,
        "Use a picture with more pixels: it is printed.",
        "请使用像素更高的图片。",
        "Use una imagen con más píxeles: se imprime.",
    ),
    Reason.SEAL_IMAGE_TOO_LARGE: Remedy(
        _S.INVALID_ARGUMENT,
        "Use a picture with fewer pixels.",
        "请使用像素较低的图片。",
        "Use una imagen con menos píxeles.",
    ),
    Reason.SEAL_IMAGE_OPAQUE: Remedy(
        _S.INVALID_ARGUMENT,
        "Make the background transparent: only the ink of the seal may be seen.",
        "请将背景设为透明：仅保留印迹。",
        "Haga transparente el fondo: solo debe verse la tinta del sello.",
    ),
    Reason.SEAL_IMAGE_INK: Remedy(
        _S.INVALID_ARGUMENT,
        "Use a picture that shows the whole seal, and nothing but the seal.",
        "请使用完整且仅包含印章的图片。",
        "Use una imagen que muestre el sello entero y nada más.",
    ),
    Reason.SEAL_IMAGE_COLOUR: Remedy(
        _S.INVALID_ARGUMENT,
        "Use one ink: red, blue or black.",
        "请使用单一颜色：红、蓝或黑。",
        "Use una sola tinta: roja, azul o negra.",
    ),
    Reason.SEAL_SIZE: Remedy(
        _S.INVALID_ARGUMENT,
        "Give the size that the seal has on paper, with the proportions of the picture.",
        "请填写印章的实际尺寸，并与图片比例一致。",
        "Indique el tamaño del sello en papel, con las proporciones de la imagen.",
    ),
    Reason.SEAL_TEXT: Remedy(
        _S.INVALID_ARGUMENT,
        "Use a shorter text, of characters that can be drawn; or upload a picture.",
        "请使用较短且可绘制的文字，或上传图片。",
        "Use un texto más corto, de caracteres que puedan dibujarse; o suba una imagen.",
    ),
    Reason.SEAL_GRANT_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the grants of the seal.",
        "请查看印章的授权列表。",
        "Liste las autorizaciones del sello.",
    ),
    Reason.SEAL_GRANT_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the grant; a new one can be given.",
        "请查看该授权；可以重新授权。",
        "Mire la autorización; puede darse otra nueva.",
    ),
    Reason.SEAL_GRANT_PERIOD: Remedy(
        _S.INVALID_ARGUMENT,
        "Give a time that ends later than now and than its beginning, within five years.",
        "请填写有效的起止时间，最长五年。",
        "Indique un periodo que termine después de ahora y de su comienzo, dentro de cinco años.",
    ),
    Reason.SEAL_GRANTS_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Revoke a grant that is no longer needed.",
        "请撤销不再需要的授权。",
        "Revoque una autorización que ya no haga falta.",
    ),
    Reason.APPROVAL_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the approvals of the organisation.",
        "请查看企业的审批文件列表。",
        "Liste los documentos de la organización.",
    ),
    Reason.APPROVAL_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the approval: its state says what can be done next.",
        "请查看审批文件：其状态说明下一步可以做什么。",
        "Mire el documento: su estado dice qué puede hacerse.",
    ),
    Reason.APPROVAL_MOVED: Remedy(
        _S.ABORTED,
        "Read the document again, and seal what you have read.",
        "请重新阅读文件，并对所阅读的版本盖章。",
        "Lea el documento de nuevo y selle lo que ha leído.",
    ),
    Reason.APPROVAL_PLACE_REFUSED: Remedy(
        _S.INVALID_ARGUMENT,
        "Put the seal onto a page of the document, beside the other marks.",
        "请将印章放在文件页面内，且不与其他印记重叠。",
        "Ponga el sello en una página del documento, junto a las otras marcas.",
    ),
    Reason.APPROVAL_DOCUMENT_REFUSED: Remedy(
        _S.INVALID_ARGUMENT,
        "Use a plain PDF document: without a password, scripts, forms and attachments.",
        "请使用普通 PDF：不含密码、脚本、表单和附件。",
        "Use un PDF sencillo: sin contraseña, guiones, formularios ni archivos adjuntos.",
    ),
    Reason.APPROVALS_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Seal or withdraw an approval that is open.",
        "请先处理未完成的审批文件。",
        "Selle o retire un documento pendiente.",
    ),
    Reason.APPROVAL_STAMP_UNAVAILABLE: Remedy(
        _S.UNAVAILABLE,
        "Try again in a moment with a new code: no time-stamp could be had, and nothing was sealed.",
        "请稍后重新获取验证码再试：无法取得时间戳，未盖章。",
        "Inténtelo de nuevo en un momento con otro código: no hubo sello de tiempo y no se selló nada.",
    ),
}
