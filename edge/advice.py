"""What to do about a reason of liveness, in zh, es and en: for whoever stands at the device."""

from __future__ import annotations

from collections.abc import Mapping

from edge.texts import Language

Text = Mapping[Language, str]

_AGAIN: Text = {
    "zh": "请重试，并按提示做动作。",
    "es": "Inténtelo de nuevo y siga las indicaciones.",
    "en": "Try again, and follow the prompts.",
}
_SLOWER: Text = {
    "zh": "请重试；需要更多时间时，请让工作人员延长时限。",
    "es": "Inténtelo de nuevo; si hace falta, pida más tiempo al personal.",
    "en": "Try again; who needs longer may be given more time.",
}
_IN_VIEW: Text = {
    "zh": "请全程让整张脸留在画面里，只留一人。",
    "es": "Mantenga toda la cara en la imagen, y que no haya nadie más.",
    "en": "Keep the whole face in the picture, and nobody else.",
}
_NEARER: Text = {
    "zh": "请靠近一些，在光线好的地方把头转得大一些。",
    "es": "Acérquese, con buena luz, y gire más la cabeza.",
    "en": "Come closer, in good light, and turn the head further.",
}
_DARKER: Text = {
    "zh": "环境太亮或离屏幕太远：请靠近屏幕、避开强光；或使用不需要屏幕的方式。",
    "es": "Hay demasiada luz o la pantalla está lejos: acérquese y evite la luz fuerte, "
    "o use la variante sin pantalla.",
    "en": "Too bright a room, or too far from the screen: come closer, out of strong light, or use the way "
    "without screen.",
}
_STILL: Text = {
    "zh": "屏幕变色时请看着屏幕、保持不动；摘下反光的眼镜。",
    "es": "Mire la pantalla sin moverse mientras cambia de color; quítese las gafas que reflejan.",
    "en": "Look at the screen and hold still while it changes colour; take off glasses that mirror.",
}
_SCREEN: Text = {
    "zh": "此屏幕不能显示颜色：请检查屏幕连接；两名工作人员可以人工核定。",
    "es": "Esta pantalla no puede mostrar colores: compruebe la conexión; dos personas pueden decidir.",
    "en": "This screen cannot show colours: check its connection; two people may decide by hand.",
}
_MOUTH: Text = {
    "zh": "请重试；看到提示时把嘴张大一些，不要用手遮挡。做不到时，请由两名工作人员人工核定。",
    "es": "Inténtelo de nuevo y abra bien la boca cuando se le pida, sin taparla con la mano; "
    "si no puede, que decidan dos personas.",
    "en": "Try again and open the mouth wide when asked, with no hand before it; for whoever cannot, let two "
    "people decide by hand.",
}
_HAND: Text = {
    "zh": "不允许用这种方式：请由两名工作人员人工核定。",
    "es": "Esta variante no está permitida: que decidan dos personas.",
    "en": "This way is not allowed here: let two people decide by hand.",
}
_CAMERA: Text = {
    "zh": "摄像头画面不正常：请重新插好摄像头，关闭虚拟摄像头软件。",
    "es": "Las imágenes de la cámara no son normales: vuelva a enchufarla y cierre las cámaras virtuales.",
    "en": "The camera's frames are not normal: plug it in again, and close virtual cameras.",
}
_DEVICE: Text = {
    "zh": "设备检测部件有故障：请运行 verifield-edge doctor，或重新安装。",
    "es": "Falla una parte del dispositivo: ejecute verifield-edge doctor o vuelva a instalarlo.",
    "en": "A part of the device fails: run verifield-edge doctor, or install it again.",
}
_REAL: Text = {
    "zh": "请本人直接面对摄像头，不要隔着玻璃、屏幕或照片。",
    "es": "La persona debe ponerse ella misma ante la cámara, sin cristal, pantalla ni foto.",
    "en": "The person must stand before the camera: no glass, screen or picture between.",
}
_WAIT: Text = {
    "zh": "失败次数过多：请等待一刻钟，或由两名工作人员人工核定。",
    "es": "Demasiados intentos fallidos: espere un cuarto de hora o que decidan dos personas.",
    "en": "Too many failed attempts: wait a quarter of an hour, or let two people decide by hand.",
}

ADVICE: Mapping[str, Text] = {
    "ATTEMPTS_USED_UP": _WAIT,
    "FACE_SWITCHED": _IN_VIEW,
    "INJECTION_FRAME_TIMES": _CAMERA,
    "INJECTION_NOISE_REPEATS": _CAMERA,
    "INJECTION_NO_NOISE": _CAMERA,
    "LIVENESS_CHALLENGE_INCOMPLETE": _SLOWER,
    "LIVENESS_EXPERT_FAILED": _DEVICE,
    "LIVENESS_FACE_LOST": _IN_VIEW,
    "LIVENESS_FRAMES_FROZEN": _CAMERA,
    "LIVENESS_FRAMES_REPEAT": _CAMERA,
    "LIVENESS_INSUFFICIENT": _AGAIN,
    "LIVENESS_LIGHT_FLAT": _STILL,
    "LIVENESS_LIGHT_MISMATCH": _STILL,
    "LIVENESS_LIGHT_NO_BACKDROP": _DARKER,
    "LIVENESS_LIGHT_STALLED": _SCREEN,
    "LIVENESS_LIGHT_TOO_FEW_FRAMES": _IN_VIEW,
    "LIVENESS_LIGHT_TOO_WEAK": _DARKER,
    "LIVENESS_LIGHT_UNAVAILABLE": _SCREEN,
    "LIVENESS_NEARLY_FLAT": _NEARER,
    "LIVENESS_NO_CHALLENGE": _DEVICE,
    "LIVENESS_NO_FACE": _IN_VIEW,
    "LIVENESS_NO_FRAME_EXPERT": _DEVICE,
    "LIVENESS_NO_KEYFRAMES": _AGAIN,
    "LIVENESS_NO_PASSIVE": _DEVICE,
    "LIVENESS_NO_SCORE": _AGAIN,
    "LIVENESS_NO_SIGN_OF_LIFE": _MOUTH,
    "LIVENESS_OUT_OF_STEP": _AGAIN,
    "LIVENESS_PASSIVE_LOW": _REAL,
    "LIVENESS_SCORE_LOW": _REAL,
    "LIVENESS_TIMEOUT": _SLOWER,
    "LIVENESS_TIME_BACKWARDS": _CAMERA,
    "LIVENESS_TOO_FEW_FRAMES": _CAMERA,
    "LIVENESS_TOO_LITTLE_MOTION": _NEARER,
    "LIVENESS_TURNS_NEEDED": _AGAIN,
    "LIVENESS_UNFINISHED": _SLOWER,
    "LIVENESS_VARIANT_REFUSED": _HAND,
    "LIVENESS_WRONG_TURN": _AGAIN,
    "SPOOF_FACE_SWITCHED": _REAL,
    "SPOOF_PASSIVE": _REAL,
    "SPOOF_PLANAR_MOTION": _REAL,
}
"""By the codes of ``edge.liveness``; the same codes are explained in docs/liveness.md."""


def advice_on(reason: str, language: Language) -> str:
    """What to do about ``reason``; empty where nothing is known."""
    return ADVICE.get(reason, {}).get(language, "")
