"""Filters of lists: a small part of AIP-160, from text to a tree.

    filter      = [ any ]
    any         = all { "OR" all }      of several kinds at one level: AND or OR, never both
    all         = one { "AND" one }
    one         = [ "NOT" ] ( restriction | "(" any ")" )
    restriction = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
    field       = name { "." name }
    value       = "text" | 'text' | word

In AIP-160 OR binds closer than AND, elsewhere it is the other way round. So where the two meet without
parentheses, nothing is guessed: that is an error. Left out are functions, ``:`` and words without a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from cloud.errors import FieldViolation, Reason, ServiceError

MAX_CHARS = 1024
"""Of a filter. The contract says the same, in bytes."""

MAX_DEPTH = 8
"""Of parentheses and NOT: deeper than anybody writes, and far from the depth at which Python gives up."""

MAX_RESTRICTIONS = 32
"""Each is a comparison for the database to make for every row."""

OPERATORS = ("<=", ">=", "!=", "=", "<", ">")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\]|\\["\\])*"|'(?:[^'\\]|\\['\\])*')
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<bracket>[()])
      | (?P<word>[A-Za-z0-9_.+:-]+)""",
    re.VERBOSE,
)
_FIELD = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_ESCAPE = re.compile(r"\\(.)")
_KEYWORDS = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, slots=True)
class Restriction:
    """``at``: where the field begins, and ``value_at`` the value, in characters from 0."""

    field: str
    operator: str
    value: str
    at: int
    value_at: int


@dataclass(frozen=True, slots=True)
class Not:
    node: Node


@dataclass(frozen=True, slots=True)
class Junction:
    """All of them (``AND``), or any (``OR``); two at least."""

    word: str
    nodes: tuple[Node, ...]


Node: TypeAlias = "Restriction | Not | Junction"


def parse_filter(text: str) -> Node | None:
    """The tree of a filter; None for one that is empty.

    Raises:
        ServiceError: FILTER_INVALID, with the place in its metadata ("position", from 1).
    """
    if len(text) > MAX_CHARS:
        refuse(MAX_CHARS, f"a filter has at most {MAX_CHARS} characters")
    tokens = list(_tokens(text))
    if not tokens:
        return None
    parser = _Parser(tokens, end=len(text))
    tree = parser.junction(depth=0)
    if parser.kind:
        refuse(parser.at, "AND or OR is missing here" if parser.kind != "bracket" else "this ) opens nowhere")
    return tree


def refuse(at: int, why: str) -> NoReturn:
    """Refuse a filter for what stands at a place in it (in characters from 0).

    Raises:
        ServiceError: always.
    """
    violation = FieldViolation("filter", "filter.syntax", f"at character {at + 1}: {why}")
    raise ServiceError(
        Reason.FILTER_INVALID,
        f"The filter cannot be understood at character {at + 1}: {why}.",
        {"position": str(at + 1)},
        violations=(violation,),
    )


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            refuse(at, "a text has no end" if text[at] in "\"'" else "this character has no meaning here")
        kind = str(match.lastgroup)
        if kind != "space":
            yield _Token(kind, match[0], at)
        at = match.end()


class _Parser:
    """Reads the tokens from left to right."""

    def __init__(self, tokens: list[_Token], *, end: int) -> None:
        self._tokens = tokens
        self._next = 0
        self._end = end
        self._restrictions = 0

    @property
    def kind(self) -> str:
        """Of the next token; empty at the end."""
        return self._tokens[self._next].kind if self._next < len(self._tokens) else ""

    @property
    def text(self) -> str:
        return self._tokens[self._next].text if self.kind else ""

    @property
    def at(self) -> int:
        return self._tokens[self._next].at if self.kind else self._end

    def junction(self, *, depth: int) -> Node:
        """Several joined by one word, or one alone."""
        nodes = [self._one(depth=depth)]
        word = ""
        while self.kind == "word" and self.text in ("AND", "OR"):
            if word and self.text != word:
                refuse(self.at, "put parentheses around what belongs together, where AND and OR meet")
            word = self._take()
            nodes.append(self._one(depth=depth))
        return Junction(word, tuple(nodes)) if word else nodes[0]

    def _one(self, *, depth: int) -> Node:
        if depth > MAX_DEPTH:
            refuse(self.at, f"parentheses and NOT go at most {MAX_DEPTH} deep")
        if self.kind == "word" and self.text == "NOT":
            self._take()
            return Not(self._one(depth=depth + 1))
        if self.text == "(" and self.kind == "bracket":
            self._take()
            node = self.junction(depth=depth + 1)
            if not (self.kind == "bracket" and self.text == ")"):
                refuse(self.at, "a ) is missing here" if not self.kind else "AND, OR or a ) is missing here")
            self._take()
            return node
        return self._restriction()

    def _restriction(self) -> Restriction:
        at, field = self.at, self.text
        if self.kind != "word" or field in _KEYWORDS or not _FIELD.fullmatch(field):
            refuse(at, "the name of a field is missing here")
        self._restrictions += 1
        if self._restrictions > MAX_RESTRICTIONS:
            refuse(at, f"a filter has at most {MAX_RESTRICTIONS} comparisons")
        self._take()
        if self.kind != "operator":
            refuse(self.at, f"one of {' '.join(OPERATORS)} is missing here")
        operator = self._take()
        value_at, kind = self.at, self.kind
        if kind not in ("text", "word") or self.text in _KEYWORDS:
            refuse(value_at, "a value is missing here")
        value = self._take()
        if kind == "text":
            value = _ESCAPE.sub(r"\1", value[1:-1])
        if not value.isprintable():
            refuse(value_at, "a text has characters that cannot be printed")
        return Restriction(field, operator, value, at, value_at)

    def _take(self) -> str:
        text = self.text
        self._next += 1
        return text
