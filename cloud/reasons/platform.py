"""Of the platform: calls, and those who operate it."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.REQUEST_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Correct the fields that the answer names; the .proto files tell their rules.",
        "请更正回答中指出的字段；各字段的规则写在 .proto 文件中。",
        "Corrija los campos que nombra la respuesta; los archivos .proto dicen sus reglas.",
    ),
    Reason.REQUEST_ID_REUSED: Remedy(
        _S.ALREADY_EXISTS,
        "Give each new request an id of its own, and repeat only the same request.",
        "每个新请求请使用自己的标识；只有完全相同的请求才可重复使用同一标识。",
        "Dé a cada solicitud nueva un identificador propio, y repita solo la misma solicitud.",
    ),
    Reason.FILTER_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Correct the filter at the place that the message names; see docs/api.md.",
        "请更正消息所指位置的过滤条件；写法见 docs/api.md。",
        "Corrija el filtro en el lugar que nombra el mensaje; vea docs/api.md.",
    ),
    Reason.UPDATE_MASK_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Name fields that can be changed, or leave the mask out for all of them.",
        "请只列出可以更改的字段；若要更改全部，请不要填写掩码。",
        "Nombre campos que se puedan cambiar, o deje la máscara vacía para cambiarlos todos.",
    ),
    Reason.ETAG_MISMATCH: Remedy(
        _S.ABORTED,
        "Read it again, look at what others changed, and send the change with the new etag.",
        "请重新读取，查看他人所作的更改，再用新的 etag 提交更改。",
        "Léalo de nuevo, mire lo que otros cambiaron y envíe el cambio con la nueva etag.",
    ),
    Reason.OPERATOR_TOKEN_MISSING: Remedy(
        _S.UNAUTHENTICATED,
        "Send the metadata 'authorization: Bearer TOKEN' with the operator token.",
        "请在元数据中发送带有操作员令牌的“authorization: Bearer TOKEN”。",
        "Envíe el metadato 'authorization: Bearer TOKEN' con el token del operador.",
    ),
    Reason.OPERATOR_TOKEN_REFUSED: Remedy(
        _S.UNAUTHENTICATED,
        "Use the token in the file operator.token of the service's data directory.",
        "请使用服务数据目录中 operator.token 文件里的令牌。",
        "Use el token del archivo operator.token en el directorio de datos del servicio.",
    ),
    Reason.CLIENT_CERTIFICATE_REFUSED: Remedy(
        _S.UNAUTHENTICATED,
        "Connect with the TLS certificate that enrolment gave; enrol again if it expired.",
        "请用注册时获得的 TLS 证书连接；若已过期，请重新注册。",
        "Conéctese con el certificado TLS que dio la inscripción; inscríbase de nuevo si caducó.",
    ),
    Reason.SIGN_IN_TOKEN_REFUSED: Remedy(
        _S.UNAUTHENTICATED,
        "Sign in again; if it is refused again, compare issuer, audience and clocks.",
        "请重新登录；若再次被拒，请核对签发者、受众与时钟。",
        "Inicie sesión de nuevo; si se rechaza otra vez, compare emisor, audiencia y relojes.",
    ),
    Reason.SIGN_IN_UNAVAILABLE: Remedy(
        _S.UNAVAILABLE,
        "Try again in a moment, or come with a client certificate.",
        "请稍后再试，或改用客户端证书。",
        "Inténtelo de nuevo en un momento, o use un certificado de cliente.",
        retry_s=15.0,
    ),
    Reason.IDENTITY_AMBIGUOUS: Remedy(
        _S.UNAUTHENTICATED,
        "Send one proof of who you are: a client certificate or a token, and not both.",
        "请只出示一种身份证明：客户端证书或令牌，不要同时使用。",
        "Envíe una sola prueba de quién es: un certificado de cliente o un token, no ambos.",
    ),
    Reason.USER_UNKNOWN: Remedy(
        _S.PERMISSION_DENIED,
        "Ask whoever manages the users to add you.",
        "请管理用户的人员将您添加为用户。",
        "Pida a quien administra los usuarios que le añada.",
    ),
    Reason.USER_DISABLED: Remedy(
        _S.PERMISSION_DENIED,
        "Ask whoever manages the users to let you in again.",
        "请管理用户的人员重新启用您的账户。",
        "Pida a quien administra los usuarios que vuelva a habilitarle.",
    ),
    Reason.PERMISSION_MISSING: Remedy(
        _S.PERMISSION_DENIED,
        "Ask for a role that has the permission which the answer names.",
        "请申请具有回答中所列权限的角色。",
        "Pida una función que tenga el permiso que nombra la respuesta.",
    ),
    Reason.METHOD_CLOSED: Remedy(
        _S.PERMISSION_DENIED,
        "See the method's access option in the .proto files: it is for other callers.",
        "此方法供其他调用者使用；见 .proto 文件中的 access 选项。",
        "Es para otros clientes: vea la opción access del método en los archivos .proto.",
    ),
    Reason.RATE_LIMITED: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Wait as long as the answer says, and then call less often.",
        "请按回答所说的时间等待，然后降低调用频率。",
        "Espere lo que dice la respuesta, y después llame con menos frecuencia.",
    ),
    Reason.DEADLINE_EXCEEDED: Remedy(
        _S.DEADLINE_EXCEEDED,
        "Ask for less at once, and look whether a change was made before you repeat it.",
        "请减少一次请求的内容；重复更改之前，请先查看更改是否已完成。",
        "Pida menos de una vez, y mire si el cambio se hizo antes de repetirlo.",
    ),
    Reason.USER_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the users to see their ids.",
        "请列出用户以查看其标识。",
        "Liste los usuarios para ver sus identificadores.",
    ),
    Reason.LOGIN_TAKEN: Remedy(
        _S.ALREADY_EXISTS,
        "Choose another login.",
        "请选择另一个登录名。",
        "Elija otro nombre de acceso.",
    ),
    Reason.SUBJECT_TAKEN: Remedy(
        _S.ALREADY_EXISTS,
        "One person is one user: use the one that has this issuer and subject.",
        "一人一个用户：请使用已有此签发者和主体的用户。",
        "Una persona es un usuario: use el que ya tiene este emisor y sujeto.",
    ),
    Reason.LAST_SUPERUSER: Remedy(
        _S.FAILED_PRECONDITION,
        "Give the role to another active user first.",
        "请先把此角色授予另一名启用的用户。",
        "Dé primero la función a otro usuario activo.",
    ),
    Reason.OWN_ROLES: Remedy(
        _S.PERMISSION_DENIED,
        "Ask another person who manages the users.",
        "请另一名管理用户的人员办理。",
        "Pídalo a otra persona que administre los usuarios.",
    ),
    Reason.ABOVE_OWN_ROLES: Remedy(
        _S.PERMISSION_DENIED,
        "Ask somebody who has all of these permissions.",
        "请具有全部这些权限的人员办理。",
        "Pídalo a alguien que tenga todos estos permisos.",
    ),
    Reason.USER_NOT_ACTIVE: Remedy(
        _S.FAILED_PRECONDITION,
        "Enable the user first.",
        "请先启用该用户。",
        "Habilite primero al usuario.",
    ),
}
