"""The middle dot in names: one character for what keyboards, fonts and registers write in many ways.

Unicode's own normal forms do not join them (NFKC leaves most as they are), so the table stands here.
"""

from __future__ import annotations

import unicodedata

MIDDLE_DOT = "\u00b7"

LOOK_ALIKES = frozenset(
    {
        "\u0387",  # Greek ano teleia
        "\u16eb",  # runic single punctuation
        "\u2022",  # bullet
        "\u2024",  # one dot leader
        "\u2027",  # hyphenation point
        "\u2219",  # bullet operator
        "\u22c5",  # dot operator
        "\u2e31",  # word separator middle dot
        "\u2e33",  # raised dot
        "\u30fb",  # katakana middle dot
        "\uff65",  # half-width katakana middle dot
        "\uff0e",  # full-width full stop
    }
)


def normalise_name(name: str) -> str:
    """Return ``name`` in NFC, with one kind of middle dot and no space around it.

    A plain full stop counts as a middle dot only between two Han characters: in Latin names it ends an
    abbreviation.
    """
    joined = "".join(
        MIDDLE_DOT if char in LOOK_ALIKES else char for char in unicodedata.normalize("NFC", name)
    )
    parts = [part.strip() for part in joined.split(MIDDLE_DOT)]
    return _join_full_stops(MIDDLE_DOT.join(parts))


def _join_full_stops(name: str) -> str:
    chars = list(name)
    for index in range(1, len(chars) - 1):
        if chars[index] == "." and _is_han(chars[index - 1]) and _is_han(chars[index + 1]):
            chars[index] = MIDDLE_DOT
    return "".join(chars)


def _is_han(char: str) -> bool:
    return unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")
