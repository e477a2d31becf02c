"""Bodies of `access` records: keys and projects as they were made and changed. No secret is in any of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scope = Literal["ingest", "read", "audit", "admin"]


@dataclass(frozen=True, kw_only=True)
class KeyCreated:
    id: str
    hash: str
    """HMAC-SHA256 of the whole key under this installation's key, hex."""
    project: str | None
    """None: every project."""
    scopes: tuple[Scope, ...]
    name: str
    by: str
    """Id of the key that made it, or `command`."""
    change: Literal["key_created"] = "key_created"


@dataclass(frozen=True, kw_only=True)
class KeyRevoked:
    id: str
    by: str
    change: Literal["key_revoked"] = "key_revoked"


@dataclass(frozen=True, kw_only=True)
class ProjectSet:
    """All settings of a project, from here on."""

    project: str
    fail_closed: bool
    redaction: tuple[str, ...]
    """Names of built-in rules that are on."""
    patterns: Mapping[str, str]
    """Custom rules: name -> pattern."""
    by: str
    change: Literal["project_set"] = "project_set"


@dataclass(frozen=True, kw_only=True)
class CredentialSet:
    """A provider key was vaulted or forgotten; what it is stays outside the ledger, so that it can be destroyed."""

    project: str
    upstream: str
    present: bool
    by: str
    change: Literal["credential_set"] = "credential_set"


AccessChange = KeyCreated | KeyRevoked | ProjectSet | CredentialSet
CHANGES: Mapping[str, type[KeyCreated] | type[KeyRevoked] | type[ProjectSet] | type[CredentialSet]] = {
    "key_created": KeyCreated, "key_revoked": KeyRevoked, "project_set": ProjectSet, "credential_set": CredentialSet,
}  # fmt: skip
