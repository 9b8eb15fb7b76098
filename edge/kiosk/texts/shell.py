"""What every page has: header, buttons, the notice of another page."""

from __future__ import annotations

from edge.texts import Language

TEXTS: dict[str, dict[Language, str]] = {
    "shell.title": {"zh": "核验", "es": "Verifield", "en": "Verifield"},
    "shell.language": {"zh": "语言", "es": "Idioma", "en": "Language"},
    "shell.language.zh": {"zh": "中文", "es": "中文", "en": "中文"},
    "shell.language.es": {"zh": "Español", "es": "Español", "en": "Español"},
    "shell.language.en": {"zh": "English", "es": "English", "en": "English"},
    "shell.skip": {"zh": "跳到正文", "es": "Saltar al contenido", "en": "Skip to the content"},
    "shell.home": {"zh": "首页", "es": "Inicio", "en": "Home"},
    "shell.sign_out": {"zh": "退出登录", "es": "Cerrar sesión", "en": "Sign out"},
    "shell.device": {"zh": "设备状态", "es": "Estado del dispositivo", "en": "Device status"},
    "shell.ready": {"zh": "设备就绪", "es": "Dispositivo listo", "en": "Device ready"},
    "shell.attention": {"zh": "设备需要检查", "es": "Revise el dispositivo", "en": "Device needs a look"},
    "shell.unknown": {"zh": "正在检查设备", "es": "Comprobando el dispositivo", "en": "Checking the device"},
    "shell.pending": {
        "zh": "待上传 {count} 条",
        "es": "{count} por enviar",
        "en": "{count} to be delivered",
    },
    "shell.back": {"zh": "返回", "es": "Atrás", "en": "Back"},
    "shell.next": {"zh": "下一步", "es": "Siguiente", "en": "Next"},
    "shell.cancel": {"zh": "取消", "es": "Cancelar", "en": "Cancel"},
    "shell.offline": {
        "zh": "与设备的连接已中断，正在重新连接…",
        "es": "Se ha perdido la conexión con el dispositivo. Reconectando…",
        "en": "The connection to the device is lost. Reconnecting…",
    },
    "shell.ends": {
        "zh": "30 秒后将自动退出登录。触摸屏幕或按任意键可继续。",
        "es": "La sesión se cerrará en 30 s. Toque la pantalla o pulse una tecla para seguir.",
        "en": "You will be signed out in 30 s. Touch the screen or press a key to stay.",
    },
    "shell.other_page": {
        "zh": "本页已由另一个页面接管。",
        "es": "Otra página tiene ahora el control.",
        "en": "Another page has the controls now.",
    },
    "shell.use_here": {"zh": "在此页面继续", "es": "Usar esta página", "en": "Use this page"},
    "shell.missing.title": {
        "zh": "没有这个页面",
        "es": "Esta página no existe",
        "en": "There is no such page",
    },
    "shell.missing.text": {
        "zh": "请返回首页，从菜单重新选择。",
        "es": "Vuelva al inicio y elija en el menú.",
        "en": "Go back home and choose from the menu.",
    },
    "shell.fault.title": {"zh": "暂时无法进行", "es": "Ahora no es posible", "en": "Not possible now"},
    "shell.code": {"zh": "代码：{code}", "es": "Código: {code}", "en": "Code: {code}"},
}
