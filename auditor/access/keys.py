"""Keys and projects in memory, as the ledger's `access` records make them."""

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from auditor.access.key_file import read_key_file
from auditor.access.protocol import DEFAULT_REDACTION, Right
from auditor.errors import AuditorError
from auditor.ledger.protocol import Ledger
from auditor.records import wire
from auditor.records.access import CHANGES, CredentialSet, KeyCreated, KeyRevoked, ProjectSet

LOG = logging.getLogger("auditor.access")
KIND = "access"
PREFIX = "aud_"
REFRESH_SECONDS = 0.5
"""Longest time until a change made by another process counts here."""


@dataclass(frozen=True, kw_only=True)
class Key:
    id: str
    project: str | None
    """None: every project."""
    scopes: frozenset[Right]
    name: str
    made: str
    """When, RFC 3339."""
    revoked: str | None = None

    def allows(self, right: Right) -> bool:
        """`admin` includes everything."""
        return right in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, kw_only=True)
class Project:
    name: str
    fail_closed: bool = False
    redaction: tuple[str, ...] = DEFAULT_REDACTION
    patterns: Mapping[str, str] = field(default_factory=dict)
    vaulted: tuple[str, ...] = ()
    """Upstreams for which a provider key is vaulted."""


class Hasher:
    """Keyed hashes of keys: whoever reads the ledger alone cannot even test a guess."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __call__(self, token: str) -> str:
        return hmac.new(self._secret, token.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def open_hasher(data: Path) -> Hasher:
    """The hasher of a data folder; its secret is made once, readable by its owner only."""
    return Hasher(read_key_file(data / "access.key"))


def new_token() -> tuple[str, str]:
    """(id, `aud_<id>_<secret>`) with 256 random bits."""
    ident = secrets.token_hex(6)
    return ident, f"{PREFIX}{ident}_{secrets.token_urlsafe(32)}"


def token_id(token: str) -> str | None:
    """The id inside a key, or None for what is no key of ours."""
    if not token.startswith(PREFIX):
        return None
    ident, mark, secret = token.removeprefix(PREFIX).partition("_")
    return ident if ident and mark and secret else None


class KeyRing:
    """Answers from memory. `refresh` reads what is new; `start` does so in a thread of its own. Thread-safe."""

    def __init__(self, ledger: Ledger, hasher: Hasher, also: Callable[[], None] = lambda: None) -> None:
        """also: called after each look at the ledger."""
        self._ledger = ledger
        self._hasher = hasher
        self._also = also
        self._position = -1
        self._hashes: dict[str, str] = {}
        self._keys: dict[str, Key] = {}
        self._projects: dict[str, Project] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        self.refresh()

    def find(self, token: str) -> Key | None:
        """The key, also a revoked one; None for what nobody made. Takes as long for a wrong secret as for the right."""
        ident = token_id(token)
        known = self._hashes.get(ident or "", "")
        right = hmac.compare_digest(self._hasher(token), known or "0" * 64)
        return self._keys[ident] if right and ident is not None and known else None

    def any_keys(self) -> bool:
        """Whether a key was ever made: revoking the last one does not open the doors again."""
        return bool(self._keys)

    def listed(self) -> list[Key]:
        """All keys, also revoked ones, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.made, key.id))

    def project(self, name: str) -> Project:
        """A project's settings; one that nobody has set up has the defaults."""
        return self._projects.get(name) or Project(name=name)

    def projects(self) -> list[Project]:
        """Those that have settings or keys, by name."""
        names = {*self._projects, *(key.project for key in self._keys.values() if key.project is not None)}
        return [self.project(name) for name in sorted(names)]

    def refresh(self) -> None:
        """Read the records behind the last position."""
        with self._lock:
            head = self._ledger.head().position
            if head <= self._position:
                return
            for stored in self._ledger.records(self._position, kinds=[KIND]):
                try:
                    self._take(stored.record.body, stored.record.recorded_at)
                except (AuditorError, KeyError, TypeError) as fault:
                    LOG.error("access record %d cannot be read: %s", stored.position, fault)
            self._position = head

    def start(self) -> None:
        """Follow the ledger until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, name="keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    # --- inside

    def _follow(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            try:
                self.refresh()
                self._also()
                self.trouble = None
            except Exception as fault:  # noqa: BLE001 - what is known stays in force; the reason is shown
                if self.trouble is None:
                    LOG.error("keys cannot be refreshed: %s", fault)
                self.trouble = str(fault)

    def _take(self, body: Mapping[str, object], at: str) -> None:
        change = wire.read(CHANGES[str(body["change"])], body)
        if isinstance(change, KeyCreated):
            if change.id in self._keys:
                return  # the first one counts
            # The key before its hash: whoever finds the hash finds the key.
            self._keys[change.id] = Key(
                id=change.id, project=change.project, scopes=frozenset(change.scopes), name=change.name, made=at,
            )  # fmt: skip
            self._hashes[change.id] = change.hash
        elif isinstance(change, KeyRevoked):
            key = self._keys.get(change.id)
            if key is not None and key.revoked is None:
                self._keys[change.id] = Key(
                    id=key.id, project=key.project, scopes=key.scopes, name=key.name, made=key.made, revoked=at
                )
        elif isinstance(change, ProjectSet):
            self._projects[change.project] = Project(
                name=change.project, fail_closed=change.fail_closed, redaction=change.redaction,
                patterns=dict(change.patterns), vaulted=self.project(change.project).vaulted,
            )  # fmt: skip
        elif isinstance(change, CredentialSet):
            self._vaulted(change)

    def _vaulted(self, change: CredentialSet) -> None:
        old = self.project(change.project)
        names = set(old.vaulted) | {change.upstream} if change.present else set(old.vaulted) - {change.upstream}
        self._projects[change.project] = Project(
            name=old.name, fail_closed=old.fail_closed, redaction=old.redaction, patterns=old.patterns,
            vaulted=tuple(sorted(names)),
        )  # fmt: skip
