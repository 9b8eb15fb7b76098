"""What the receiver of a refusal can do about it, in the languages of our users.

English stands beside the reasons (``cloud.reasons``); a test keeps the other languages complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from cloud.reasons import REMEDIES, Reason

LANGUAGES = ("en", "zh", "es")
"""The first one is for those who ask for none of them."""

MAX_HEADER_CHARS = 256
"""Of a list of languages; what browsers send has a quarter of it."""

_RANGE = re.compile(r"([a-z]{1,8}|\*)(?:-[a-z0-9-]{1,32})?(?:;q=([01](?:\.[0-9]{0,3})?))?")

_R = Reason
_ZH: Mapping[Reason, str] = MappingProxyType(
    {
        _R.REQUEST_INVALID: "请更正回答中指出的字段；各字段的规则写在 .proto 文件中。",
        _R.REQUEST_ID_REUSED: "每个新请求请使用自己的标识；只有完全相同的请求才可重复使用同一标识。",
        _R.FILTER_INVALID: "请更正消息所指位置的过滤条件；写法见 docs/api.md。",
        _R.UPDATE_MASK_INVALID: "请只列出可以更改的字段；若要更改全部，请不要填写掩码。",
        _R.ETAG_MISMATCH: "请重新读取，查看他人所作的更改，再用新的 etag 提交更改。",
        _R.OPERATOR_TOKEN_MISSING: "请在元数据中发送带有操作员令牌的“authorization: Bearer TOKEN”。",
        _R.OPERATOR_TOKEN_REFUSED: "请使用服务数据目录中 operator.token 文件里的令牌。",
        _R.CLIENT_CERTIFICATE_REFUSED: "请用注册时获得的 TLS 证书连接；若已过期，请重新注册。",
        _R.SIGN_IN_TOKEN_REFUSED: "请重新登录；若再次被拒，请核对签发者、受众与时钟。",
        _R.SIGN_IN_UNAVAILABLE: "请稍后再试，或改用客户端证书。",
        _R.IDENTITY_AMBIGUOUS: "请只出示一种身份证明：客户端证书或令牌，不要同时使用。",
        _R.USER_UNKNOWN: "请管理用户的人员将您添加为用户。",
        _R.USER_DISABLED: "请管理用户的人员重新启用您的账户。",
        _R.PERMISSION_MISSING: "请申请具有回答中所列权限的角色。",
        _R.METHOD_CLOSED: "此方法供其他调用者使用；见 .proto 文件中的 access 选项。",
        _R.RATE_LIMITED: "请按回答所说的时间等待，然后降低调用频率。",
        _R.DEADLINE_EXCEEDED: "请减少一次请求的内容；重复更改之前，请先查看更改是否已完成。",
        _R.USER_NOT_FOUND: "请列出用户以查看其标识。",
        _R.LOGIN_TAKEN: "请选择另一个登录名。",
        _R.SUBJECT_TAKEN: "一人一个用户：请使用已有此签发者和主体的用户。",
        _R.LAST_SUPERUSER: "请先把此角色授予另一名启用的用户。",
        _R.OWN_ROLES: "请另一名管理用户的人员办理。",
        _R.ABOVE_OWN_ROLES: "请具有全部这些权限的人员办理。",
        _R.USER_NOT_ACTIVE: "请先启用该用户。",
        _R.DEVICE_UNKNOWN: "请用新的加入令牌注册此设备。",
        _R.JOIN_TOKEN_UNKNOWN: "请检查令牌是否输入有误，或向操作员索取新令牌。",
        _R.JOIN_TOKEN_USED: "每个令牌只能为一台设备注册一个密钥；请向操作员索取新令牌。",
        _R.JOIN_TOKEN_EXPIRED: "请向操作员索取新令牌。",
        _R.CSR_INVALID: "请为每张证书发送一个 P-256 密钥的自签名 PKCS#10 请求（DER）。",
        _R.KEY_ALREADY_ENROLLED: "每次注册都需要新密钥；两台设备绝不可共用一个密钥。",
        _R.KEY_PROTECTION_UNPROVEN: (
            "请使用设备自身的 TPM，且其制造商证书在服务的 tpm_roots 之中；"
            "PKCS#11 令牌或软件中的密钥须由人员批准。"
        ),
        _R.TPM_CHALLENGE_EXPIRED: "请用同一令牌重新注册。",
        _R.TPM_SECRET_REFUSED: "请在持有该密钥的 TPM 所在的设备上，用同一令牌重新注册。",
        _R.DEVICE_PENDING: "请操作员核对密钥指纹并批准。",
        _R.DEVICE_REVOKED: "此设备不会再被接纳：请用新令牌和新密钥重新注册。",
        _R.DEVICE_NOT_PENDING: "请查看设备状态：只有等待人员处理的设备才能被批准。",
        _R.FINGERPRINT_MISMATCH: "请在设备自己的屏幕上重新读取指纹；若仍不同，请吊销该设备。",
        _R.RENEWAL_CHALLENGE_REFUSED: "请索取新的质询，并在时限内发送证明。",
        _R.RENEWAL_PROOF_REFUSED: "请用已注册的证明密钥签名；若密钥已丢失，请重新注册。",
        _R.RENEWAL_TOO_OFTEN: "请保留已获得的证书，明天再试。",
        _R.PREDECESSOR_INVALID: "请指定一台已被接纳且尚无后继的设备。",
        _R.PAGE_TOKEN_INVALID: "请原样发送上次回答的 next_page_token，并使用相同的过滤条件。",
        _R.BATCH_TOO_LARGE: "每批最多 256 个信封、2 MiB。",
        _R.TOO_MANY_STREAMS: "请结束一个流，或等到已断开的流被发现后再试。",
        _R.STREAM_IDLE: "有内容要传送时再打开流，然后重试。",
        _R.CURSOR_INVALID: "请原样发送上次回答的 next_cursor；若要从头开始，请留空。",
        _R.MEDIA_UNKNOWN: "请先传送提到该文件的记录。",
        _R.MEDIA_CHUNK_INVALID: "请按 256 KiB 分块发送，最后一块为剩余部分，大小须与签名一致。",
        _R.MEDIA_NO_ROOM: "请保留文件，稍后再试；请给服务更大的磁盘。",
        _R.MEDIA_DIGEST: "请重新发送所有分块；若再次发生，则设备上的副本已损坏。",
        _R.TRANSFER_INVALID: "请让设备重新写出文件，并使用属于本部署的文件。",
        _R.TRANSFER_BUSY: "请等待另一个导入结束。",
        _R.TRANSFER_NO_ROOM: "请给服务的数据目录更多空间，然后重新导入文件。",
        _R.CERTIFICATES_MISSING: "请在流的第一条消息中发送证明密钥的证书。",
        _R.CERTIFICATES_REFUSED: "请发送注册时给予此设备的证明证书。",
        _R.MEDIA_NOT_HERE: "请列出该记录的文件；尚未完整的文件会在以后的同步中送达。",
        _R.ATTESTATION_NOT_FOUND: "请列出证明，查看已传送的内容。",
        _R.DEVICE_NOT_FOUND: "请列出设备，查看其标识。",
        _R.DIRECTIVE_INVALID: "请更正消息指出的内容，然后重新发送指令。",
        _R.ALARM_NOT_FOUND: "请列出警报，查看其标识。",
        _R.POLICY_INVALID: "请更正消息指出的内容，然后重新发布策略。",
        _R.POLICY_NOT_FOUND: "请列出策略，查看其版本。",
        _R.POLICY_VERSION: "请取最新的策略加以修改，并给它下一个版本号。",
        _R.LOG_RANGE: "请在最新检查点的范围之内查询。",
        _R.AUDIT_EMPTY: "请在有事件之后再签署；可先列出事件查看。",
        _R.RECORD_DAMAGED: "数据库曾被外部改动；请从备份恢复。",
        _R.BUSY: "请保留记录，按回答所说的时间等待后再试。",
        _R.VERIFIER_UNAVAILABLE: "请保留记录，按回答所说的时间等待后再试。",
        _R.LOG_INCONSISTENT: "请保留记录；运行此服务的人须先从备份恢复，服务才会继续接收。",
        _R.STORE_UNAVAILABLE: "请稍后再试；没有任何内容被接受。",
        _R.INTERNAL: "请把错误编号交给运行此服务的人；其日志中有说明。",
    }
)

_ES: Mapping[Reason, str] = MappingProxyType(
    {
        _R.REQUEST_INVALID: (
            "Corrija los campos que nombra la respuesta; los archivos .proto dicen sus reglas."
        ),
        _R.REQUEST_ID_REUSED: (
            "Dé a cada solicitud nueva un identificador propio, y repita solo la misma solicitud."
        ),
        _R.FILTER_INVALID: "Corrija el filtro en el lugar que nombra el mensaje; vea docs/api.md.",
        _R.UPDATE_MASK_INVALID: (
            "Nombre campos que se puedan cambiar, o deje la máscara vacía para cambiarlos todos."
        ),
        _R.ETAG_MISMATCH: (
            "Léalo de nuevo, mire lo que otros cambiaron y envíe el cambio con la nueva etag."
        ),
        _R.OPERATOR_TOKEN_MISSING: (
            "Envíe el metadato 'authorization: Bearer TOKEN' con el token del operador."
        ),
        _R.OPERATOR_TOKEN_REFUSED: (
            "Use el token del archivo operator.token en el directorio de datos del servicio."
        ),
        _R.CLIENT_CERTIFICATE_REFUSED: (
            "Conéctese con el certificado TLS que dio la inscripción; inscríbase de nuevo si caducó."
        ),
        _R.SIGN_IN_TOKEN_REFUSED: (
            "Inicie sesión de nuevo; si se rechaza otra vez, compare emisor, audiencia y relojes."
        ),
        _R.SIGN_IN_UNAVAILABLE: ("Inténtelo de nuevo en un momento, o use un certificado de cliente."),
        _R.IDENTITY_AMBIGUOUS: (
            "Envíe una sola prueba de quién es: un certificado de cliente o un token, no ambos."
        ),
        _R.USER_UNKNOWN: ("Pida a quien administra los usuarios que le añada."),
        _R.USER_DISABLED: "Pida a quien administra los usuarios que vuelva a habilitarle.",
        _R.PERMISSION_MISSING: "Pida una función que tenga el permiso que nombra la respuesta.",
        _R.METHOD_CLOSED: ("Es para otros clientes: vea la opción access del método en los archivos .proto."),
        _R.RATE_LIMITED: "Espere lo que dice la respuesta, y después llame con menos frecuencia.",
        _R.DEADLINE_EXCEEDED: "Pida menos de una vez, y mire si el cambio se hizo antes de repetirlo.",
        _R.USER_NOT_FOUND: "Liste los usuarios para ver sus identificadores.",
        _R.LOGIN_TAKEN: "Elija otro nombre de acceso.",
        _R.SUBJECT_TAKEN: "Una persona es un usuario: use el que ya tiene este emisor y sujeto.",
        _R.LAST_SUPERUSER: "Dé primero la función a otro usuario activo.",
        _R.OWN_ROLES: "Pídalo a otra persona que administre los usuarios.",
        _R.ABOVE_OWN_ROLES: "Pídalo a alguien que tenga todos estos permisos.",
        _R.USER_NOT_ACTIVE: "Habilite primero al usuario.",
        _R.DEVICE_UNKNOWN: "Inscriba este dispositivo con un nuevo token de alta.",
        _R.JOIN_TOKEN_UNKNOWN: "Compruebe que el token está bien escrito, o pida uno nuevo al operador.",
        _R.JOIN_TOKEN_USED: (
            "Cada token inscribe una sola clave de un dispositivo; pida uno nuevo al operador."
        ),
        _R.JOIN_TOKEN_EXPIRED: "Pida uno nuevo al operador.",
        _R.CSR_INVALID: (
            "Envíe por cada certificado una solicitud PKCS#10 autofirmada (DER) de una clave P-256."
        ),
        _R.KEY_ALREADY_ENROLLED: (
            "Cada inscripción necesita una clave nueva; dos dispositivos nunca deben compartir una."
        ),
        _R.KEY_PROTECTION_UNPROVEN: (
            "Use el TPM del propio dispositivo, cuyo certificado de fabricante esté en tpm_roots; las claves "
            "en un token PKCS#11 o en software las admite una persona."
        ),
        _R.TPM_CHALLENGE_EXPIRED: "Inscríbase de nuevo con el mismo token.",
        _R.TPM_SECRET_REFUSED: (
            "Inscríbase de nuevo con el mismo token, en el dispositivo cuyo TPM tiene la clave."
        ),
        _R.DEVICE_PENDING: "Pida al operador que compare la huella de la clave y la apruebe.",
        _R.DEVICE_REVOKED: (
            "Nunca volverá a ser admitido: inscríbalo de nuevo, con un token y claves nuevos."
        ),
        _R.DEVICE_NOT_PENDING: "Mire su estado: solo se aprueba el que espera a una persona.",
        _R.FINGERPRINT_MISMATCH: (
            "Lea otra vez la huella en la pantalla del dispositivo; si difiere, revoque el dispositivo."
        ),
        _R.RENEWAL_CHALLENGE_REFUSED: "Pida un nuevo desafío y envíe la prueba dentro de su plazo.",
        _R.RENEWAL_PROOF_REFUSED: (
            "Firme con la clave de atestación inscrita; si se perdió, inscríbase de nuevo."
        ),
        _R.RENEWAL_TOO_OFTEN: "Conserve lo que recibió e inténtelo mañana.",
        _R.PREDECESSOR_INVALID: "Nombre un dispositivo admitido que aún no tenga sucesor.",
        _R.PAGE_TOKEN_INVALID: (
            "Envíe sin cambios el next_page_token de la última respuesta, con los mismos filtros."
        ),
        _R.BATCH_TOO_LARGE: "Envíe como mucho 256 sobres y 2 MiB en un lote.",
        _R.TOO_MANY_STREAMS: "Termine un flujo, o espere a que se note uno roto, e inténtelo de nuevo.",
        _R.STREAM_IDLE: "Abra un flujo cuando haya algo que entregar, e inténtelo de nuevo.",
        _R.CURSOR_INVALID: (
            "Envíe sin cambios el next_cursor de la última respuesta, o ninguno para empezar de nuevo."
        ),
        _R.MEDIA_UNKNOWN: "Entregue primero el registro que nombra el archivo.",
        _R.MEDIA_CHUNK_INVALID: (
            "Envíe trozos de 256 KiB, el último con lo que quede, con el tamaño firmado."
        ),
        _R.MEDIA_NO_ROOM: ("Conserve el archivo e inténtelo más tarde; dé al servicio un disco mayor."),
        _R.MEDIA_DIGEST: (
            "Envíe todos los trozos otra vez; si se repite, la copia del dispositivo está dañada."
        ),
        _R.TRANSFER_INVALID: (
            "Haga que el dispositivo escriba el archivo otra vez, y tome uno de este despliegue."
        ),
        _R.TRANSFER_BUSY: "Espere a que termine la otra importación.",
        _R.TRANSFER_NO_ROOM: (
            "Dé más espacio al directorio de datos del servicio e importe el archivo de nuevo."
        ),
        _R.CERTIFICATES_MISSING: (
            "Envíe los certificados de la clave de atestación en el primer mensaje del flujo."
        ),
        _R.CERTIFICATES_REFUSED: (
            "Envíe los certificados de atestación que la inscripción dio a este dispositivo."
        ),
        _R.MEDIA_NOT_HERE: (
            "Liste los archivos del registro; los que aún no están completos llegan con una sincronización "
            "posterior."
        ),
        _R.ATTESTATION_NOT_FOUND: "Liste las atestaciones para ver lo que se entregó.",
        _R.DEVICE_NOT_FOUND: "Liste los dispositivos para ver sus identificadores.",
        _R.DIRECTIVE_INVALID: "Corrija lo que nombra el mensaje y envíe la orden de nuevo.",
        _R.ALARM_NOT_FOUND: "Liste las alarmas para ver sus identificadores.",
        _R.POLICY_INVALID: "Corrija lo que nombra el mensaje y publique la política de nuevo.",
        _R.POLICY_NOT_FOUND: "Liste las políticas para ver sus versiones.",
        _R.POLICY_VERSION: "Tome la política más reciente, cámbiela y dele la versión siguiente.",
        _R.LOG_RANGE: "Pregunte dentro del tamaño del punto de control más reciente.",
        _R.AUDIT_EMPTY: "Firme una cabecera cuando haya algún evento; liste los eventos para verlos.",
        _R.RECORD_DAMAGED: "La base de datos fue cambiada desde fuera; restáurela de una copia.",
        _R.BUSY: "Conserve los registros, espere lo que dice la respuesta e inténtelo de nuevo.",
        _R.VERIFIER_UNAVAILABLE: (
            "Conserve los registros, espere lo que dice la respuesta e inténtelo de nuevo."
        ),
        _R.LOG_INCONSISTENT: (
            "Conserve los registros; quien opera el servicio debe restaurarlo de una copia "
            "antes de que acepte más."
        ),
        _R.STORE_UNAVAILABLE: "Inténtelo de nuevo en un momento; no se aceptó nada.",
        _R.INTERNAL: "Dé el número de error a quien opera el servicio; su registro lo explica.",
    }
)

_OTHERS = {"zh": _ZH, "es": _ES}


def hint_of(reason: Reason, language: str) -> str:
    """The hint in a language of ``LANGUAGES``; in English where it lacks one."""
    return _OTHERS.get(language, {}).get(reason) or REMEDIES[reason].hint


def choose_language(accept_language: str | None) -> str:
    """The language of ours that is wanted most (RFC 9110, 12.5.4); the first one for none, or nonsense."""
    wanted: dict[str, float] = {}
    if accept_language and len(accept_language) <= MAX_HEADER_CHARS:
        for part in accept_language.lower().replace(" ", "").split(","):
            match = _RANGE.fullmatch(part)
            if match and match[1] in LANGUAGES:
                wanted[match[1]] = max(wanted.get(match[1], 0.0), float(match[2] or 1))
    best = max(wanted, key=lambda language: wanted[language], default=LANGUAGES[0])
    return best if wanted.get(best) else LANGUAGES[0]
