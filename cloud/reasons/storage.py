"""Of copies of files."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.STORES_AWAY: Remedy(
        _S.UNAVAILABLE,
        "The stores that have this file do not answer; try again, and let the operator look at the stores.",
        "存有此文件的存储均无响应；请重试，并请运维人员检查存储。",
        "Los almacenes que tienen este archivo no responden; reintente y que el operador los revise.",
        retry_s=30.0,
    ),
    Reason.STORE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Name a store of the settings: verifield-cloud storage status lists them.",
        "请指定配置中的存储：verifield-cloud storage status 可列出。",
        "Indique un almacén de la configuración: verifield-cloud storage status los enumera.",
    ),
    Reason.STORE_REFUSED: Remedy(
        _S.FAILED_PRECONDITION,
        "Mend what the fact fault tells (mount it, make room, mend credentials or settings), then try again.",
        "请先排除 fault 所示故障（挂载、腾出空间、更正凭据或配置），然后重试。",
        "Corrija lo que indica fault (móntelo, libere espacio, revise credenciales o ajustes) y reintente.",
    ),
}
