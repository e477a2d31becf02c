"""The gate of a server that has keys: who may come in, as which project."""

import ipaddress
import re
from collections.abc import Sequence

from auditor.access.keys import PREFIX, Key, KeyRing
from auditor.access.protocol import DEFAULT_PROJECT, Admission, Header, Right
from auditor.access.vault import ProviderVault
from auditor.errors import Refused, Unauthorised

OWN = b"x-audit-key"
_CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OPEN_NOTE = (
    "no key exists, so everybody on this machine may record, read and audit; callers from elsewhere are refused. "
    "Make a key with: auditor keys create --scope admin"
)


class KeyGate:
    """Implements protocol.Gate from memory alone."""

    def __init__(self, ring: KeyRing, vault: ProviderVault | None = None, options: str = "") -> None:
        """options: what `auditor keys` must be given to make keys of this server, e.g. ` --data X`."""
        self.ring = ring
        self._vault = vault
        self._options = options

    def notes(self, *, to_all: bool = False) -> list[str]:
        """Sentences for people who run the server; `to_all` leaves out where its data lie."""
        return [] if self.ring.any_keys() else [OPEN_NOTE + ("" if to_all else self._options)]

    def admit(self, headers: Sequence[Header], right: Right, *, project: str | None, client: str | None) -> Admission:
        """Let a request in. Unauthorised without a known key, Refused where the key does not allow it."""
        if project is not None and not _PROJECT.fullmatch(project):
            raise Refused("project", "is not a project name", "use letters, digits, dots, hyphens, underscores")
        if not self.ring.any_keys():
            if not is_loopback(client):
                raise Unauthorised("key", "is missing, and this server has none yet", self._make_one(right, client))
            _own_page(headers)
            return self._as(project or DEFAULT_PROJECT, None, every=True, virtual=False, bare=False)
        token, virtual, bare = presented(headers)
        if token is None:
            raise Unauthorised("key", "is missing", self._make_one(right, client))
        key = self.ring.find(token)
        if key is None or key.revoked is not None:
            why = "is not known" if key is None else "was revoked"
            raise Unauthorised("key", why, "use a key that `auditor keys list` shows, or make a new one")
        return self._with(key, right, project, virtual, bare)

    # --- inside

    def _make_one(self, right: Right, client: str | None) -> str:
        """How to get a key that may do this; only this machine's callers are told where the data lie."""
        whose = "" if right == "admin" else " --project NAME"
        options = self._options if is_loopback(client) else ""
        return f"make one with: auditor keys create{whose} --scope {right}{options}, and send it as x-audit-key"

    def _with(self, key: Key, right: Right, project: str | None, virtual: bool, bare: bool) -> Admission:
        if not key.allows(right):
            raise Refused("key", f"has not the scope {right}", f"make one with: auditor keys create --scope {right}")
        if key.project is not None and project is not None and project != key.project:
            raise Refused("project", f"the key belongs to another project than {project}", "use a key of that project")
        name = key.project or project or DEFAULT_PROJECT
        return self._as(name, key.id, every=key.project is None, virtual=virtual, bare=bare)

    def _as(self, name: str, key: str | None, *, every: bool, virtual: bool, bare: bool) -> Admission:
        project = self.ring.project(name)
        credentials = None
        if self._vault is not None:
            vaulted = self._vault.credentials(name)
            # A virtual key must never travel on; where the client has a credential of its own, that one does.
            credentials = vaulted if virtual or (bare and vaulted) else None
        elif virtual:
            credentials = {}
        return Admission(
            project=name, key=key, fail_closed=project.fail_closed, redaction=project.redaction,
            patterns=tuple(sorted(project.patterns.items())), credentials=credentials, every_project=every,
        )  # fmt: skip


def _own_page(headers: Sequence[Header]) -> None:
    """Without keys a page in this machine's browser is on loopback too: Refused unless it is not a strange site's."""
    rows = {name.lower(): value for name, value in headers}
    if rows.get(b"sec-fetch-site") == b"cross-site":
        raise Refused("origin", "another site's page may not ask this", "make a key and send it")
    if not is_own_name(rows.get(b"host", b"").decode("latin-1")):
        # A page whose name was made to point at this machine would otherwise read and write everything.
        raise Refused("host", "is not a name of this machine", "use http://127.0.0.1, or make a key")


def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine: loopback, or a name without dots."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    name = name.strip("[]")
    return "." not in name or is_loopback(name) or name.endswith(".localhost")


def presented(headers: Sequence[Header]) -> tuple[str | None, bool, bool]:
    """(the key, whether it stands where a provider's key would, whether no provider's key was sent)."""
    rows = {name.lower(): value for name, value in headers}
    token, virtual, bare = None, False, True
    for name in _CREDENTIALS:
        value = rows.get(name)
        if value is None:
            continue
        bare = False
        scheme, _, rest = value.partition(b" ")
        text = (rest.strip() if scheme.lower() == b"bearer" and rest else value).decode("latin-1")
        if text.startswith(PREFIX) and token is None:
            token, virtual = text, True
    own = rows.get(OWN)
    if own is not None:
        token = own.decode("latin-1").strip()
    return token, virtual, bare


def is_loopback(client: str | None) -> bool:
    """Whether an address is this machine's own; an unknown one is not."""
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
