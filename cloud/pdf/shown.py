"""Whether a page looks the same to everybody, on every screen and on paper.

What can be turned off, or is drawn by each reader as it likes, is seen by some and not by others. What cannot
be read does not look the same. Sections are those of ISO 32000-1.
"""

from __future__ import annotations

from collections.abc import Mapping

from pikepdf import Array, Dictionary, Name, Object, Stream

Layers = frozenset[tuple[int, int]]
"""The numbers of the objects that are layers of the document."""

_VIEWED = {"/View", "/Design"}  # what drawing programs write; what is for view is on for all who look
_DESCRIBING = {"/CreatorInfo", "/PageElement"}  # usages that turn nothing off (8.11.4.4)
_POLICIES = {"/AnyOn", "/AllOn"}  # with all layers on, these show, and all others hide (8.11.2.2)
_SUBSTITUTES = {"/Alternates", "/OPI", "/Ref"}  # a picture, or a page of another file, to be printed instead
_AREAS = ("/ViewArea", "/ViewClip", "/PrintArea", "/PrintClip")

_DRAWN = {
    "/FreeText",
    "/Line",
    "/Square",
    "/Circle",
    "/Polygon",
    "/PolyLine",
    "/Highlight",
    "/Underline",
    "/Squiggly",
    "/StrikeOut",
    "/Stamp",
    "/Caret",
    "/Ink",
    "/PrinterMark",
    "/Watermark",
}
"""Annotations whose appearance is all there is to see.

Not ``/Text``: its icon keeps its size and direction however the page is shown (12.5.6.4). Not ``/Redact``,
which is to cover the page later.
"""

_PRINT = 1 << 2
_NOT_TO_CHANGE = 1 << 6 | 1 << 7 | 1 << 9  # ReadOnly, Locked, LockedContents (12.5.3)


def layers_of(properties: object) -> Layers | None:
    """Those of ``/OCProperties``; None unless all are on in every configuration (8.11.4)."""
    if properties is None:
        return frozenset()
    if not isinstance(properties, Dictionary):
        return None
    layers, more = properties.get("/OCGs"), properties.get("/Configs", Array())
    if not isinstance(layers, Array) or not isinstance(more, Array):
        return None
    if not all(_is_layer(layer) for layer in layers):
        return None
    if not all(_leaves_on(configuration) for configuration in (properties.get("/D"), *more)):
        return None
    return frozenset(layer.objgen for layer in layers)


def looks_the_same(entries: Mapping[str, object], layers: Layers, *, stream: bool) -> bool:
    """Whether this dictionary hides nothing, and has nothing printed that is not shown."""
    if stream and _SUBSTITUTES & entries.keys():
        return False
    if "/PS" in {word(entries.get("/Subtype")), word(entries.get("/Subtype2"))}:
        return False  # PostScript, which only a printer understands (8.8.2)
    kind = word(entries.get("/Type"))
    if kind == "/OCG" and not _is_viewed(entries.get("/Intent")):
        return False
    if "/Usage" in entries and not _only_describes(entries["/Usage"]):
        return False
    if kind == "/OCMD" and not _are_of(entries.get("/OCGs"), layers):
        return False
    # PDFium takes a layer of any other type for a membership, and one of no type for a layer.
    if "/VE" in entries and "/Type" in entries:
        return False
    return not {"/OCGs", "/P"} <= entries.keys() or word(entries["/P"]) in _POLICIES


def annotation_looks_the_same(annotation: object) -> bool:
    """Whether an annotation is shown as it is printed, by every reader alike."""
    if annotation is None:  # of one that was deleted
        return True
    if not isinstance(annotation, Dictionary):
        return False
    subtype = word(annotation.get("/Subtype"))
    if subtype == "/Link":
        return _is_bare(annotation)
    if subtype == "/Popup":  # no part of the page until a person opens it (12.5.6.14)
        return "/AP" not in annotation and annotation.get("/Open", False) is False
    appearance = annotation.get("/AP")
    return (
        subtype in _DRAWN
        and _is_printed_as_shown(annotation.get("/F", 0))
        and isinstance(appearance, Dictionary)
        and set(appearance.keys()) == {"/N"}  # the others come up under the pointer
        and isinstance(appearance.get("/N"), Stream)  # one, not a choice of several
        and "/FixedPrint" not in annotation  # another size and place on paper (12.5.6.22)
    )


def prints_what_it_shows(preferences: object) -> bool:
    """Whether no other part of a page is printed than is shown (12.2)."""
    if preferences is None:
        return True
    return isinstance(preferences, Dictionary) and all(
        word(preferences.get(area, Name.CropBox)) == "/CropBox" for area in _AREAS
    )


def word(name: object) -> str:
    """Names are bytes; those that are no UTF-8, as older Chinese programs wrote them, are none of ours."""
    try:
        return str(name) if isinstance(name, Name) else ""
    except UnicodeDecodeError:
        return ""


def _is_layer(layer: object) -> bool:
    return isinstance(layer, Dictionary) and layer.is_indirect and word(layer.get("/Type")) == "/OCG"


def _leaves_on(configuration: object) -> bool:
    """Whether it has no layer off, none that turns itself off, and none that turns off another."""
    return (
        isinstance(configuration, Dictionary)
        and word(configuration.get("/BaseState", Name.ON)) == "/ON"
        and _is_viewed(configuration.get("/Intent"))
        and all(_is_empty(configuration.get(key)) for key in ("/OFF", "/AS", "/RBGroups"))
    )


def _is_empty(found: object) -> bool:
    return found is None or (isinstance(found, Array) and len(found) == 0)


def _is_viewed(intent: object) -> bool:
    if intent is None:
        return True
    words = {word(one) for one in (intent if isinstance(intent, Array) else [intent])}
    return "/View" in words and words <= _VIEWED


def _only_describes(usage: object) -> bool:
    """A name is that of a style, in a list of styles."""
    return isinstance(usage, Name) or (isinstance(usage, Dictionary) and set(usage.keys()) <= _DESCRIBING)


def _are_of(members: object, layers: Layers) -> bool:
    """Whether these are layers of the document: of others, or of none, readers make what they like."""
    found = list(members) if isinstance(members, Array) else [members]
    return bool(found) and all(isinstance(one, Object) and one.objgen in layers for one in found)


def _is_bare(link: Dictionary) -> bool:
    """Whether a link draws nothing, so that its flags decide nothing.

    A frame is seen on some screens, on paper where the flag Print is set, and never where PDFium draws; and a
    few frames make a digit. Where none is told its width is 1 (12.5.2), but most readers draw none.
    """
    style, border = link.get("/BS"), link.get("/Border")
    return (
        "/AP" not in link
        and (style is None or (isinstance(style, Dictionary) and style.get("/W", 1) == 0))
        and (border is None or (isinstance(border, Array) and len(border) > 2 and border[2] == 0))
    )


def _is_printed_as_shown(flags: object) -> bool:
    """Whether it is printed, never hidden, and turns and grows with its page (12.5.3)."""
    return isinstance(flags, int) and flags & ~_NOT_TO_CHANGE == _PRINT
