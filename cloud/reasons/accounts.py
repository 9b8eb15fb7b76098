"""Of accounts: registration, sign-in, activation."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.PERSON_ERASED: Remedy(
        _S.FAILED_PRECONDITION,
        "Nothing is kept of this person any more; register anew.",
        "此人的数据已被删除；请重新注册。",
        "Ya no se conserva nada de esta persona; regístrese de nuevo.",
    ),
    Reason.SESSION_REFUSED: Remedy(
        _S.UNAUTHENTICATED,
        "Sign in to the account again.",
        "请重新登录账户。",
        "Inicie sesión de nuevo en la cuenta.",
    ),
    Reason.SIGN_IN_TOO_OLD: Remedy(
        _S.FAILED_PRECONDITION,
        "Sign in again, and make the change within ten minutes.",
        "请重新登录，并在十分钟内进行更改。",
        "Inicie sesión de nuevo y haga el cambio en menos de diez minutos.",
    ),
}
