"""Headers of a relayed call: which go on, which stay behind, and how they are recorded without credentials."""

import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from auditor.access.key_file import read_key_file
from auditor.records.exchange import Joins

Header = tuple[bytes, bytes]

_HOP_BY_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
}  # fmt: skip
_NOT_UPSTREAM = {b"host", b"expect"}
OWN_PREFIX = b"x-audit-"
CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})
"""Headers in which clients send the key of a provider."""
_SESSIONS = (b"x-claude-code-session-id", b"session-id", b"session_id", b"x-session-id")
"""Headers in which clients name a conversation or session of theirs."""
_SECRET_NAME = re.compile(
    r"(^|[-_])(auth|authorization|cookie|secret|password|token|credential|credentials|signature|jwt)($|[-_])"
    r"|(api|audit|auth|access|account|private|master|subscription|functions)[-_]?key"
    r"|(?<!idempotency)(^|[-_])(key|pass|passwd|pwd|session|sessionid|bearer)$"
)
"""Names of headers whose value is a credential; `idempotency-key` and `x-ratelimit-…-tokens` are not."""
_SECRET_QUERY = re.compile(
    r"(^|[-_]|(?-i:(?<=[a-z])(?=[A-Z])))(key|token|secret|passwd|password|pass|pwd|signature|sig|credential|auth|jwt|session)$"
    r"|api-?key",
    re.IGNORECASE,
)
"""The same for parameters of a query, `accessToken` and `session_token` included."""


def end_to_end(headers: Iterable[Header]) -> list[Header]:
    """Headers without those that belong to one connection only (RFC 9110 7.6.1); names in lower case."""
    rows = [(name.lower(), value) for name, value in headers]
    listed = {
        part.strip().lower() for name, value in rows if name == b"connection" for part in value.split(b",")
    }
    return [(name, value) for name, value in rows if name not in _HOP_BY_HOP and name not in listed]


def to_upstream(headers: Iterable[Header]) -> list[Header]:
    """What the upstream is sent: all but hop-by-hop, `host`, `expect` and our own `x-audit-*`."""
    return [
        (name, value) for name, value in end_to_end(headers)
        if name not in _NOT_UPSTREAM and not name.startswith(OWN_PREFIX)
    ]  # fmt: skip


def text(value: bytes) -> str:
    """Header bytes as text; every byte has a character."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


@lru_cache(2048)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


SHORT = 512
"""Bytes of a header value up to which what is made of it is remembered."""


class Vault:
    """Replaces credentials by keyed fingerprints, so that equal ones are seen to be equal and nothing else is told."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # copied for each use: setting it up costs more than hashing
        self._row = lru_cache(4096)(self._plain_row)  # most headers of most calls are alike
        self._credential = lru_cache(1024)(self._bare)

    def fingerprint(self, secret: bytes) -> str:
        """HMAC-SHA256 under this installation's key, 32 hex digits."""
        keyed = self._keyed.copy()
        keyed.update(secret)
        return "hmac-sha256:" + keyed.hexdigest()[:32]

    def _bare(self, credential: bytes) -> str:
        """Of the secret itself, so that it has one fingerprint in `Authorization: Bearer` and in `x-api-key`."""
        scheme, _, rest = credential.partition(b" ")
        return self.fingerprint(rest.strip() if rest and scheme.lower() == b"bearer" else credential)

    def stored(self, headers: Iterable[Header]) -> dict[str, str]:
        """Headers as they are recorded; several of one name are joined by a comma."""
        found: dict[str, str] = {}
        for name, value in headers:
            key, plain = (self._row if len(value) <= SHORT else self._plain_row)(name, value)
            found[key] = f"{found[key]}, {plain}" if key in found else plain
        return found

    def _plain_row(self, name: bytes, value: bytes) -> tuple[str, str]:
        key = text(name).lower()
        return key, self.fingerprint(value) if _is_secret(key) else text(value)

    def path(self, path: str) -> str:
        """Path and query with the values of credential parameters replaced."""
        head, mark, query = path.partition("?")
        if not mark or not any(_SECRET_QUERY.search(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
            return path
        pairs = parse_qsl(query, keep_blank_values=True)
        safe = [(n, self.fingerprint(v.encode()) if _SECRET_QUERY.search(n) else v) for n, v in pairs]
        return f"{head}?{urlencode(safe)}"

    def joins(self, headers: Iterable[Header], key: str | None = None) -> Joins:
        """What ties a call to a run, as received; `key` is the id of the project key that was used."""
        rows = {name.lower(): value for name, value in headers}

        def given(name: bytes) -> str | None:
            return text(rows[name]) if name in rows else None

        secret = rows.get(b"authorization") or rows.get(b"x-api-key") or rows.get(b"api-key")
        retry = rows.get(b"x-stainless-retry-count", b"")
        return Joins(
            run=given(b"x-audit-run"), step=given(b"x-audit-step"), tags=given(b"x-audit-tags"),
            purpose=given(b"x-audit-purpose"), traceparent=given(b"traceparent"),
            credential=None if secret is None else (self._credential if len(secret) <= SHORT else self._bare)(secret),
            retry=int(retry) if retry.isdigit() and len(retry) < 6 else None,
            session=next((text(rows[name]) for name in _SESSIONS if name in rows), None), key=key,
        )  # fmt: skip


def open_vault(folder: Path) -> Vault:
    """The vault of a data folder; its key is made once, readable by its owner only. BadSetup when it cannot be."""
    return Vault(read_key_file(folder / "fingerprint.key"))
