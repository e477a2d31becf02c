"""Specs of all methods, torch-free. One entry per method; a method's class refers to its entry here."""

from auditor.evidence.protocol import MethodSpec

SPECS: dict[str, MethodSpec] = {}

SPECS["record_checks"] = MethodSpec(
    name="record_checks", version=1, kind="record", title="What the recorded bytes alone say",
    needs=frozenset({"record"}), unit="1", cost="no model; one comparison for each source and finding",
    reference="exact comparison; arithmetic done again with rationals",
    blind_spots="a value that agrees proves nothing about use: agreement is where the question starts",
    note="decides on its own, exactly, and only against a claim",
)  # fmt: skip
SPECS["fidelity"] = MethodSpec(
    name="fidelity", version=1, kind="record", title="Does the replay reproduce the recorded call",
    needs=frozenset({"weights"}), unit="share", cost="2 F", per_call=True,
    reference="teacher forcing of the recorded output",
    blind_spots="agreement of first choices does not show that sampling settings were the same",
)  # fmt: skip
SPECS["selector"] = MethodSpec(
    name="selector", version=1, kind="intervention", title="Selector run again with other scores",
    needs=frozenset({"record"}), unit="probability", cost="no model; every order of the scores up to 7 branches",
    reference="exact enumeration of the score permutations",
    blind_spots="shows that the choice follows the scores, not that the scores follow the branches",
)  # fmt: skip
SPECS["ablation"] = MethodSpec(
    name="ablation", version=1, kind="intervention", title="Source swapped, hidden or deleted; decision forced",
    needs=frozenset({"weights"}), unit="nats", cost="about 5 R suffix forwards for each claim, R replicates",
    reference="teacher-forced controlled direct effect; arXiv 2409.00729, 2411.15102, 2304.14767",
    blind_spots="what reaches the decision only through later output that repeats the source; masks and deletions are "
    "off-distribution",
)  # fmt: skip
SPECS["gradient_input"] = MethodSpec(
    name="gradient_input", version=1, kind="attribution", title="Gradient x input of the decision's log-probability",
    needs=frozenset({"weights", "gradients"}), unit="nats (first order)", cost="1 F + 1 B for each target",
    reference="arXiv 1312.6034, 1605.01713", blind_spots="saturated decisions have near-zero gradients; local only",
    note="ranks candidates, decides nothing",
)  # fmt: skip
SPECS["integrated_gradients"] = MethodSpec(
    name="integrated_gradients", version=1, kind="attribution", title="Integrated gradients from the mean embedding",
    needs=frozenset({"weights", "gradients"}), unit="nats", cost="16 to 256 (F + B) for each target",
    reference="arXiv 1703.01365", blind_spots="depends on the baseline; the path leaves the data",
    note="ranks candidates, decides nothing",
)  # fmt: skip
SPECS["attention"] = MethodSpec(
    name="attention", version=1, kind="provenance", title="Attention of the decision's tokens",
    needs=frozenset({"weights", "attention"}), unit="share", cost="1 F",
    reference="rollout arXiv 2005.00928, norm-weighted arXiv 2004.10102",
    blind_spots="association only: a token may be read and not used, or used through other tokens",
    note="read, not relied on",
)  # fmt: skip
SPECS["features"] = MethodSpec(
    name="features", version=1, kind="feature", title="Features of the residual stream, and their ablation",
    needs=frozenset({"weights", "gradients", "dictionary"}), unit="nats",
    cost="1 F + 1 B, then 1 F for each ablation (about 50, batched)",
    reference="TopK dictionary arXiv 2406.04093; attribution patching arXiv 2310.10348",
    blind_spots="one layer; features that act only through earlier positions are not ranked; a feature is a direction "
    "that one training found",
    note="names what was represented; decides only after a feature intervention",
)  # fmt: skip
SPECS["influence"] = MethodSpec(
    name="influence", version=1, kind="influence", title="Training documents that support the decision",
    needs=frozenset({"weights", "gradients", "influence_index"}), unit="1", cost="1 F + 1 B, then a scan of the index",
    reference="arXiv 1703.04730, 2308.03296 (K-FAC influence), 2003.11630 (relative influence)",
    blind_spots="first order around the trained weights; only indexed documents; norms and embeddings are left out",
    note="points to training documents; decides only where retraining or a closed-book control confirms it",
)  # fmt: skip
