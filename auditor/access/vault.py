"""Provider keys, encrypted at rest, so that clients hold a virtual key and never the provider's.

AES-256-GCM, a fresh 96-bit nonce for each, project and upstream as associated data: a ciphertext moved elsewhere does
not open. They live in `vault.json` beside the ledger, not in it: what is forgotten is gone. Nothing of them is logged,
recorded or returned.
"""

import base64
import binascii
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auditor.access.key_file import SIZE, read_key_file
from auditor.access.protocol import Header
from auditor.errors import BadInput, BadSetup, NotFound

FILE = "vault.json"
MOST_BYTES = 16384
_NONCE = 12


class ProviderVault:
    """One data folder's. `credentials` answers from memory; `refresh` reads the file again when it has changed."""

    def __init__(self, data: Path, key: bytes) -> None:
        self._place = data / FILE
        self._cipher = AESGCM(key)
        self._seen: tuple[int, int, int] | None = None
        self._open: dict[str, dict[str, tuple[Header, ...]]] = {}
        self._lock = threading.Lock()
        self.refresh()

    def credentials(self, project: str) -> Mapping[str, tuple[Header, ...]]:
        """Upstream -> headers that carry its provider key."""
        return self._open.get(project, {})

    def store(self, project: str, upstream: str, secret: str) -> None:
        """Encrypt and keep a provider key; BadInput for what cannot be one."""
        value = secret.strip()
        if not value or len(value) > MOST_BYTES or not value.isascii() or not value.isprintable():
            raise BadInput("secret", "is empty, too long or has control characters", "send the key alone on one line")
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, value.encode(), _bound(project, upstream))
        with self._changing() as rows:
            rows.setdefault(project, {})[upstream] = base64.b64encode(sealed).decode()

    def forget(self, project: str, upstream: str) -> None:
        """Destroy a provider key; NotFound when there is none."""
        with self._changing() as rows:
            if rows.get(project, {}).pop(upstream, None) is None:
                fix = "list them with: auditor projects list"
                raise NotFound("upstream", f"no key for {upstream} is vaulted in {project}", fix)

    def refresh(self) -> None:
        """Take over what another process changed. BadSetup when the file cannot be opened with this key."""
        try:
            found = self._place.stat()
        except FileNotFoundError:
            self._open = {}
            return
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if mark == self._seen:
            return
        opened = {
            project: {name: header(name, self._unseal(project, name, text)) for name, text in row.items()}
            for project, row in self._read().items()
        }
        self._open, self._seen = opened, mark

    # --- inside

    def _unseal(self, project: str, upstream: str, text: str) -> str:
        try:
            sealed = base64.b64decode(text, validate=True)
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(project, upstream)).decode()
        except (InvalidTag, ValueError) as fault:
            fix = "set the AUDITOR_VAULT_KEY it was made with, or remove the file and vault the keys again"
            raise BadSetup(str(self._place), f"the key for {upstream} cannot be opened", fix) from fault

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            form = json.loads(self._place.read_text())
            return {str(name): {str(k): str(v) for k, v in row.items()} for name, row in form.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as fault:
            raise BadSetup(str(self._place), "cannot be read", "remove it and vault the keys again") from fault

    @contextmanager
    def _changing(self) -> Iterator[dict[str, dict[str, str]]]:
        """Read, change, write durably; one process at a time."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._place.with_name("vault.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            with self._lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                rows = self._read()
                yield rows
                early = self._place.with_name(f".{FILE}.{os.getpid()}")
                handle = os.open(early, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "w") as file:
                    json.dump({name: row for name, row in rows.items() if row}, file)
                    file.flush()
                    os.fsync(file.fileno())
                early.replace(self._place)
        finally:
            os.close(lock)
        self.refresh()


def header(upstream: str, secret: str) -> tuple[Header, ...]:
    """How an upstream is told the key: Anthropic and Azure have headers of their own."""
    name = {"anthropic": b"x-api-key", "azure": b"api-key"}.get(upstream)
    return ((name, secret.encode()),) if name else ((b"authorization", b"Bearer " + secret.encode()),)


def open_provider_vault(data: Path, setting: str = "") -> ProviderVault:
    """`setting` (AUDITOR_VAULT_KEY): 32 bytes in base64, or a file that holds 32; empty: `vault.key` in `data`."""
    return ProviderVault(data, _key(data, setting))


def _key(data: Path, setting: str) -> bytes:
    if not setting:
        return read_key_file(data / "vault.key")[:SIZE]
    try:
        key = base64.b64decode(setting, validate=True)
        if len(key) == SIZE:
            return key
    except (binascii.Error, ValueError):
        pass
    place = Path(setting).expanduser()
    if not place.is_file():
        problem = "is neither 32 bytes in base64 nor a file"
        raise BadSetup("AUDITOR_VAULT_KEY", problem, "see: auditor keys vault --help")
    return read_key_file(place)[:SIZE]


def _bound(project: str, upstream: str) -> bytes:
    return json.dumps([project, upstream]).encode()
