"""Every sentence that a person on a device reads, in zh, es and en. Codes stay the same in all of them."""

from __future__ import annotations

from typing import Literal

from edge.model import Outcome, Prompt

Language = Literal["zh", "es", "en"]

PROMPTS: dict[Prompt, dict[Language, str]] = {
    Prompt.PLACE_CARD: {
        "zh": "请将身份证放在读卡区。",
        "es": "Coloque el documento sobre el lector.",
        "en": "Lay the ID card on the reader.",
    },
    Prompt.LIFT_CARD: {
        "zh": "请拿起身份证。",
        "es": "Levante el documento del lector.",
        "en": "Lift the ID card off the reader.",
    },
    Prompt.LOOK_AT_CAMERA: {
        "zh": "请看镜头。",
        "es": "Mire a la cámara.",
        "en": "Look into the camera.",
    },
    Prompt.COME_CLOSER: {"zh": "请靠近一些。", "es": "Acérquese.", "en": "Come closer."},
    Prompt.MOVE_BACK: {"zh": "请后退一些。", "es": "Aléjese un poco.", "en": "Move back a little."},
    Prompt.ONE_PERSON_ONLY: {
        "zh": "请只留一人在镜头前。",
        "es": "Solo una persona ante la cámara, por favor.",
        "en": "Only one person in view, please.",
    },
    Prompt.MORE_LIGHT: {
        "zh": "请面向光源。",
        "es": "Gírese hacia la luz.",
        "en": "Turn towards the light.",
    },
    Prompt.HOLD_STILL: {"zh": "请保持不动。", "es": "No se mueva.", "en": "Hold still."},
    Prompt.TURN_LEFT: {
        "zh": "← 请把头转向您的左边。",
        "es": "← Gire la cabeza hacia su izquierda.",
        "en": "← Turn your head to your left.",
    },
    Prompt.TURN_RIGHT: {
        "zh": "→ 请把头转向您的右边。",
        "es": "→ Gire la cabeza hacia su derecha.",
        "en": "→ Turn your head to your right.",
    },
    Prompt.LOOK_STRAIGHT: {"zh": "请正视镜头。", "es": "Mire al frente.", "en": "Look straight ahead."},
    Prompt.DONE: {"zh": "完成，谢谢。", "es": "Listo, gracias.", "en": "Done, thank you."},
}

OUTCOMES: dict[Outcome, dict[Language, str]] = {
    Outcome.VERIFIED: {
        "zh": "核验通过：本人在场，且与证件照片一致。",
        "es": "Verificado: persona presente y coincide con la foto del documento.",
        "en": "Verified: a live person whose face matches the card's photo.",
    },
    Outcome.NOT_MATCHED: {
        "zh": "不一致：本人在场，但与证件照片不符。",
        "es": "No coincide: persona presente, pero no es la de la foto del documento.",
        "en": "Not matched: a live person, but not the one on the card's photo.",
    },
    Outcome.SPOOF: {
        "zh": "疑似冒用：镜头前的不是真人。",
        "es": "Suplantación: ante la cámara no hay una persona viva.",
        "en": "Spoof: what the camera sees is not a live person.",
    },
    Outcome.INCONCLUSIVE: {
        "zh": "无法判断，请重试。",
        "es": "No se pudo decidir; inténtelo de nuevo.",
        "en": "No decision was possible; try again.",
    },
    Outcome.ABORTED: {"zh": "已中止。", "es": "Interrumpido.", "en": "Stopped before a decision."},
}
