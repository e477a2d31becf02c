"""One door to the stores: an address in, a store out."""

from pathlib import Path

from graph.errors import StoreUnavailable, UnknownStore
from graph.store import GraphStore


def open_graph(url: str, user: str | None = None, password: str | None = None) -> GraphStore:
    """Open the graph store at `url`.

    Args:
        url: ``sqlite:///path`` (``sqlite:////absolute/path``), ``memory:``, or ``bolt://host:port``
            (also ``neo4j://`` and the encrypted ``bolt+s://``, ``neo4j+s://``).
        user: Neo4j user; ``neo4j`` unless given.
        password: Neo4j password.

    Raises:
        UnknownStore: the address has another scheme, or names no file.
        StoreUnavailable: the database cannot be opened, reached or logged in to.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory":
        from graph.memory import MemoryGraph
        return MemoryGraph()
    if scheme == "sqlite":
        # An address is a file only with three slashes; two would silently read the first folder as a host.
        if not rest.startswith("///") or len(rest) <= 3:
            raise UnknownStore(f"{url!r} names no file; write sqlite:///relative/path or sqlite:////absolute/path")
        from graph.sqlite_store import SqliteGraph
        return SqliteGraph(Path(rest[3:]))
    if scheme in {"bolt", "neo4j", "bolt+s", "neo4j+s"}:
        if password is None:
            raise StoreUnavailable(f"{url} needs a password; set AUDITOR_NEO4J_PASSWORD")
        # Imported here so that a program on SQLite never loads the Neo4j driver.
        from graph.neo4j_store import Neo4jGraph
        return Neo4jGraph(url, user or "neo4j", password)
    raise UnknownStore(f"{url!r} is no graph store; write sqlite:///path, bolt://host:port or memory:")
