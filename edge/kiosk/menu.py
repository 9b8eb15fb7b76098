"""What the home screen offers: modules, each with its functions (R004). What has no page is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """``code``: stable; its texts are ``menu.<code>`` and ``menu.<code>.about``. ``path``: its first page."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class Module:
    """``code``: stable; its text is ``menu.<code>``."""

    code: str
    functions: tuple[Function, ...]


MENU: tuple[Module, ...] = (
    Module(
        "IDENTITY",
        (Function("VERIFY", "/verify"), Function("TASKS", "/tasks"), Function("MANUAL", "/manual")),
    ),
    Module(
        "CONTRACTS",
        (Function("SIGN_CONTRACT", "/contracts"), Function("PREPARE_CONTRACT", "/prepare")),
    ),
    Module("ENTERPRISE", (Function("COOP_VERIFY", "/coop"), Function("CERTIFICATION", "/certifications"))),
    Module("ACCOUNTS", (Function("ACTIVATE", "/accounts"), Function("FEEDBACK", "/feedback"))),
    Module(
        "DEVICE", (Function("QUEUE", "/queue"), Function("HEALTH", "/health"), Function("STICK", "/stick"))
    ),
)
"""In the order of the screen. Every flow adds its functions."""


def offered(has_path: Callable[[str], bool]) -> tuple[Module, ...]:
    """The modules with the functions whose pages are there, less those that have none."""
    found = (Module(one.code, tuple(item for item in one.functions if has_path(item.path))) for one in MENU)
    return tuple(one for one in found if one.functions)
