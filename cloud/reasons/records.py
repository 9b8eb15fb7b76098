"""Of devices, what they deliver, and what is kept of it."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.DEVICE_UNKNOWN: Remedy(
        _S.PERMISSION_DENIED,
        "Enrol this device with a new join token.",
        "请用新的加入令牌注册此设备。",
        "Inscriba este dispositivo con un nuevo token de alta.",
    ),
    Reason.JOIN_TOKEN_UNKNOWN: Remedy(
        _S.PERMISSION_DENIED,
        "Check the token for typing errors, or ask the operator for a new one.",
        "请检查令牌是否输入有误，或向操作员索取新令牌。",
        "Compruebe que el token está bien escrito, o pida uno nuevo al operador.",
    ),
    Reason.JOIN_TOKEN_USED: Remedy(
        _S.PERMISSION_DENIED,
        "Each token enrols one key of one device; ask the operator for a new one.",
        "每个令牌只能为一台设备注册一个密钥；请向操作员索取新令牌。",
        "Cada token inscribe una sola clave de un dispositivo; pida uno nuevo al operador.",
    ),
    Reason.JOIN_TOKEN_EXPIRED: Remedy(
        _S.PERMISSION_DENIED,
        "Ask the operator for a new one.",
        "请向操作员索取新令牌。",
        "Pida uno nuevo al operador.",
    ),
    Reason.CSR_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Send a self-signed PKCS#10 request (DER) of a P-256 key for each certificate.",
        "请为每张证书发送一个 P-256 密钥的自签名 PKCS#10 请求（DER）。",
        "Envíe por cada certificado una solicitud PKCS#10 autofirmada (DER) de una clave P-256.",
    ),
    Reason.KEY_ALREADY_ENROLLED: Remedy(
        _S.ALREADY_EXISTS,
        "Each enrolment needs a new key; two devices must never share one.",
        "每次注册都需要新密钥；两台设备绝不可共用一个密钥。",
        "Cada inscripción necesita una clave nueva; dos dispositivos nunca deben compartir una.",
    ),
    Reason.KEY_PROTECTION_UNPROVEN: Remedy(
        _S.FAILED_PRECONDITION,
        "Use the device's own TPM, whose maker's certificate stands in the service's tpm_roots; keys in a PKCS#11 token or in software are let in by a person.",
        "请使用设备自身的 TPM，且其制造商证书在服务的 tpm_roots 之中；PKCS#11 令牌或软件中的密钥须由人员批准。",
        "Use el TPM del propio dispositivo, cuyo certificado de fabricante esté en tpm_roots; las claves en un token PKCS#11 o en software las admite una persona.",
    ),
    Reason.TPM_CHALLENGE_EXPIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Enrol again with the same token.",
        "请用同一令牌重新注册。",
        "Inscríbase de nuevo con el mismo token.",
    ),
    Reason.TPM_SECRET_REFUSED: Remedy(
        _S.PERMISSION_DENIED,
        "Enrol again with the same token, on the device whose TPM has the key.",
        "请在持有该密钥的 TPM 所在的设备上，用同一令牌重新注册。",
        "Inscríbase de nuevo con el mismo token, en el dispositivo cuyo TPM tiene la clave.",
    ),
    Reason.DEVICE_PENDING: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask the operator to compare the key's fingerprint and approve it.",
        "请操作员核对密钥指纹并批准。",
        "Pida al operador que compare la huella de la clave y la apruebe.",
        retry_s=60.0,
    ),
    Reason.DEVICE_REVOKED: Remedy(
        _S.UNAUTHENTICATED,  # its certificates no longer say who it is
        "It is never let in again: enrol anew, with a new token and new keys.",
        "此设备不会再被接纳：请用新令牌和新密钥重新注册。",
        "Nunca volverá a ser admitido: inscríbalo de nuevo, con un token y claves nuevos.",
    ),
    Reason.DEVICE_NOT_PENDING: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at its state: only one that waits for a person can be approved.",
        "请查看设备状态：只有等待人员处理的设备才能被批准。",
        "Mire su estado: solo se aprueba el que espera a una persona.",
    ),
    Reason.FINGERPRINT_MISMATCH: Remedy(
        _S.FAILED_PRECONDITION,
        "Read the fingerprint again from the device's own screen; if it differs, revoke the device.",
        "请在设备自己的屏幕上重新读取指纹；若仍不同，请吊销该设备。",
        "Lea otra vez la huella en la pantalla del dispositivo; si difiere, revoque el dispositivo.",
    ),
    Reason.RENEWAL_CHALLENGE_REFUSED: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask for a new challenge, and send the proof within its time.",
        "请索取新的质询，并在时限内发送证明。",
        "Pida un nuevo desafío y envíe la prueba dentro de su plazo.",
    ),
    Reason.RENEWAL_PROOF_REFUSED: Remedy(
        _S.PERMISSION_DENIED,
        "Sign with the enrolled attestation key; if it is lost, enrol anew.",
        "请用已注册的证明密钥签名；若密钥已丢失，请重新注册。",
        "Firme con la clave de atestación inscrita; si se perdió, inscríbase de nuevo.",
    ),
    Reason.RENEWAL_TOO_OFTEN: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Keep what was given, and try tomorrow.",
        "请保留已获得的证书，明天再试。",
        "Conserve lo que recibió e inténtelo mañana.",
        retry_s=86400.0,
    ),
    Reason.PREDECESSOR_INVALID: Remedy(
        _S.FAILED_PRECONDITION,
        "Name a device that was let in and has no successor yet.",
        "请指定一台已被接纳且尚无后继的设备。",
        "Nombre un dispositivo admitido que aún no tenga sucesor.",
    ),
    Reason.PAGE_TOKEN_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Send next_page_token of the last answer unchanged, with the same filters.",
        "请原样发送上次回答的 next_page_token，并使用相同的过滤条件。",
        "Envíe sin cambios el next_page_token de la última respuesta, con los mismos filtros.",
    ),
    Reason.BATCH_TOO_LARGE: Remedy(
        _S.INVALID_ARGUMENT,
        "Send at most 256 envelopes and 2 MiB in one batch.",
        "每批最多 256 个信封、2 MiB。",
        "Envíe como mucho 256 sobres y 2 MiB en un lote.",
    ),
    Reason.TOO_MANY_STREAMS: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "End a stream, or wait until a broken one is noticed, and try again.",
        "请结束一个流，或等到已断开的流被发现后再试。",
        "Termine un flujo, o espere a que se note uno roto, e inténtelo de nuevo.",
        retry_s=30.0,
    ),
    Reason.STREAM_IDLE: Remedy(
        _S.DEADLINE_EXCEEDED,
        "Open a stream when there is something to deliver, and try again.",
        "有内容要传送时再打开流，然后重试。",
        "Abra un flujo cuando haya algo que entregar, e inténtelo de nuevo.",
        retry_s=1.0,
    ),
    Reason.CURSOR_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Send next_cursor of the last answer unchanged, or none to begin anew.",
        "请原样发送上次回答的 next_cursor；若要从头开始，请留空。",
        "Envíe sin cambios el next_cursor de la última respuesta, o ninguno para empezar de nuevo.",
    ),
    Reason.MEDIA_UNKNOWN: Remedy(
        _S.NOT_FOUND,
        "Deliver the record that names the file first.",
        "请先传送提到该文件的记录。",
        "Entregue primero el registro que nombra el archivo.",
    ),
    Reason.MEDIA_CHUNK_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Send chunks of 256 KiB, the last one what remains, with the signed size.",
        "请按 256 KiB 分块发送，最后一块为剩余部分，大小须与签名一致。",
        "Envíe trozos de 256 KiB, el último con lo que quede, con el tamaño firmado.",
    ),
    Reason.MEDIA_NO_ROOM: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Keep the file and try again later; give the service a larger disk.",
        "请保留文件，稍后再试；请给服务更大的磁盘。",
        "Conserve el archivo e inténtelo más tarde; dé al servicio un disco mayor.",
        retry_s=3600.0,
    ),
    Reason.MEDIA_DIGEST: Remedy(
        _S.DATA_LOSS,
        "Send all chunks again; if it happens again, the device's copy is damaged.",
        "请重新发送所有分块；若再次发生，则设备上的副本已损坏。",
        "Envíe todos los trozos otra vez; si se repite, la copia del dispositivo está dañada.",
    ),
    Reason.TRANSFER_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Let the device write the file again, and take one of this deployment.",
        "请让设备重新写出文件，并使用属于本部署的文件。",
        "Haga que el dispositivo escriba el archivo otra vez, y tome uno de este despliegue.",
    ),
    Reason.TRANSFER_BUSY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Wait until the other import has ended.",
        "请等待另一个导入结束。",
        "Espere a que termine la otra importación.",
        retry_s=30.0,
    ),
    Reason.TRANSFER_NO_ROOM: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Give the service's data directory more room, and import the file again.",
        "请给服务的数据目录更多空间，然后重新导入文件。",
        "Dé más espacio al directorio de datos del servicio e importe el archivo de nuevo.",
    ),
    Reason.CERTIFICATES_MISSING: Remedy(
        _S.INVALID_ARGUMENT,
        "Send the attestation key's certificates in the first message of the stream.",
        "请在流的第一条消息中发送证明密钥的证书。",
        "Envíe los certificados de la clave de atestación en el primer mensaje del flujo.",
    ),
    Reason.CERTIFICATES_REFUSED: Remedy(
        _S.PERMISSION_DENIED,
        "Send the attestation certificates that enrolment gave to this device.",
        "请发送注册时给予此设备的证明证书。",
        "Envíe los certificados de atestación que la inscripción dio a este dispositivo.",
    ),
    Reason.MEDIA_NOT_HERE: Remedy(
        _S.NOT_FOUND,
        "List the files of the record; those that are not complete yet come with a later sync.",
        "请列出该记录的文件；尚未完整的文件会在以后的同步中送达。",
        "Liste los archivos del registro; los que aún no están completos llegan con una sincronización posterior.",
    ),
    Reason.ATTESTATION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the attestations to see what was delivered.",
        "请列出证明，查看已传送的内容。",
        "Liste las atestaciones para ver lo que se entregó.",
    ),
    Reason.DEVICE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the devices to see their ids.",
        "请列出设备，查看其标识。",
        "Liste los dispositivos para ver sus identificadores.",
    ),
    Reason.DIRECTIVE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Use LOCK, UNLOCK or WIPE, and a reason of at most 200 characters.",
        "请更正消息指出的内容，然后重新发送指令。",
        "Corrija lo que nombra el mensaje y envíe la orden de nuevo.",
    ),
    Reason.ALARM_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the alarms to see their ids.",
        "请列出警报，查看其标识。",
        "Liste las alarmas para ver sus identificadores.",
    ),
    Reason.POLICY_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Correct what the message names, and publish the policy again.",
        "请更正消息指出的内容，然后重新发布策略。",
        "Corrija lo que nombra el mensaje y publique la política de nuevo.",
    ),
    Reason.POLICY_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the policies to see their versions.",
        "请列出策略，查看其版本。",
        "Liste las políticas para ver sus versiones.",
    ),
    Reason.POLICY_VERSION: Remedy(
        _S.FAILED_PRECONDITION,
        "Take the newest policy, change it, and give it the next version.",
        "请取最新的策略加以修改，并给它下一个版本号。",
        "Tome la política más reciente, cámbiela y dele la versión siguiente.",
    ),
    Reason.LOG_RANGE: Remedy(
        _S.OUT_OF_RANGE,
        "Ask within the size of the newest checkpoint.",
        "请在最新检查点的范围之内查询。",
        "Pregunte dentro del tamaño del punto de control más reciente.",
    ),
    Reason.AUDIT_EMPTY: Remedy(
        _S.FAILED_PRECONDITION,
        "Sign a head once there is an event; list the events to see them.",
        "请在有事件之后再签署；可先列出事件查看。",
        "Firme una cabecera cuando haya algún evento; liste los eventos para verlos.",
    ),
    Reason.RECORD_DAMAGED: Remedy(
        _S.DATA_LOSS,
        "The database was changed from outside; restore it from a backup.",
        "数据库曾被外部改动；请从备份恢复。",
        "La base de datos fue cambiada desde fuera; restáurela de una copia.",
    ),
    Reason.BUSY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Keep the records, wait as long as the answer says, and try again.",
        "请保留记录，按回答所说的时间等待后再试。",
        "Conserve los registros, espere lo que dice la respuesta e inténtelo de nuevo.",
        retry_s=1.0,
    ),
    Reason.VERIFIER_UNAVAILABLE: Remedy(
        _S.UNAVAILABLE,
        "Keep the records, wait as long as the answer says, and try again.",
        "请保留记录，按回答所说的时间等待后再试。",
        "Conserve los registros, espere lo que dice la respuesta e inténtelo de nuevo.",
        retry_s=5.0,
    ),
    Reason.LOG_INCONSISTENT: Remedy(
        _S.INTERNAL,
        "Keep the records; whoever runs the service must restore it from a backup before it takes more.",
        "请保留记录；运行此服务的人须先从备份恢复，服务才会继续接收。",
        "Conserve los registros; quien opera el servicio debe restaurarlo de una copia antes de que acepte más.",
        retry_s=300.0,
    ),
    Reason.STORE_UNAVAILABLE: Remedy(
        _S.UNAVAILABLE,
        "Try again in a moment; nothing was accepted.",
        "请稍后再试；没有任何内容被接受。",
        "Inténtelo de nuevo en un momento; no se aceptó nada.",
        retry_s=2.0,
    ),
    Reason.INTERNAL: Remedy(
        _S.INTERNAL,
        "Give the error id to whoever runs the service; its log explains.",
        "请把错误编号交给运行此服务的人；其日志中有说明。",
        "Dé el número de error a quien opera el servicio; su registro lo explica.",
    ),
}
