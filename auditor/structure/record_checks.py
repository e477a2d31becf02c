"""Exact checks of the record against itself. Each decides on its own; what cannot be told is left out.

The checks are listed in checks/catalogue.py; what each sees and does not see stands at the top of its file.
"""

from collections.abc import Sequence

from auditor.records.structure import Branch, Citation, Claim, Document, Finding, SampleSet
from auditor.structure.checks.catalogue import CHECKS
from auditor.structure.checks.heard import Reader
from auditor.structure.checks.protocol import Recorded
from auditor.structure.claims import tool_names
from auditor.structure.layout import Layout
from auditor.structure.links import Places


def check_record(
    layout: Layout, places: Places, claims: Sequence[Claim], *, documents: Sequence[Document] = (),
    citations: Sequence[Citation] = (), branches: Sequence[Branch] = (), samples: Sequence[SampleSet] = (),
) -> list[Finding]:  # fmt: skip
    """Findings in the order of the catalogue, each check's in the order of the run."""
    run = Recorded(
        layout=layout, reader=Reader(layout), places=places, claims=claims, names=tool_names(layout),
        calls={call.id: call for call in layout.calls}, documents=documents, citations=citations, branches=branches,
        samples=samples,
    )  # fmt: skip
    return [finding for check in CHECKS.values() for finding in check(run)]
