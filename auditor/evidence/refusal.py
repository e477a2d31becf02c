"""The one way in which a replay or a method says no. Torch-free."""

from auditor.records.evidence import Reason


class ReplayRefused(Exception):
    """The recorded call (or one span of it) cannot be replayed exactly; `reason` is one of the closed list."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
