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
    Reason.ACCOUNT_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the accounts to see their ids.",
        "请列出账户以查看其标识。",
        "Liste las cuentas para ver sus identificadores.",
    ),
    Reason.ACCOUNT_STATE: Remedy(
        _S.FAILED_PRECONDITION,
        "Look at the account's state and its next step: this comes at another point, or never.",
        "请查看账户的状态和下一步：此操作不适用于当前状态。",
        "Mire el estado de la cuenta y su siguiente paso: esto toca en otro momento, o nunca.",
    ),
    Reason.ACCOUNT_NOT_ACTIVE: Remedy(
        _S.FAILED_PRECONDITION,
        "Finish the registration first: sign in, and go on with the next step.",
        "请先完成注册：登录后按下一步的提示继续。",
        "Termine primero el registro: inicie sesión y siga con el paso siguiente.",
    ),
    Reason.ACCOUNT_LOCKED: Remedy(
        _S.FAILED_PRECONDITION,
        "The account was locked by staff: ask at a window.",
        "账户已被工作人员锁定：请到窗口咨询。",
        "El personal bloqueó la cuenta: pregunte en una ventanilla.",
    ),
    Reason.ACCOUNT_EXISTS: Remedy(
        _S.ALREADY_EXISTS,
        "This person has an account: sign in, or reset the password.",
        "此人已有账户：请直接登录，或重置密码。",
        "Esta persona ya tiene una cuenta: inicie sesión o restablezca la contraseña.",
    ),
    Reason.ACCOUNT_PHONE_TAKEN: Remedy(
        _S.ALREADY_EXISTS,
        "Another account has this telephone number: give another one.",
        "此手机号已用于另一个账户：请换一个手机号。",
        "Otra cuenta tiene este número de teléfono: indique otro.",
    ),
    Reason.LOGIN_NAME_TAKEN: Remedy(
        _S.ALREADY_EXISTS,
        "Choose another login name.",
        "请选择另一个登录名。",
        "Elija otro nombre de acceso.",
    ),
    Reason.LOGIN_NAME_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "A login name has 4 to 32 letters, digits, dots, dashes or underscores, a letter first; "
        "it does not look like an id number or a telephone number.",
        "登录名为4至32个字母、数字、点、横线或下划线，以字母开头，且不能像身份证号码或手机号。",
        "Un nombre de acceso tiene de 4 a 32 letras, cifras, puntos, guiones o guiones bajos, empieza por "
        "una letra y no parece un número de identidad ni de teléfono.",
    ),
    Reason.ORGANISATION_CODE_INVALID: Remedy(
        _S.INVALID_ARGUMENT,
        "Check the 18 characters of the unified social credit code: one of them is wrong.",
        "请核对18位统一社会信用代码：其中有误。",
        "Revise los 18 caracteres del código unificado de crédito social: alguno está mal.",
    ),
    Reason.ELEMENTS_UNKNOWN: Remedy(
        _S.FAILED_PRECONDITION,
        "Give the validity of the identity card first: it is not known of this account.",
        "请先填写身份证的有效期：此账户尚无该信息。",
        "Indique primero la validez del documento de identidad: no se conoce de esta cuenta.",
    ),
    Reason.LOGIN_USER_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "The user does not exist, because what was entered is not accurate. Make sure that the account is "
        "registered; check which of id number, telephone number and login name you entered; at last use the "
        "id number given at registration.",
        "用户不存在，原因是输入的账户信息不准确。请确认账户已注册；核对输入的是身份证号码、手机号还是登录名；"
        "最后请用注册时填写的身份证号码作为登录账号。",
        "El usuario no existe, porque los datos introducidos no son exactos. Compruebe que la cuenta está "
        "registrada; revise si introdujo el número de identidad, el teléfono o el nombre de acceso; por último "
        "use el número de identidad que dio al registrarse.",
    ),
    Reason.TOO_MANY_LOOKUPS: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Too many accounts that do not exist were asked for from here: wait as long as the answer says.",
        "此处查询了过多不存在的账户：请按回答所说的时间等待。",
        "Desde aquí se preguntó por demasiadas cuentas que no existen: espere lo que dice la respuesta.",
        retry_s=60.0,
    ),
    Reason.BAD_PASSWORD: Remedy(
        _S.UNAUTHENTICATED,
        "The password is wrong: check what you typed, capital letters and the keyboard too.",
        "密码错误：请检查您输入的内容，包括大小写和键盘布局。",
        "La contraseña no es correcta: revise lo que escribió, también las mayúsculas y el teclado.",
    ),
    Reason.PASSWORD_LOCKED: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Too many wrong passwords: wait as long as the answer says, or reset the password.",
        "密码错误次数过多：请按回答所说的时间等待，或重置密码。",
        "Demasiadas contraseñas erróneas: espere lo que dice la respuesta, o restablezca la contraseña.",
        retry_s=900.0,
    ),
    Reason.PASSWORD_TOO_SOON: Remedy(
        _S.RESOURCE_EXHAUSTED,
        "Wait as long as the answer says before the next try.",
        "请按回答所说的时间等待后再试。",
        "Espere lo que dice la respuesta antes del siguiente intento.",
        retry_s=1.0,
    ),
    Reason.PASSWORD_WEAK: Remedy(
        _S.INVALID_ARGUMENT,
        "Choose 8 to 128 characters that are not easily guessed, without your name, numbers or login name.",
        "请选择8至128个不易猜到的字符，且不含您的姓名、证件号码、手机号或登录名。",
        "Elija de 8 a 128 caracteres que no se adivinen, sin su nombre, sus números ni su nombre de acceso.",
    ),
    Reason.PASSWORDS_BUSY: Remedy(
        _S.UNAVAILABLE,
        "Too many people sign in at this moment: try again in some seconds.",
        "当前登录人数过多：请几秒钟后再试。",
        "Demasiadas personas inician sesión ahora: inténtelo de nuevo en unos segundos.",
        retry_s=5.0,
    ),
    Reason.SESSION_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "List the sessions to see those that have not ended.",
        "请列出会话以查看尚未结束的会话。",
        "Liste las sesiones para ver las que no han terminado.",
    ),
    Reason.ACTIVATION_REQUIRED: Remedy(
        _S.FAILED_PRECONDITION,
        "You have an account of the earlier system: activate it, with your id number and telephone number.",
        "您在原系统中已有账户：请用身份证号码和手机号激活。",
        "Tiene una cuenta del sistema anterior: actívela con su número de identidad y su teléfono.",
    ),
    Reason.ACTIVATION_REFUSED: Remedy(
        _S.FAILED_PRECONDITION,
        "Begin the activation anew, with the accurate id number.",
        "请用准确的身份证号码重新开始激活。",
        "Empiece de nuevo la activación, con el número de identidad exacto.",
    ),
    Reason.ACTIVATION_PHONE_MISMATCH: Remedy(
        _S.FAILED_PRECONDITION,
        "Enter the telephone number given before; if you no longer have it, ask at a window to have it changed.",
        "请输入以前登记的手机号；若已不再使用，请到窗口申请更改。",
        "Introduzca el teléfono que dio antes; si ya no lo tiene, pida el cambio en una ventanilla.",
    ),
    Reason.ACTIVATION_PHONE_UNVERIFIED: Remedy(
        _S.FAILED_PRECONDITION,
        "Verify the telephone number first, with the code that is sent to it.",
        "请先用收到的验证码验证手机号。",
        "Verifique primero el teléfono con el código que se le envía.",
    ),
    Reason.SECOND_PERSON_NEEDED: Remedy(
        _S.FAILED_PRECONDITION,
        "Another person has to confirm it by the same call.",
        "须由另一名工作人员以相同的调用确认。",
        "Otra persona tiene que confirmarlo con la misma llamada.",
    ),
    Reason.DIAGNOSTICS_NOT_FOUND: Remedy(
        _S.NOT_FOUND,
        "It comes with the device's next sync, or its time is over; check the id.",
        "诊断信息会在设备下次同步时送达，或已过保存期；请核对编号。",
        "Llega con la próxima sincronización del dispositivo, o caducó; revise el identificador.",
    ),
    Reason.DIAGNOSTICS_REUSED: Remedy(
        _S.ALREADY_EXISTS,
        "Give each new diagnosis an id of its own.",
        "每次新的诊断请使用自己的编号。",
        "Dé a cada diagnóstico nuevo un identificador propio.",
    ),
}
