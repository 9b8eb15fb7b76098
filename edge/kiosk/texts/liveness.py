"""Why liveness was not clear, or an attack was seen, in plain words; other codes get the general sentence."""

from __future__ import annotations

from edge.texts import Language

_TURN: dict[Language, str] = {
    "zh": "没有按提示转头",
    "es": "La cabeza no giró como se pedía",
    "en": "The head was not turned as asked",
}
_TIME: dict[Language, str] = {
    "zh": "没有在时限内完成动作",
    "es": "No se completó a tiempo lo que se pedía",
    "en": "What was asked was not done in time",
}
_MORE: dict[Language, str] = {
    "zh": "看到的画面太少，无法判断",
    "es": "Se vio demasiado poco para decidir",
    "en": "Too little was seen to decide",
}
_LIGHT: dict[Language, str] = {
    "zh": "看不清屏幕光在脸上的反射",
    "es": "La luz de la pantalla no se vio en la cara",
    "en": "The screen's light was not seen on the face",
}
_FRAMES: dict[Language, str] = {
    "zh": "摄像头画面重复或停顿",
    "es": "Las imágenes de la cámara se repiten o se detienen",
    "en": "The camera's pictures repeat or stand still",
}

TEXTS: dict[str, dict[Language, str]] = {
    "reason.LIVENESS_INSUFFICIENT": {
        "zh": "无法确认是真人",
        "es": "No se pudo comprobar que la persona está presente",
        "en": "It was not clear that a live person is there",
    },
    "reason.LIVENESS_NO_FACE": {
        "zh": "没有看到人脸",
        "es": "No se vio ninguna cara",
        "en": "No face was seen",
    },
    "reason.LIVENESS_FACE_LOST": {
        "zh": "人脸中途离开画面",
        "es": "La cara salió de la imagen",
        "en": "The face left the picture on the way",
    },
    "reason.LIVENESS_WRONG_TURN": _TURN,
    "reason.LIVENESS_CHALLENGE_INCOMPLETE": _TIME,
    "reason.LIVENESS_UNFINISHED": _TIME,
    "reason.LIVENESS_TIMEOUT": _TIME,
    "reason.LIVENESS_TOO_FEW_FRAMES": _MORE,
    "reason.LIVENESS_TOO_LITTLE_MOTION": _MORE,
    "reason.LIVENESS_NEARLY_FLAT": _MORE,
    "reason.LIVENESS_NO_KEYFRAMES": _MORE,
    "reason.LIVENESS_LIGHT_UNAVAILABLE": _LIGHT,
    "reason.LIVENESS_LIGHT_STALLED": _LIGHT,
    "reason.LIVENESS_LIGHT_NO_BACKDROP": _LIGHT,
    "reason.LIVENESS_LIGHT_TOO_WEAK": _LIGHT,
    "reason.LIVENESS_VARIANT_REFUSED": {
        "zh": "规则不允许这种方式，请由两名工作人员核定",
        "es": "Las reglas no admiten esta manera: pueden decidir dos personas",
        "en": "The rules do not allow this way: two people may decide",
    },
    "reason.LIVENESS_LIGHT_TOO_FEW_FRAMES": _LIGHT,
    "reason.LIVENESS_NO_SIGN_OF_LIFE": {
        "zh": "没有看到嘴张开",
        "es": "No se vio que se abriera la boca",
        "en": "The mouth was not seen to open",
    },
    "reason.LIVENESS_TURNS_NEEDED": _MORE,
    "reason.LIVENESS_FRAMES_FROZEN": _FRAMES,
    "reason.LIVENESS_FRAMES_REPEAT": _FRAMES,
    "reason.SPOOF_PLANAR_MOTION": {
        "zh": "镜头前的像是一张平面图片",
        "es": "Lo que ve la cámara es plano, como una imagen",
        "en": "What the camera sees is flat, like a picture",
    },
    "reason.SPOOF_FACE_SWITCHED": {
        "zh": "中途换了人",
        "es": "La cara cambió por otra",
        "en": "The face was exchanged on the way",
    },
}
