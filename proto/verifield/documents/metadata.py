"""What a file says of itself (XMP): programs write there when they changed it; nothing else may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml import etree
from pyhanko.pdf_utils.reader import HistoricalResolver
from pyhanko.sign.diff_analysis import MetadataUpdateRule, SuspiciousModification
from pyhanko.sign.diff_analysis.rules_api import ReferenceUpdate

_XMP = "{http://ns.adobe.com/xap/1.0/}"
_OF_PROGRAMS = {
    _XMP + "ModifyDate",
    _XMP + "MetadataDate",
    "{http://ns.adobe.com/pdf/1.3/}Producer",
    "{adobe:ns:meta/}xmptk",
    "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about",
}


class MetadataRule(MetadataUpdateRule):
    """pyHanko's, which asks no more than that it is XML, for metadata that say the same as before."""

    def apply(self, old: HistoricalResolver, new: HistoricalResolver) -> Iterable[ReferenceUpdate]:
        updates = list(super().apply(old, new))
        touched = new.explicit_refs_in_revision()  # type: ignore[no-untyped-call]
        if any(one.updated_ref in touched for one in updates) and _said(old) != _said(new):
            raise SuspiciousModification("The metadata say something else.")
        return updates


def _said(revision: HistoricalResolver) -> list[tuple[str, str]]:
    """All words, with what they are about, but for those that programs write."""
    if "/Metadata" not in revision.root:
        return []
    stream = revision.root.raw_get("/Metadata").get_object()
    root = etree.fromstring(stream.data, etree.XMLParser(resolve_entities=False))
    return list(_words(root))


def _words(element: etree._Element) -> Iterator[tuple[str, str]]:
    name = str(element.tag)
    if name in _OF_PROGRAMS:
        return
    if element.text and element.text.strip():
        yield name, element.text.strip()
    for key, value in sorted(element.attrib.items()):
        if key not in _OF_PROGRAMS:
            yield str(key), str(value)
    for child in element:
        yield from _words(child)
        if child.tail and child.tail.strip():
            yield name, child.tail.strip()
