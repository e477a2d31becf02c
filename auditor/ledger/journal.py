"""Who a crash journal belongs to: a lock file per process beside the ledger, released by the system when it dies.

Process numbers would not do: they are reused, and mean nothing between containers that share a folder.
"""

import fcntl
import os
import secrets
import threading
from pathlib import Path


class Owner:
    """This process as the owner of journals; the lock is taken when the first journal is opened."""

    def __init__(self, ledger: Path) -> None:
        self._folder = folder(ledger)
        self._lock = threading.Lock()
        self._name: str | None = None
        self._file: int | None = None

    def name(self) -> str:
        with self._lock:
            if self._name is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                name = secrets.token_hex(8)
                # Locked before it gets its name: nobody may find it unlocked and take us for dead.
                early = self._folder / f".{name}"
                self._file = os.open(early, os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)
                early.rename(self._folder / name)
                self._name = name
            return self._name

    def is_me(self, name: str) -> bool:
        return name == self._name

    def bury(self, name: str) -> None:
        """Forget a dead owner whose journals were taken over."""
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def folder(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + "-owners")


def dead_owners(ledger: Path, me: Owner) -> list[str]:
    """Names whose process is gone: their lock can be had."""
    place = folder(ledger)
    if not place.is_dir():
        return []
    names = (path for path in sorted(place.iterdir()) if not path.name.startswith("."))
    return [path.name for path in names if not me.is_me(path.name) and _is_free(path)]


def _is_free(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
