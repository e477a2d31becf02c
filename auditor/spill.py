"""Tables of keys that do not fit in memory: the newest used stay there, the rest lie in an unnamed file.

The process that follows the ledger knows one thing about every call ever recorded: which run it belongs to. That grows
without end, and is rebuilt from the ledger at the next start; so it needs no name, no journal and no format to keep.
"""

import pickle
import sqlite3
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

NEAR = 4096
"""Values of one table that are kept in memory."""
_CACHE_KIB = 4096
"""Pages of the file that SQLite keeps in memory."""

Key = tuple[str, str]


class Spill:
    """One file in `folder`, which has no name as soon as it is open: it is gone with the process, however that ends."""

    def __init__(self, folder: Path, near: int = NEAR) -> None:
        self._near = near
        path = folder / "keys.passing"
        path.unlink(missing_ok=True)
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE_KIB}"):
            self._file.execute(f"PRAGMA {setting}")
        self._file.execute("CREATE TABLE made(number INTEGER PRIMARY KEY)")
        path.unlink()
        self._count = 0

    def table(self) -> "SpilledTable":
        """A new, empty table."""
        self._count += 1
        return SpilledTable(self._file, f"t{self._count}", self._near)


class SpilledTable(MutableMapping[Key, Any]):
    """A mapping from pairs of texts. A value that was got or set may be changed in place until `near` others were
    used; values are of this project's own types. Not safe for several threads at once."""

    def __init__(self, file: sqlite3.Connection, name: str, near: int) -> None:
        self._most = near
        self._values: dict[Key, Any] = {}
        file.execute(f"CREATE TABLE {name}(a TEXT, b TEXT, v BLOB NOT NULL, PRIMARY KEY(a, b)) WITHOUT ROWID")
        self._file = file
        self._get = f"SELECT v FROM {name} WHERE a=? AND b=?"
        self._put = f"INSERT OR REPLACE INTO {name} VALUES(?,?,?)"
        self._delete = f"DELETE FROM {name} WHERE a=? AND b=?"
        self._far = f"SELECT a, b FROM {name}"

    def __getitem__(self, key: Key) -> Any:
        if key in self._values:
            value = self._values.pop(key)
        else:
            row = self._file.execute(self._get, _stored(key)).fetchone()
            if row is None:
                raise KeyError(key)
            value = pickle.loads(row[0])  # written below, in a file nobody else can name
        self[key] = value
        return value

    def __setitem__(self, key: Key, value: Any) -> None:
        self._values.pop(key, None)
        self._values[key] = value  # the newest used is last
        if len(self._values) >= 2 * self._most:
            oldest = [(one, self._values[one]) for one, _ in zip(self._values, range(self._most), strict=False)]
            self._file.execute("BEGIN")
            self._file.executemany(self._put, ((*_stored(one), pickle.dumps(value, 5)) for one, value in oldest))
            self._file.execute("COMMIT")
            for one, _ in oldest:
                del self._values[one]

    def __delitem__(self, key: Key) -> None:
        near = self._values.pop(key, self) is not self
        far = self._file.execute(self._delete, _stored(key)).rowcount > 0
        if not near and not far:
            raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        yield from list(self._values)
        for a, b in self._file.execute(self._far).fetchall():
            key = (_loaded(a), _loaded(b))
            if key not in self._values:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _stored(key: Key) -> tuple[str | bytes, str | bytes]:
    """Names come from outside and may hold half a surrogate pair, which SQLite does not take as text."""
    try:
        key[0].encode(), key[1].encode()
    except UnicodeEncodeError:
        return key[0].encode("utf-8", "surrogatepass"), key[1].encode("utf-8", "surrogatepass")
    return key


def _loaded(stored: str | bytes) -> str:
    return stored.decode("utf-8", "surrogatepass") if isinstance(stored, bytes) else stored
