"""A reader whose earlier revisions are as cheap to look at as its last one.

pyHanko parses an object anew for each revision before its last change, and lists every way to every object of
a revision, which takes the square of the number of signatures. Here each state of an object is parsed once,
and ways are listed to those objects alone that the next revision touches: the only ones that are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

Key = tuple[int, int]
"""Number and generation of an object."""


class Reader(PdfFileReader):
    """pyHanko's, with :class:`Revision` for what was."""

    def __init__(self, stream: object, *, strict: bool) -> None:
        super().__init__(stream, strict=strict)
        self._revisions: dict[int, Revision] = {}
        self._states: dict[tuple[Key, int], generic.PdfObject] = {}
        self._named: dict[tuple[Key, int], tuple[Key, ...]] = {}
        self._changes: dict[Key, list[int]] = defaultdict(list)
        for revision in range(self.xrefs.total_revisions):
            for key in self.touched(revision):
                self._changes[key].append(revision)

    def get_historical_resolver(self, revision: int) -> Revision:
        if revision not in self._revisions:
            self._revisions[revision] = Revision(self, revision)
        return self._revisions[revision]

    def touched(self, revision: int) -> set[Key]:
        """The objects that a revision writes or frees."""
        return {_key(one) for one in self.xrefs.explicit_refs_in_revision(revision)}

    def state(self, ref: generic.Reference, revision: int) -> generic.PdfObject:
        """An object as it was, parsed once for each of its changes."""
        place = self._place(ref, revision)
        if place not in self._states:
            changes = self._changes.get(_key(ref), [])
            is_last = bool(changes) and changes[-1] == place[1]
            self._states[place] = self.get_object(  # type: ignore[no-untyped-call]
                ref, None if is_last else place[1], transparent_decrypt=False
            )
        return self._states[place]

    def named_by(self, ref: generic.Reference, revision: int) -> tuple[Key, ...]:
        """The objects that one refers to, as it was."""
        place = self._place(ref, revision)
        if place not in self._named:
            self._named[place] = tuple(_references(self.state(ref, revision)))
        return self._named[place]

    def _place(self, ref: generic.Reference, revision: int) -> tuple[Key, int]:
        """Where it was changed last by then."""
        changes = self._changes.get(_key(ref), [])
        index = bisect_right(changes, revision)
        return _key(ref), changes[index - 1] if index else revision


class Revision(HistoricalResolver):
    """pyHanko's, which knows the ways to what the next revision touches, and to what that refers to."""

    reader: Reader

    def __init__(self, reader: Reader, revision: int) -> None:
        super().__init__(reader, revision)
        self._leading: set[Key] | None = None

    def get_object(self, ref: generic.Reference, as_metadata_stream: bool = False) -> generic.PdfObject:
        if as_metadata_stream:
            return super().get_object(ref, as_metadata_stream=True)  # type: ignore[no-any-return]
        if ref not in self.cache:
            self.cache[ref] = self._subsume_object(self.reader.state(ref, self.revision))  # type: ignore[no-untyped-call]
        return self.cache[ref]

    def __call__(self, ref: generic.Reference) -> generic.PdfObject:
        """While ways are listed, what leads nowhere is left out."""
        if self._leading is not None and _key(ref) not in self._leading:
            return generic.NullObject()
        return self.get_object(ref)

    def forget(self) -> None:
        """Let go of all that was read; it is read again where it is asked for."""
        self.cache.clear()
        self._indirect_object_access_cache = None

    def _load_reverse_xref_cache(self) -> None:
        if self._indirect_object_access_cache is not None:
            return
        self._leading = self._ways()
        try:
            super()._load_reverse_xref_cache()  # type: ignore[no-untyped-call]
        finally:
            self._leading = None

    def _ways(self) -> set[Key]:
        """All objects from which one can come to one that the next revision touches."""
        parents: dict[Key, set[Key]] = defaultdict(set)
        known: set[Key] = set()
        waiting = list(_references(self.trailer_view))
        while waiting:
            key = waiting.pop()
            if key in known:
                continue
            known.add(key)
            for other in self._named_by(key):
                parents[other].add(key)
                waiting.append(other)
        found: set[Key] = set()
        keys = list(self._targets(known))
        while keys:
            for parent in parents[keys.pop()] - found:
                found.add(parent)
                keys.append(parent)
        return found

    def _targets(self, known: set[Key]) -> Iterator[Key]:
        """What the next revision touches, and what that refers to now; of ``known``, which can be reached."""
        for key in self.reader.touched(self.revision + 1) & known:
            yield key
            yield from self._named_by(key)

    def _named_by(self, key: Key) -> tuple[Key, ...]:
        return self.reader.named_by(generic.Reference(*key, self), self.revision)


def _references(value: generic.PdfObject) -> Iterator[Key]:
    """All objects that one names. Those to parents are no ways for pyHanko either."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, generic.IndirectObject):
            yield _key(one.reference)
        elif isinstance(one, generic.DictionaryObject):
            waiting += [dict.__getitem__(one, key) for key in one if key != "/Parent"]
        elif isinstance(one, generic.ArrayObject):
            waiting += list.__iter__(one)


def _key(ref: generic.Reference) -> Key:
    return ref.idnum, ref.generation
