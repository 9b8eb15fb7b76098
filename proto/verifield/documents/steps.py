"""pyHanko's analysis of differences, from each revision to the next one, each looked at once.

pyHanko compares every signature's revision with every later one, which is the square of their number: minutes
for a document with a hundred marks. What holds from each revision to the next holds from the first to the
last; each step is held to what a certified document allows, which is the stricter of its two ways.
"""

from __future__ import annotations

from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DiffResult,
    DSSCompareRule,
    FormUpdatingRule,
    ModificationLevel,
    ObjectStreamRule,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
    SuspiciousModification,
    XrefStreamRule,
)
from pyhanko.sign.fields import FieldMDPSpec, MDPPerm

from verifield.documents.metadata import MetadataRule
from verifield.documents.revisions import Revision

_LTA = ModificationLevel.LTA_UPDATES
_FILE_RULES = [
    CatalogModificationRule(  # type: ignore[no-untyped-call]
        ignored_keys={"/AcroForm", "/DSS", "/Extensions", "/Metadata", "/Version"}
    ),
    XrefStreamRule().as_qualified(_LTA),
    ObjectStreamRule().as_qualified(_LTA),
    DSSCompareRule().as_qualified(_LTA),
    MetadataRule().as_qualified(_LTA),  # type: ignore[no-untyped-call]
]
_FORM_RULE = FormUpdatingRule(
    field_rules=[
        SigFieldCreationRule(),  # type: ignore[no-untyped-call]
        SigFieldModificationRule(allow_in_place_appearance_stream_changes=False),
    ]
)


class Stepwise(StandardDiffPolicy):
    """pyHanko's own rules without what we never write: titles that change, unused objects, the same
    object again, a look that is drawn anew under its old number. It keeps what it found of each step."""

    def __init__(self) -> None:
        super().__init__(
            global_rules=_FILE_RULES,
            form_rule=_FORM_RULE,
            ignore_orphaned_objects=False,
            ignore_identical_objects=False,
        )
        self._steps: dict[int, DiffResult | SuspiciousModification] = {}

    def review_file(
        self,
        reader: PdfFileReader,
        base_revision: int | HistoricalResolver,
        field_mdp_spec: FieldMDPSpec | None = None,
        doc_mdp: MDPPerm | None = None,
    ) -> DiffResult | SuspiciousModification:
        """The worst of all steps behind a revision; the first one that is not allowed."""
        if field_mdp_spec is not None or not isinstance(base_revision, int):
            return super().review_file(reader, base_revision, field_mdp_spec, doc_mdp)
        worst, fields = ModificationLevel.NONE, set()
        for revision in range(base_revision, reader.xrefs.total_revisions - 1):
            found = self._step(reader, revision)
            if isinstance(found, SuspiciousModification):
                return found
            worst = max(worst, found.modification_level)
            fields |= found.changed_form_fields
        return DiffResult(worst, fields)

    def _step(self, reader: PdfFileReader, revision: int) -> DiffResult | SuspiciousModification:
        if revision not in self._steps:
            old, new = (reader.get_historical_resolver(one) for one in (revision, revision + 1))
            try:
                self._steps[revision] = self.apply(old, new, doc_mdp=MDPPerm.FILL_FORMS)
            except SuspiciousModification as error:
                self._steps[revision] = error
            if isinstance(new, Revision):
                new.forget()  # the next step that is asked for leads to ``old``
        return self._steps[revision]
