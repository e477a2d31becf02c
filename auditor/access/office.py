"""Makes, revokes and lists keys, sets projects up, vaults provider keys: every change is a record."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from auditor.access.keys import KIND, PREFIX, Hasher, Key, KeyRing, Project, new_token, token_id
from auditor.access.vault import ProviderVault
from auditor.errors import BadInput, NotFound
from auditor.ledger.protocol import Entry, Ledger
from auditor.records.access import AccessChange, CredentialSet, KeyCreated, KeyRevoked, ProjectSet, Scope
from auditor.records.wire import write

SCOPES: tuple[Scope, ...] = get_args(Scope)
COMMAND = "command"
SOURCE = "access"
CheckRules = Callable[[tuple[str, ...], tuple[tuple[str, str], ...]], object]
"""Raises BadInput for rules that do not exist or patterns that cannot be used."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATTERN_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
MOST_PATTERNS = 20


class KeyOffice:
    """`by` is the id of the key that asks, or `command`."""

    def __init__(
        self, ledger: Ledger, ring: KeyRing, hasher: Hasher, vault: ProviderVault, check_rules: CheckRules,
        upstreams: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """upstreams: names for which provider keys can be vaulted; None for any."""
        self._upstreams = upstreams
        self._ledger = ledger
        self._hasher = hasher
        self._vault = vault
        self._check = check_rules
        self.ring = ring

    def create(
        self, project: str | None, scopes: Sequence[str], name: str = "", *, by: str = COMMAND
    ) -> tuple[str, Key]:
        """(the key as it is shown once, what is known of it)."""
        if project is None and "admin" not in scopes:
            raise BadInput("project", "is missing", "name a project; only admin keys may be for all")
        if project is not None:
            _check_project(project)
        chosen = tuple(scope for scope in SCOPES if scope in scopes)
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not chosen:
            problem = f"{unknown[0]!r:.40} is none" if unknown else "are missing"
            raise BadInput("scopes", problem, f"use some of {', '.join(SCOPES)}")
        if len(name) > 100:
            raise BadInput("name", "is longer than 100 characters", "shorten it")
        ident, token = new_token()
        change = KeyCreated(id=ident, hash=self._hasher(token), project=project, scopes=chosen, name=name, by=by)
        self._append(change, project)
        return token, self.key(ident)

    def revoke(self, ident: str, *, by: str = COMMAND) -> Key:
        """The key is refused from now on, in other processes within half a second. The whole key stands for its id."""
        key = self.key(token_id(ident.strip()) or ident)
        if key.revoked is None:
            self._append(KeyRevoked(id=key.id, by=by), key.project)
        return self.key(key.id)

    def key(self, ident: str) -> Key:
        self.ring.refresh()
        found = next((key for key in self.ring.listed() if key.id == ident), None)
        if found is not None:
            return found
        said = "that was given" if PREFIX in ident else repr(ident)[:80]  # a key that was cut is still a secret
        raise NotFound("key", f"no key has the id {said}", "list them with: auditor keys list")

    def set_project(
        self, name: str, *, fail_closed: bool | None = None, redaction: Sequence[str] | None = None,
        patterns: Mapping[str, str] | None = None, by: str = COMMAND,
    ) -> Project:  # fmt: skip
        """Change what is given; the rest stays."""
        _check_project(name)
        self.ring.refresh()
        old = self.ring.project(name)
        rules = old.redaction if redaction is None else tuple(dict.fromkeys(redaction))
        custom = dict(old.patterns if patterns is None else patterns)
        wrong = [one for one in custom if not _PATTERN_NAME.fullmatch(one)]
        if wrong or len(custom) > MOST_PATTERNS:
            problem = f"{wrong[0]!r:.40} is no name for a pattern" if wrong else f"are more than {MOST_PATTERNS}"
            raise BadInput("patterns", problem, "use lower-case letters, digits, hyphens and underscores")
        self._check(rules, tuple(sorted(custom.items())))
        closed = old.fail_closed if fail_closed is None else fail_closed
        self._append(ProjectSet(project=name, fail_closed=closed, redaction=rules, patterns=custom, by=by), name)
        return self.ring.project(name)

    def vault(self, project: str, upstream: str, secret: str, *, by: str = COMMAND) -> None:
        """Keep a provider key; the record says only that there is one."""
        _check_project(project)
        self.check_upstream(upstream)
        self._vault.store(project, upstream, secret)
        self._append(CredentialSet(project=project, upstream=upstream, present=True, by=by), project)

    def check_upstream(self, name: str) -> None:
        """BadInput for a name under which no provider key can be vaulted."""
        if self._upstreams is not None and name not in self._upstreams:
            fix = f"use {' or '.join(self._upstreams)}"
            raise BadInput("upstream", f"no route leads to one called {name!r:.80}", fix)
        _check_project(name)

    def forget(self, project: str, upstream: str, *, by: str = COMMAND) -> None:
        """Destroy a vaulted provider key."""
        self._vault.forget(project, upstream)
        self._append(CredentialSet(project=project, upstream=upstream, present=False, by=by), project)

    def _append(self, change: AccessChange, project: str | None) -> None:
        self._ledger.append([Entry(kind=KIND, source=SOURCE, project=project or "default", body=write(change))])
        self.ring.refresh()


def _check_project(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadInput("project", f"{name!r:.80} is not a name", "use letters, digits, dots, hyphens, underscores")
