"""Of identity: four elements, faces, network certificates, people at windows, authorities."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.NAME_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Write the name as on the card; the point between its parts is · (U+00B7).",
        "请按证件填写姓名；姓名中的间隔点为“·”（U+00B7）。",
        "Escriba el nombre como en el documento; el punto entre sus partes es · (U+00B7).",
    ),
    Reason.ID_NUMBER_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Check the ID number against the card: 18 characters.",
        "请对照证件核对身份证号码：共18位。",
        "Compare el número con el documento: tiene 18 caracteres.",
    ),
    Reason.VALIDITY_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Check both days of the card's validity; a card without an end day is long-term.",
        "请核对证件有效期的起止日期；无截止日期的证件请选择“长期”。",
        "Compruebe las dos fechas de validez; un documento sin fecha final es de larga duración.",
    ),
    Reason.UPGRADE_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Install the newest version of the application, and try again.",
        "请安装最新版本的客户端后重试。",
        "Instale la versión más reciente de la aplicación e inténtelo de nuevo.",
    ),
    Reason.VERIFICATION_DATA_MISSING: Remedy(
        _S.FAILED_PRECONDITION,
        "Verification data missing: check name, ID number, valid-from day and valid-to day against the card.",
        "核验数据缺失：请核对姓名、身份证号码、有效期起始日期和有效期截止日期四要素。",
        "Faltan datos de verificación: compruebe el nombre, el número y las dos fechas de validez del documento.",
    ),
    Reason.VERIFICATION_TRIES_USED: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Too many tries: go to a window, where the four elements can be sent to the information centre.",
        "尝试次数过多：请到窗口办理，由窗口人员将四要素提交信息中心。",
        "Demasiados intentos: acuda a una ventanilla, que puede enviar los datos al centro de información.",
    ),
    Reason.VERIFICATION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Look for the verification with ListVerifications.",
        "请通过核验列表查找该核验记录。",
        "Busque la verificación en la lista de verificaciones.",
    ),
    Reason.VERIFICATION_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "The verification is past this step: start a new one.",
        "该核验已不处于此步骤：请重新发起核验。",
        "La verificación ya pasó este paso: inicie una nueva.",
    ),
    Reason.VERIFICATION_RUNNING: Remedy(
        _S.FAILED_PRECONDITION,
        "Another verification of this account is running: wait for its end.",
        "该账户正在进行另一项核验：请等待其结束。",
        "Hay otra verificación en curso para esta cuenta: espere a que termine.",
        retry_s=5,
    ),
    Reason.ELEMENTS_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "First verify the four elements (VerifyFourElements).",
        "请先完成四要素核验。",
        "Verifique primero los cuatro elementos.",
    ),
    Reason.IDENTITY_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "First verify the identity: by face, network certificate, or at a window.",
        "请先完成实名核验：人脸、网证或窗口人工核验。",
        "Verifique primero la identidad: por el rostro, con el certificado de red o en una ventanilla.",
    ),
    Reason.ID_VALIDITY_CONFLICT: Remedy(
        _S.FAILED_PRECONDITION,
        "The account was registered with another card's validity: a window opens a ticket for the old card.",
        "账户登记的是另一张证件的有效期：请到窗口提交旧证件工单。",
        "La cuenta se registró con la validez de otro documento: una ventanilla abre un caso por el antiguo.",
    ),
    Reason.IDENTITY_DISPUTED: Remedy(
        _S.FAILED_PRECONDITION,
        "Two records contradict each other: go to a window, where somebody sees the person.",
        "两份记录互相矛盾：请到登记窗口，由工作人员当面核验。",
        "Dos registros se contradicen: acuda a una ventanilla, donde alguien vea a la persona.",
    ),
    Reason.FACE_MISMATCH: Remedy(
        _S.FAILED_PRECONDITION,
        "Try again in good light, use the network certificate, or go to a window.",
        "请在光线良好处重试，或使用网证核验，或到窗口办理。",
        "Inténtelo de nuevo con buena luz, use el certificado de red o acuda a una ventanilla.",
    ),
    Reason.EVIDENCE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Send what the device signed, unchanged.",
        "请原样提交设备签名的证据。",
        "Envíe sin cambios lo que firmó el dispositivo.",
    ),
    Reason.EVIDENCE_SIGNATURE: Remedy(
        _S.INVALID_ARGUMENT,
        "The evidence was changed, or no device of this service signed it: make it anew at a device.",
        "证据被更改或并非由本服务的设备签名：请在设备上重新采集。",
        "La prueba fue alterada o no la firmó un dispositivo de este servicio: repítala en un dispositivo.",
    ),
    Reason.EVIDENCE_DEVICE: Remedy(
        _S.FAILED_PRECONDITION,
        "The device may not make evidence: use another device.",
        "该设备不能出具证据：请使用其他设备。",
        "El dispositivo no puede emitir pruebas: use otro.",
    ),
    Reason.EVIDENCE_OUTCOME: Remedy(
        _S.FAILED_PRECONDITION,
        "The device did not see a live person who matches the card: try again.",
        "设备未确认活体本人与证件一致：请重试。",
        "El dispositivo no comprobó que una persona viva coincida con el documento: repítalo.",
    ),
    Reason.EVIDENCE_STALE: Remedy(
        _S.FAILED_PRECONDITION,
        "The evidence is too old: start the face check again.",
        "证据已过期：请重新开始人脸核验。",
        "La prueba es demasiado antigua: inicie de nuevo la comprobación del rostro.",
    ),
    Reason.EVIDENCE_NONCE: Remedy(
        _S.FAILED_PRECONDITION,
        "The evidence was not made for this face check: start it again.",
        "证据不属于本次人脸核验：请重新开始。",
        "La prueba no se hizo para esta comprobación: iníciela de nuevo.",
    ),
    Reason.EVIDENCE_PERSON: Remedy(
        _S.FAILED_PRECONDITION,
        "The card at the device was another person's: use the card of the account's holder.",
        "设备读取的是他人证件：请使用账户本人的证件。",
        "El documento leído es de otra persona: use el del titular de la cuenta.",
    ),
    Reason.EVIDENCE_PICTURE: Remedy(
        _S.INVALID_ARGUMENT,
        "The picture is not the one that the device took: send that one.",
        "照片不是设备采集的照片：请提交设备采集的原照片。",
        "La imagen no es la que tomó el dispositivo: envíe esa.",
    ),
    Reason.EVIDENCE_REPLAYED: Remedy(
        _S.ALREADY_EXISTS,
        "This evidence was used before: make it anew at a device.",
        "该证据已被使用：请在设备上重新采集。",
        "Esta prueba ya se usó: repítala en un dispositivo.",
    ),
    Reason.CTID_UNKNOWN: Remedy(
        _S.FAILED_PRECONDITION,
        "Start the verification with the network certificate again.",
        "请重新发起网证核验。",
        "Inicie de nuevo la verificación con el certificado de red.",
    ),
    Reason.CTID_REFUSED: Remedy(
        _S.FAILED_PRECONDITION,
        "The network certificate does not stand for this account's holder: check it in the CTID application.",
        "该网证与账户本人不符：请在CTID客户端中核对。",
        "El certificado de red no corresponde al titular de la cuenta: compruébelo en la aplicación CTID.",
    ),
    Reason.STAFF_IDENTITY_REQUIRED: Remedy(
        _S.PERMISSION_DENIED,
        "Sign in as a user whose person is known: somebody else declares it with DeclareStaffIdentity.",
        "请以已登记本人身份的用户登录：由他人通过 DeclareStaffIdentity 登记。",
        "Entre como un usuario cuya persona se conoce: otra persona la declara con DeclareStaffIdentity.",
    ),
    Reason.SITE_TASK_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Look for the request with ListSiteVerifications.",
        "请通过 ListSiteVerifications 查找该现场核验请求。",
        "Busque la solicitud con ListSiteVerifications.",
    ),
    Reason.SITE_TASK_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "The request has ended: make a new one.",
        "该现场核验请求已结束：请重新发起。",
        "La solicitud ha terminado: haga una nueva.",
    ),
    Reason.SITE_UNKNOWN: Remedy(
        _S.FAILED_PRECONDITION,
        "Name a site with a device that is let in (ListDevices).",
        "请选择有已准入设备的网点（ListDevices）。",
        "Indique un sitio con un dispositivo admitido (ListDevices).",
    ),
    Reason.OWN_IDENTITY: Remedy(
        _S.PERMISSION_DENIED,
        "Ask a colleague: nobody verifies the own identity.",
        "请由同事办理：不得核验本人身份。",
        "Pida a un colega que lo haga: nadie verifica su propia identidad.",
    ),
    Reason.AUTHORITY_BUSY: Remedy(
        _S.UNAVAILABLE,
        "The real-name system is busy: try again in a while, verify with a network certificate (CTID), or go to a window.",
        "公安实名系统繁忙：请稍后重试，或通过网证（CTID）核验，或到登记窗口办理。",
        "El sistema de identidad está saturado: inténtelo más tarde, use un certificado de red (CTID) o acuda a una ventanilla.",
        retry_s=30.0,
    ),
    Reason.REALNAME_SYSTEM_ERROR: Remedy(
        _S.UNAVAILABLE,
        "The real-name verification system has a fault: try again later, verify with a network certificate (CTID), or go to a window.",
        "实名核验系统异常：请稍后再试，或通过网证（CTID）核验，或到登记窗口办理。",
        "El sistema de verificación tiene un fallo: inténtelo más tarde, use un certificado de red (CTID) o acuda a una ventanilla.",
        retry_s=120.0,
    ),
    Reason.AUTHORITY_NOT_CONFIGURED: Remedy(
        _S.FAILED_PRECONDITION,
        "Whoever runs the service must connect it to this authority (settings authority_*); till then, go to a window.",
        "本服务尚未接入该权威机构：请联系运行人员配置 authority_*；在此之前请到登记窗口办理。",
        "Quien opera el servicio debe conectarlo a esta autoridad (ajustes authority_*); hasta entonces, acuda a una ventanilla.",
    ),
}
