"""One-time codes."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

from cloud.messages.templates.template import Template, Text
from verifield.v1 import otp_service_pb2 as pb

CODE_LIVES = timedelta(minutes=5)

_WORDS = {
    "register": ("注册", "registration", "el registro"),
    "activate": ("账户激活", "activation", "la activación"),
    "login": ("登录", "signing in", "el inicio de sesión"),
    "reset_password": ("重置密码", "a new password", "una contraseña nueva"),
    "sign_contract": ("签署合同", "signing a contract", "la firma de un contrato"),
    "rebind_phone": ("更换手机号码", "a new telephone number", "un número de teléfono nuevo"),
}


def _template(purpose: str, zh: str, en: str, es: str) -> Template:
    return Template(
        f"code_{purpose}",
        zh=Text(
            "验证码", f"验证码 {{code}}，用于{zh}，5 分钟内有效。请勿告诉任何人，工作人员也不会向您索取。"
        ),
        en=Text(
            "Your code",
            f"{{code}} is your code for {en}, good for 5 minutes. Tell it to nobody; staff never ask for it.",
        ),
        es=Text(
            "Su código",
            f"{{code}} es su código para {es}. Vale 5 minutos. No lo diga a nadie; el personal no lo pide.",
        ),
        lives=CODE_LIVES,
    )


TEMPLATES = tuple(_template(purpose, *words) for purpose, words in _WORDS.items())

OF_PURPOSE = MappingProxyType(
    {
        int(pb.CodePurpose.Value(f"CODE_PURPOSE_{template.name.removeprefix('code_').upper()}")): template
        for template in TEMPLATES
    }
)
"""By number of CodePurpose."""
