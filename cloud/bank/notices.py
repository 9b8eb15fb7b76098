"""The notice that the service brings, version 0, and what is said at the beginning of a session."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NOTICE: Mapping[str, str] = MappingProxyType(
    {
        "zh": "重要提示\n"
        "1. 本次联网核查将您的身份信息提交给中国人民银行企业账户联网核查系统，用于您所选银行和单位的业务。\n"
        "2. 核查结果仅在您选择的有效期内、对您选择的银行和单位有效；到期后自动失效。\n"
        "3. 您应保证所提供的信息真实、完整；提供虚假信息的，核查结果将被撤销，并由您承担相应责任。\n"
        "4. 您可以随时要求撤销核查记录，也可以要求删除您的个人信息。\n"
        "5. 签名即表示您已阅读并同意以上内容。",
        "en": "Important notice\n"
        "1. This verification submits your identity data to the central bank's online verification of "
        "corporate accounts, for the bank and the company that you choose.\n"
        "2. Its result is good for that bank and that company only, and only for the period that you choose; "
        "then it expires by itself.\n"
        "3. What you state must be true and complete. Where it is not, the result is revoked, and you are "
        "liable for the consequences.\n"
        "4. You may ask at any time that the record be revoked, and that your personal data be erased.\n"
        "5. By signing you say that you have read this and agree to it.",
        "es": "Aviso importante\n"
        "1. Esta verificación envía sus datos de identidad al sistema de verificación en línea de cuentas "
        "de empresas del banco central, para el banco y la empresa que usted elija.\n"
        "2. El resultado vale solo para ese banco y esa empresa, y solo durante el plazo que usted elija; "
        "después caduca por sí mismo.\n"
        "3. Lo que usted declara debe ser verdadero y completo. Si no lo es, el resultado se revoca y usted "
        "responde de las consecuencias.\n"
        "4. Puede pedir en cualquier momento que se revoque el registro y que se borren sus datos "
        "personales.\n"
        "5. Al firmar declara que ha leído este aviso y está de acuerdo.",
    }
)

PROMPT: Mapping[str, str] = MappingProxyType(
    {
        "zh": "请将您的居民身份证放在读卡器上。",
        "en": "Please put your identity card on the reader.",
        "es": "Por favor, coloque su documento de identidad sobre el lector.",
    }
)
