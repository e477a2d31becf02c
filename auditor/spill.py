"""Tables of keys that do not fit in memory: the newest used stay there, the rest lie in an unnamed file.

The process that follows the ledger knows one thing about every call ever recorded: which run it belongs to. That grows
without end, and is rebuilt from the ledger at the next start; so it needs no name and no format to keep.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator, MutableMapping
from dataclasses import fields
from pathlib import Path
from typing import Any

LOG = logging.getLogger("auditor.spill")
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
        for setting in ("journal_mode=MEMORY", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._file.execute(f"PRAGMA {setting}")
        self._file.execute("CREATE TABLE made(number INTEGER PRIMARY KEY)")
        path.unlink()
        self._count = 0

    def table(self, *kinds: type) -> "SpilledTable":
        """A new, empty table. `kinds`: the dataclasses among its values, beside what JSON has, tuples and sets."""
        self._count += 1
        return SpilledTable(self._file, f"t{self._count}", self._near, kinds)


class SpilledTable(MutableMapping[Key, Any]):
    """A mapping from pairs of texts. A value that was got or set may be changed in place until `near` others were
    used. Where the file cannot be written, all stays in memory until it can. Not safe for several threads at once."""

    def __init__(self, file: sqlite3.Connection, name: str, near: int, kinds: tuple[type, ...]) -> None:
        self._near = near
        self._most = 2 * near
        self._kinds = {kind.__name__: kind for kind in kinds}
        self._values: dict[Key, Any] = {}
        file.execute(f"CREATE TABLE {name}(a BLOB, b BLOB, v TEXT NOT NULL, PRIMARY KEY(a, b)) WITHOUT ROWID")
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
            value = self._read(json.loads(row[0]))
        self[key] = value
        return value

    def __setitem__(self, key: Key, value: Any) -> None:
        self._values.pop(key, None)
        self._values[key] = value  # the newest used is last
        if len(self._values) >= self._most:
            self._let_go()

    def _let_go(self) -> None:
        """Write all but the newest, and forget them."""
        count = len(self._values) - self._near
        oldest = [(key, value) for (key, value), _ in zip(self._values.items(), range(count), strict=False)]
        try:
            self._file.execute("BEGIN")
            self._file.executemany(self._put, ((*_stored(key), json.dumps(_plain(value))) for key, value in oldest))
            self._file.execute("COMMIT")
        except sqlite3.Error as fault:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            if self._most == 2 * self._near:
                LOG.warning("keys stay in memory, their file cannot be written: %s", fault)
            self._most = len(self._values) + self._near
            return
        self._most = 2 * self._near
        for key, _ in oldest:
            del self._values[key]

    def __delitem__(self, key: Key) -> None:
        near = self._values.pop(key, self) is not self
        far = self._file.execute(self._delete, _stored(key)).rowcount > 0
        if not near and not far:
            raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        yield from list(self._values)
        for a, b in self._file.execute(self._far).fetchall():
            key = (a.decode("utf-8", "surrogatepass"), b.decode("utf-8", "surrogatepass"))
            if key not in self._values:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, form: Any) -> Any:
        """Inverse of _plain."""
        if not isinstance(form, list):
            return form
        kind, *items = form
        values = [self._read(item) for item in items]
        if kind == "list":
            return values
        if kind == "set":
            return set(values)
        if kind == "tuple":
            return tuple(values)
        if kind == "dict":
            return dict(zip(values[::2], values[1::2], strict=True))
        return self._kinds[kind](*values)


def _plain(value: Any) -> Any:
    """A value as JSON: what is no text, number, bool or None is a list that begins with what it is."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    kind = type(value).__name__
    if kind == "dict":
        return [kind, *(_plain(one) for pair in value.items() for one in pair)]
    if kind in ("list", "set", "tuple"):
        return [kind, *map(_plain, value)]
    return [kind, *(_plain(getattr(value, one.name)) for one in fields(value))]


def _stored(key: Key) -> tuple[bytes, bytes]:
    """Names come from outside and may hold half a surrogate pair, which SQLite does not take as text."""
    return key[0].encode("utf-8", "surrogatepass"), key[1].encode("utf-8", "surrogatepass")
