"""What a contract is found by: keyed digests of its words, none of which stands in the database.

    HMAC-SHA256(key, scope 0 word), the first 16 bytes

Words are split where letters and digits end, and folded (NFKC, case). Chinese, Japanese and Korean have no
spaces: there each character and each pair of neighbours is a word. The key is made of a secret that is never
in the database. Who has the database alone can tell that two contracts share a word, not which.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from cloud.contracts.vault import Details
from cloud.privacy.normal import normal_name

MAX_WORDS = 1000
"""Of one contract: a note of 2,000 characters, each with its neighbour, has more; the rest is not found."""

MAX_ASKED = 16
"""Of one search."""

_DIGEST_BYTES = 16
_PURPOSE = b"verifield words of contracts"
_WORDS = re.compile(r"[^\W_]+")
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")

TEXT, PARTY, TAG, FOLDER, FILED = "text", "party", "tag", "folder", "filed"


@dataclass(frozen=True, slots=True)
class Words:
    """``secret``: 32 bytes or more (``Authority.renewal_secret``)."""

    secret: bytes = field(repr=False)

    def of(self, details: Details, names: Iterable[str]) -> set[bytes]:
        """What a contract with these details and parties is found by."""
        people = [word for name in names for word in split(name)]
        plain = " ".join((details.title, details.number, details.amount, details.note))
        filed = " ".join((details.folder, *details.tags))
        kept: dict[bytes, None] = {self._digest(TAG, normal_name(tag)): None for tag in details.tags}
        if details.folder:
            kept[self._digest(FOLDER, normal_name(details.folder))] = None
        kept |= {self._digest(FILED, word): None for word in split(filed)}
        kept |= {self._digest(PARTY, word): None for word in people}
        kept |= {self._digest(TEXT, word): None for word in [*people, *split(plain)]}
        return set(list(kept)[:MAX_WORDS])

    def text(self, asked: str) -> list[bytes]:
        """What a contract that has all of these words has."""
        return self._asked(TEXT, asked)

    def filed(self, asked: str) -> list[bytes]:
        """As :meth:`text`, word by word, of where the sender has filed it: for the sender's side alone."""
        return self._asked(FILED, asked)

    def party(self, asked: str) -> list[bytes]:
        """As :meth:`text`, of the name of a party."""
        return self._asked(PARTY, asked)

    def tag(self, asked: str) -> list[bytes]:
        """Of a whole tag."""
        return [self._digest(TAG, normal_name(asked))] if asked else []

    def folder(self, asked: str) -> list[bytes]:
        """Of a whole folder."""
        return [self._digest(FOLDER, normal_name(asked))] if asked else []

    def _asked(self, scope: str, asked: str) -> list[bytes]:
        found = dict.fromkeys(_asked_words(asked))
        return [self._digest(scope, word) for word in list(found)[:MAX_ASKED]]

    def _digest(self, scope: str, word: str) -> bytes:
        key = hmac.digest(self.secret, _PURPOSE, sha256)
        return hmac.digest(key, f"{scope}\0{word}".encode(), sha256)[:_DIGEST_BYTES]


def split(text: str) -> Iterator[str]:
    """The words that a text is found by."""
    for word in _WORDS.findall(normal_name(text)):
        rest = word
        for run in _NO_SPACES.findall(word):
            rest = rest.replace(run, " ")
            yield from run
            yield from (run[at : at + 2] for at in range(len(run) - 1))
        yield from rest.split()


def _asked_words(text: str) -> Iterator[str]:
    """The words that stand for a text: of characters without spaces the pairs alone, where there are any."""
    for word in _WORDS.findall(normal_name(text)):
        rest = word
        for run in _NO_SPACES.findall(word):
            rest = rest.replace(run, " ")
            yield from (run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else run
        yield from rest.split()
