"""Texts of the decision by hand: two people, one attempt, one ledger."""

from __future__ import annotations

from collections.abc import Mapping

from edge.texts import Language

TEXTS: Mapping[str, Mapping[Language, str]] = {
    "manual.title": {"zh": "人工核定", "es": "Decidir a mano", "en": "Decide by hand"},
    "manual.why": {
        "zh": "设备无法判断时，由两名工作人员共同核定，其中一名须为主管。",
        "es": "Si el dispositivo no pudo decidir, deciden dos personas; una es supervisora.",
        "en": "Where the device could not decide, two people do; one of them is a supervisor.",
    },
    "manual.which": {
        "zh": "核定哪一次核验？",
        "es": "¿Sobre qué intento?",
        "en": "Which attempt is it about?",
    },
    "manual.none": {
        "zh": "没有可以人工核定的核验。只有设备未能判断的最近核验可以；已通过的不需要，疑似冒用的不允许。",
        "es": "No hay intentos que decidir a mano. Solo valen los recientes sin decisión: los "
        "verificados no lo "
        "necesitan y los de suplantación no lo admiten.",
        "en": "There is no attempt to decide about. Only recent ones without a decision are: a verified "
        "one needs "
        "none, and a spoof allows none.",
    },
    "manual.again": {
        "zh": "请让本人再试一次。",
        "es": "Que la persona lo intente otra vez.",
        "en": "Let the person try again.",
    },
    "manual.attempt_at": {"zh": "{time} 的核验", "es": "Intento de las {time}", "en": "Attempt of {time}"},
    "manual.causes": {
        "zh": "设备为什么没能判断",
        "es": "Por qué no pudo decidir el dispositivo",
        "en": "Why the device could not decide",
    },
    "manual.question": {
        "zh": "眼前的人就是证件上的人吗？",
        "es": "¿Es la persona del documento la que está aquí?",
        "en": "Is the person in front of you the one on the document?",
    },
    "manual.look": {
        "zh": "请两人一起：看本人，看证件原件，对照照片，询问住址或生日。",
        "es": "Los dos juntos: miren a la persona y el documento original, comparen la foto, pregunten "
        "la dirección o "
        "la fecha de nacimiento.",
        "en": "Both of you: look at the person and at the card itself, compare the photo, ask for the "
        "address or the "
        "birthday.",
    },
    "manual.accept": {
        "zh": "是同一个人：同意",
        "es": "Sí, es la misma: aceptar",
        "en": "Yes, the same person: accept",
    },
    "manual.refuse": {
        "zh": "不是，或不能确定：不同意",
        "es": "No, o no es seguro: rechazar",
        "en": "No, or not sure: refuse",
    },
    "manual.second": {
        "zh": "哪位主管一起核定？",
        "es": "¿Qué supervisor decide con usted?",
        "en": "Which supervisor decides with you?",
    },
    "manual.second_help": {
        "zh": "主管亲自输入 PIN，即用自己的密钥签名。",
        "es": "La persona supervisora escribe su propio PIN: con él firma con su clave.",
        "en": "The supervisor types their own PIN: it signs with their key.",
    },
    "manual.no_supervisor": {
        "zh": "本设备没有另一位主管可以登录。请管理员添加一位主管。",
        "es": "En este dispositivo no hay otra persona supervisora. Pida que añadan una.",
        "en": "There is no other supervisor on this device. Ask whoever administers it to add one.",
    },
    "manual.supervisor": {"zh": "主管", "es": "Supervisor", "en": "Supervisor"},
    "manual.pin": {
        "zh": "主管的 PIN 码",
        "es": "PIN de la persona supervisora",
        "en": "The supervisor's PIN",
    },
    "manual.sum.accept": {
        "zh": "您已选择：同意。",
        "es": "Ha elegido: aceptar.",
        "en": "Your choice: accept.",
    },
    "manual.sum.refuse": {
        "zh": "您已选择：不同意。",
        "es": "Ha elegido: rechazar.",
        "en": "Your choice: refuse.",
    },
    "manual.sign": {"zh": "两人共同签署", "es": "Firmar los dos", "en": "Sign, both of us"},
    "manual.change": {"zh": "返回修改", "es": "Volver y cambiarlo", "en": "Go back and change it"},
    "manual.done.accept": {
        "zh": "已记录：两人同意。",
        "es": "Registrado: aceptado por dos personas.",
        "en": "Recorded: accepted by two people.",
    },
    "manual.done.refuse": {
        "zh": "已记录：两人不同意。",
        "es": "Registrado: rechazado por dos personas.",
        "en": "Recorded: refused by two people.",
    },
    "manual.ledger": {
        "zh": "人工核定台账",
        "es": "Libro de decisiones a mano",
        "en": "Ledger of decisions by hand",
    },
    "manual.ledger_help": {
        "zh": "每一行都与前一行相连，不能改动，不能删除。",
        "es": "Cada fila está enlazada con la anterior: nada se cambia ni se borra.",
        "en": "Each row is chained to the one before: nothing is changed or taken out.",
    },
    "manual.ledger_none": {
        "zh": "还没有人工核定。",
        "es": "Todavía no hay decisiones a mano.",
        "en": "There are no decisions by hand yet.",
    },
    "manual.ledger_first": {"zh": "核定人", "es": "Decidió", "en": "Decided by"},
    "manual.ledger_second": {"zh": "同意人", "es": "Con", "en": "With"},
    "manual.ledger_verdict": {"zh": "结论", "es": "Decisión", "en": "Decision"},
    "manual.accepted": {"zh": "同意", "es": "Aceptado", "en": "Accepted"},
    "manual.refused": {"zh": "不同意", "es": "Rechazado", "en": "Refused"},
    "manual.former": {"zh": "已离任", "es": "ya no está", "en": "has left"},
    "manual.ledger_role": {
        "zh": "只有主管可以查看台账。请主管登录。",
        "es": "Solo una persona supervisora ve el libro. Que inicie sesión.",
        "en": "Only a supervisor sees the ledger. Let a supervisor sign in.",
    },
    "reason.NOT_SIGNED_IN": {
        "zh": "您已退出登录。",
        "es": "Su sesión ha terminado.",
        "en": "You are no longer signed in.",
    },
    "hint.NOT_SIGNED_IN": {"zh": "请重新登录。", "es": "Inicie sesión otra vez.", "en": "Sign in again."},
    "reason.ROLE_NEEDED": {
        "zh": "您的角色不能做这件事。",
        "es": "Su función no permite hacer esto.",
        "en": "Your role does not allow this.",
    },
    "hint.ROLE_NEEDED": {
        "zh": "请主管登录来做。",
        "es": "Que lo haga una persona supervisora con su sesión.",
        "en": "Let a supervisor sign in and do it.",
    },
    "reason.MANUAL_NOT_ALLOWED": {
        "zh": "这次核验不能人工核定。",
        "es": "Sobre este intento no se puede decidir a mano.",
        "en": "Nobody may decide about this attempt by hand.",
    },
    "hint.MANUAL_NOT_ALLOWED": {
        "zh": "请让本人再试一次。",
        "es": "Que la persona lo intente otra vez.",
        "en": "Let the person try again.",
    },
    "reason.MANUAL_ALREADY": {
        "zh": "这次核验已由两人核定过。",
        "es": "Ya decidieron dos personas sobre este intento.",
        "en": "Two people have decided about this attempt already.",
    },
    "hint.MANUAL_ALREADY": {
        "zh": "如需改变，请让本人再试一次，再核定那一次。",
        "es": "Para cambiarlo, que la persona lo intente otra vez y decidan sobre ese intento.",
        "en": "To change it, let the person try again, and decide about that attempt.",
    },
    "reason.ATTEMPT_UNKNOWN": {
        "zh": "这次核验不在本设备最近的记录中。",
        "es": "Ese intento no está entre los últimos de este dispositivo.",
        "en": "This attempt is not among the newest of this device.",
    },
    "hint.ATTEMPT_UNKNOWN": {
        "zh": "请让本人再试一次。",
        "es": "Que la persona lo intente otra vez.",
        "en": "Let the person try again.",
    },
    "reason.SAME_PERSON": {
        "zh": "须由两个不同的人核定。",
        "es": "Tienen que decidir dos personas distintas.",
        "en": "It takes two different people.",
    },
    "hint.SAME_PERSON": {
        "zh": "请另一位主管输入 PIN。",
        "es": "Que escriba su PIN otra persona supervisora.",
        "en": "Let another supervisor type their PIN.",
    },
    "reason.NO_SUPERVISOR": {
        "zh": "第二个人不是主管。",
        "es": "La segunda persona no es supervisora.",
        "en": "The second person is no supervisor.",
    },
    "hint.NO_SUPERVISOR": {
        "zh": "请选择一位主管。",
        "es": "Elija a una persona supervisora.",
        "en": "Choose a supervisor.",
    },
}
