"""What a door asks before it lets a request in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Header = tuple[bytes, bytes]
Right = Literal["ingest", "read", "audit", "admin"]
"""Scope of a key: send calls and telemetry; look; start audits and annotate; keys, projects, erasure."""
DEFAULT_PROJECT = "default"


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A request may come in, as this project."""

    project: str = DEFAULT_PROJECT
    key: str | None = None
    """Id of the key that opened the door, None where none was asked for."""
    fail_closed: bool = False
    """The call may only go on while it can be recorded."""
    credential: tuple[Header, ...] | None = None
    """Headers that take the place of the client's credential upstream (a vaulted provider key); None: pass its own."""
    redaction: tuple[str, ...] = ()
    """Names of the rules that mask what is recorded."""


class Gate(Protocol):
    """Decides from memory alone: a refused caller reaches no store."""

    def admit(self, headers: Sequence[Header], right: Right, *, project: str | None, client: str | None) -> Admission:
        """Let a request in or raise Refused.

        Args:
            headers: as received, names in lower case.
            project: the one its path names, or None.
            client: the address it came from, or None when unknown.
        """
        ...


class OpenGate:
    """Lets everybody in; for tests and for tools that run beside the server."""

    def admit(self, headers: Sequence[Header], right: Right, *, project: str | None, client: str | None) -> Admission:
        return Admission(project=project or DEFAULT_PROJECT)
