"""The texts of all messages. Each room has a file here, with its templates in ``TEMPLATES``.

A file is found by itself: it needs no entry anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from cloud.messages.templates.template import Template, Text

__all__ = ["Template", "Text", "all_templates", "by_name"]

_NOT_ROOMS = frozenset({"template"})


def by_name(templates: Iterable[Template]) -> Mapping[str, Template]:
    """Templates by their names.

    Raises:
        ValueError: two have the same one.
    """
    found: dict[str, Template] = {}
    for template in templates:
        if found.setdefault(template.name, template) is not template:
            raise ValueError(f"two templates have the name {template.name}")
    return MappingProxyType(found)


def all_templates() -> Mapping[str, Template]:
    """Those of all rooms."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name not in _NOT_ROOMS)
    rooms = [import_module(f"{__name__}.{name}") for name in names]
    return by_name(template for room in rooms for template in room.TEMPLATES)
