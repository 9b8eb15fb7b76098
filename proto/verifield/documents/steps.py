"""pyHanko's analysis of differences, from each revision to the next one, each looked at once.

pyHanko compares every signature's revision with every later one, which is the square of their number: minutes
for a document with a hundred marks. What holds from each revision to the next holds from the first to the
last; each step is held to what a certified document allows, which is the stricter of its two ways.
"""

from __future__ import annotations

from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader
from pyhanko.sign.diff_analysis import (
    DEFAULT_DIFF_POLICY,
    DiffResult,
    ModificationLevel,
    StandardDiffPolicy,
    SuspiciousModification,
)
from pyhanko.sign.fields import FieldMDPSpec, MDPPerm


class Stepwise(StandardDiffPolicy):
    """The rules of pyHanko's own policy, for one document: it keeps what it found of each step."""

    def __init__(self) -> None:
        rules = DEFAULT_DIFF_POLICY
        super().__init__(global_rules=rules.global_rules, form_rule=rules.form_rule)
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
        return self._steps[revision]
