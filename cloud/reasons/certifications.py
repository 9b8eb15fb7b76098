"""Of files of persons, and of certifications: their material, results and badges."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.names import Reason
from cloud.reasons.remedy import Remedies, Remedy

_S = code_pb2

REMEDIES: Remedies = {
    Reason.OBJECT_TOO_LARGE: Remedy(
        _S.INVALID_ARGUMENT,
        "Send a smaller file, for example a scan with fewer dots per inch; the fact limit tells the bytes.",
        "请发送较小的文件，例如降低扫描分辨率；limit 给出字节上限。",
        "Envíe un archivo menor, por ejemplo escaneado con menos puntos por pulgada; limit indica los bytes.",
    ),
    Reason.OBJECT_TYPE_REFUSED: Remedy(
        _S.INVALID_ARGUMENT,
        "Send a JPEG or PNG picture, or a plain PDF document without encryption, scripts or attachments.",
        "请发送 JPEG 或 PNG 图片，或未加密、不含脚本和附件的普通 PDF 文档。",
        "Envíe una imagen JPEG o PNG, o un documento PDF simple sin cifrado, scripts ni adjuntos.",
    ),
    Reason.OBJECT_NO_ROOM: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Try again later; give the service a larger disk.",
        "请稍后再试；请给服务更大的磁盘。",
        "Inténtelo más tarde; dé al servicio un disco mayor.",
        retry_s=600.0,
    ),
    Reason.OBJECTS_BUSY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Wait until the files that are on their way have arrived, then send this one again.",
        "请等待正在上传的文件完成后，再发送此文件。",
        "Espere a que lleguen los archivos en camino y envíe este de nuevo.",
        retry_s=2.0,
    ),
    Reason.OBJECT_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the files again: this one was removed, or its person was erased.",
        "请重新列出文件：此文件已被移除，或其所属人员的数据已被删除。",
        "Vuelva a listar los archivos: este se retiró, o los datos de su persona se borraron.",
    ),
    Reason.OBJECT_DAMAGED: Remedy(
        _S.DATA_LOSS,
        "Restore the folder of objects from a backup.",
        "请从备份恢复对象文件夹。",
        "Restaure la carpeta de objetos desde una copia de seguridad.",
    ),
    Reason.CERTIFICATION_TYPE_UNKNOWN: Remedy(
        _S.NOT_FOUND,
        "List the types that can be applied for.",
        "请列出可申请的认证类型。",
        "Liste los tipos que se pueden solicitar.",
    ),
    Reason.CERTIFICATION_RULES_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Names of fields and kinds must be unique, patterns must be readable, and limits must fit each other.",
        "字段名和材料种类必须唯一，模式必须可读，各项限制必须相互一致。",
        "Los nombres de campos y clases deben ser únicos, los patrones legibles y los límites coherentes.",
    ),
    Reason.CERTIFICATION_RULES_VERSION: Remedy(
        _S.FAILED_PRECONDITION,
        "Publish the version that follows the newest one; the fact newest tells it.",
        "请发布最新版本之后的下一个版本；newest 给出最新版本号。",
        "Publique la versión que sigue a la más nueva; newest la indica.",
    ),
    Reason.APPLICATION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the applications of the account.",
        "请列出该账户的申请。",
        "Liste las solicitudes de la cuenta.",
    ),
    Reason.APPLICATION_OTHERS: Remedy(
        _S.PERMISSION_DENIED,
        "Sign in to the account that made the application.",
        "请登录提交该申请的账户。",
        "Inicie sesión en la cuenta que hizo la solicitud.",
    ),
    Reason.CASE_NOT_YOURS: Remedy(
        _S.PERMISSION_DENIED,
        "Take the review task of this application first; what was decided is for the archive's readers.",
        "请先领取该申请的审核任务；已作出的决定由档案查阅人员查看。",
        "Tome antes la tarea de revisión de esta solicitud; lo decidido es para quien lee el archivo.",
    ),
    Reason.APPLICATION_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the application's status: it tells what can be done next.",
        "请查看申请状态：其中说明下一步可做什么。",
        "Mire el estado de la solicitud: dice qué se puede hacer a continuación.",
    ),
    Reason.APPLICATION_OPEN: Remedy(
        _S.ALREADY_EXISTS,
        "Go on with the application of this type that is open, or withdraw it.",
        "请继续该类型的未完结申请，或将其撤回。",
        "Continúe con la solicitud de este tipo que está abierta, o retírela.",
    ),
    Reason.APPLICANT_CHANGED: Remedy(
        _S.FAILED_PRECONDITION,
        "Ask for a supplement: once the applicant is verified anew and hands in again, it can be passed.",
        "请要求补充材料：申请人重新核验身份并再次提交后方可通过。",
        "Pida un complemento: podrá aprobarse cuando el solicitante se verifique y entregue de nuevo.",
    ),
    Reason.FORM_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Correct the fields that are named; the type tells what each one takes.",
        "请更正所列字段；认证类型说明了每个字段的要求。",
        "Corrija los campos indicados; el tipo dice qué admite cada uno.",
    ),
    Reason.DECLARATION_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Read the declaration and accept it, then submit again.",
        "请阅读并接受声明，然后重新提交。",
        "Lea la declaración y acéptela, luego envíe de nuevo.",
    ),
    Reason.DECLARATION_OUTDATED: Remedy(
        _S.FAILED_PRECONDITION,
        "The declaration has a new version: read that one and accept it.",
        "声明已有新版本：请阅读并接受新版本。",
        "La declaración tiene una versión nueva: léala y acéptela.",
    ),
    Reason.MATERIAL_MISSING: Remedy(
        _S.FAILED_PRECONDITION,
        "Upload the material that the fact kinds lists, then submit again.",
        "请上传 kinds 中列出的材料，然后重新提交。",
        "Suba el material que indica kinds y envíe de nuevo.",
    ),
    Reason.MATERIAL_UNKNOWN: Remedy(
        _S.INVALID_ARGUMENT,
        "The type does not take this kind of material; it lists those that it takes.",
        "该认证类型不接受此种材料；类型中列出了可接受的材料。",
        "El tipo no admite esta clase de material; enumera las que admite.",
    ),
    Reason.MATERIAL_TOO_MANY: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Remove material of this application first; whoever has removed thirty files waits an hour.",
        "请先移除此申请中的部分材料；已移除三十个文件者须等待一小时。",
        "Retire antes material de esta solicitud; quien haya retirado treinta archivos espera una hora.",
    ),
    Reason.FREQUENT_APPLICANT: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Apply again after the time that the fact until tells, or ask the office.",
        "请在 until 所示时间之后再申请，或咨询办理机构。",
        "Solicite de nuevo después del momento que indica until, o pregunte en la oficina.",
    ),
    Reason.CERTIFICATION_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "Apply for a certification, and wait until it is passed.",
        "请申请认证，并等待通过。",
        "Solicite una certificación y espere a que se apruebe.",
    ),
    Reason.RESULT_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Search the archive for what was decided.",
        "请在档案中查找已作出的决定。",
        "Busque en el archivo lo que se decidió.",
    ),
    Reason.BADGE_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "Only a passed certification has a badge.",
        "只有已通过的认证才有徽章。",
        "Solo una certificación aprobada tiene distintivo.",
    ),
    Reason.BADGE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "This is not a badge of this service, or it was changed: do not trust it.",
        "这不是本服务的徽章，或已被更改：请勿信任。",
        "No es un distintivo de este servicio, o fue cambiado: no se fíe de él.",
    ),
}
