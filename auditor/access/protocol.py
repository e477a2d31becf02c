"""What a door asks before it lets a request in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Header = tuple[bytes, bytes]
Right = Literal["ingest", "read", "audit", "admin"]
"""Scope of a key: send calls and telemetry; look; start audits and annotate; keys, projects, erasure."""
DEFAULT_PROJECT = "default"
DEFAULT_REDACTION = ("keys", "tokens")
"""Rules of a project that chose none."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A request may come in, as this project."""

    project: str = DEFAULT_PROJECT
    key: str | None = None
    """Id of the key that opened the door, None where none was asked for."""
    fail_closed: bool = False
    """The call may only go on while it can be recorded."""
    credentials: Mapping[str, tuple[Header, ...]] | None = field(default=None, repr=False)
    """Upstream -> headers that take the place of the client's credential there (a vaulted provider key); the client's
    own never goes to an upstream without an entry. None: pass its own."""
    redaction: tuple[str, ...] = DEFAULT_REDACTION
    """Names of the rules that mask what is recorded."""
    patterns: tuple[tuple[str, str], ...] = ()
    """Custom rules of the project: name and pattern."""
    every_project: bool = False
    """What is read may belong to any project; `project` is where new things go."""


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
        return Admission(project=project or DEFAULT_PROJECT, every_project=True)
