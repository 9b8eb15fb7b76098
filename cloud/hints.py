"""What the receiver of a refusal can do about it, in the language that the receiver asks for."""

from __future__ import annotations

import re

from cloud.reasons import REMEDIES, Reason

LANGUAGES = ("en", "zh", "es")
"""The first one is for those who ask for none of them."""

MAX_HEADER_CHARS = 256
"""Of a list of languages; what browsers send has a quarter of it."""

_RANGE = re.compile(r"([a-z]{1,8}|\*)(?:-[a-z0-9-]{1,32})?(?:;q=([01](?:\.[0-9]{0,3})?))?")


def hint_of(reason: Reason, language: str) -> str:
    """The hint in a language of ``LANGUAGES``."""
    return REMEDIES[reason].hint(language)


def choose_language(accept_language: str | None) -> str:
    """The language of ours that is wanted most (RFC 9110, 12.5.4); the first one for none, or nonsense."""
    wanted: dict[str, float] = {}
    if accept_language and len(accept_language) <= MAX_HEADER_CHARS:
        for part in accept_language.lower().replace(" ", "").split(","):
            match = _RANGE.fullmatch(part)
            if match and match[1] in LANGUAGES:
                wanted[match[1]] = max(wanted.get(match[1], 0.0), float(match[2] or 1))
    best = max(wanted, key=lambda language: wanted[language], default=LANGUAGES[0])
    return best if wanted.get(best) else LANGUAGES[0]
