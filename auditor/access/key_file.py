"""Files that hold a secret of this installation: made once, readable by their owner only."""

import os
import secrets
from pathlib import Path

from auditor.errors import BadSetup

SIZE = 32


def read_key_file(place: Path) -> bytes:
    """At least 32 bytes; the file is made when it is missing. BadSetup when it cannot be, or others may read it."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _make(place)
        if place.stat().st_mode & 0o077:
            raise BadSetup(str(place), "can be read by others", f"run: chmod 600 {place}")
        key = place.read_bytes()
    except OSError as fault:
        problem = fault.strerror or "cannot be used"
        raise BadSetup(str(place), problem, "name a writable folder in AUDITOR_DATA") from fault
    if len(key) < SIZE:
        raise BadSetup(str(place), "is not a key of 32 bytes", "remove the file; a new key is made")
    return key


def _make(place: Path) -> None:
    early = place.parent / f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}"
    handle = os.open(early, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(SIZE))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(early, place)  # never replaces a key that another process made meanwhile
    except FileExistsError:
        pass
    finally:
        early.unlink()
