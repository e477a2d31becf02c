"""What is particular to one store: addresses, files, statements."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import graph
from graph import StoreFailure, StoreUnavailable, UnknownStore, open_graph
from graph.memory import MemoryGraph
from graph.model import Node, Relation
from graph.sqlite_store import SqliteGraph

ROOT = Path(__file__).resolve().parents[2]
CYPHER = Path(graph.__file__).parent / "cypher"

WRITER = """
import sys
from graph import Node, Relation, open_graph
store = open_graph(sys.argv[1])
for position in range(store.position() + 1, 10**6):
    store.apply(position, [Node(id=f"n{position}", kind="Entity", type="Step")],
                [Relation(source=f"n{position}", target=f"n{max(0, position - 1)}", type="used", grade="recorded")])
    print(position, flush=True)
"""


def test_addresses_open_the_store_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_graph("memory:"), MemoryGraph)
    for url, file in ((f"sqlite:///{tmp_path}/deep/a.db", tmp_path / "deep" / "a.db"),
                      ("sqlite:///b.db", tmp_path / "b.db")):
        store = open_graph(url)
        assert isinstance(store, SqliteGraph) and file.is_file()
        store.close()


@pytest.mark.parametrize("url", ["", "graph.db", "sqlite://host/graph.db", "sqlite:///", "mysql://host", "http://host"])
def test_other_addresses_are_refused_with_the_allowed_ones(url: str) -> None:
    with pytest.raises(UnknownStore, match="sqlite:///"):
        open_graph(url)


def test_a_neo4j_that_is_not_there_is_one_clear_sentence() -> None:
    with pytest.raises(StoreUnavailable, match="make neo4j"):
        open_graph("bolt://127.0.0.1:1", "neo4j", "password")
    with pytest.raises(StoreUnavailable, match="AUDITOR_NEO4J_PASSWORD"):
        open_graph("bolt://127.0.0.1:1")


def test_files_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database " * 100)
    with pytest.raises(StoreUnavailable, match="cannot open the graph"):
        SqliteGraph(tmp_path / "text.db")
    SqliteGraph(tmp_path / "newer.db").close()
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable, match="layout 99"):
        SqliteGraph(tmp_path / "newer.db")


def test_a_closed_store_and_a_broken_file_say_so(tmp_path: Path) -> None:
    store = SqliteGraph(tmp_path / "graph.db")
    with sqlite3.connect(tmp_path / "graph.db") as connection:
        connection.execute("DROP TABLE relation")
    connection.close()
    with pytest.raises(StoreFailure, match="no such table"):
        store.digest()
    assert store.position() == -1, "a failed query must give its connection back in order"
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.position()


def test_a_killed_writer_leaves_whole_records_and_goes_on_from_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'graph.db'}"
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            for _ in range(40):
                assert writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
    store = open_graph(url)
    counts = store.counts()
    assert store.position() >= 119
    assert counts.nodes == counts.relations == store.position() + 1
    assert counts.types == {"Step": counts.nodes}
    store.close()


def test_readers_see_whole_records_while_a_writer_is_open(tmp_path: Path) -> None:
    writer, reader = SqliteGraph(tmp_path / "graph.db"), SqliteGraph(tmp_path / "graph.db")
    with writer._transaction(write=True) as connection:
        connection.execute("UPDATE progress SET position = 9")
        begin = time.monotonic()
        assert reader.position() == -1
        assert time.monotonic() - begin < 5, "a reader waited for the writer"
    assert reader.position() == 9
    writer.close()
    reader.close()


@pytest.mark.parametrize("file", sorted(CYPHER.glob("*.cypher")), ids=lambda file: file.stem)
def test_every_statement_says_what_it_is_for_and_is_used(file: Path) -> None:
    text, store = file.read_text(encoding="utf-8"), (CYPHER.parent / "neo4j_store.py").read_text(encoding="utf-8")
    assert re.match(r"// [A-Z].{20,}", text), "the header comment is missing"
    stem = file.stem
    name = stem if f'"{stem}"' in store else stem.split("_")[0] + "_{way}"
    assert f'"{name}"' in store, "no query uses this file"


def test_no_query_text_is_built_outside_the_cypher_files() -> None:
    source = (CYPHER.parent / "neo4j_store.py").read_text(encoding="utf-8")
    assert not re.search(r"\b(MATCH|MERGE|UNWIND|RETURN)\b", source)


def test_a_slice_takes_time_in_proportion_to_its_size(tmp_path: Path) -> None:
    """6,000 nodes take 0.2 s; one look-up for each pair of them would take many times the bound."""
    store = SqliteGraph(tmp_path / "graph.db")
    links = [Relation(source=f"n{i}", target=f"n{i - 1}", type="used", grade="read") for i in range(1, 6_000)]
    store.apply(0, [], links)
    begin = time.monotonic()
    assert len(store.ancestors("n5999").relations) == 5_999
    assert time.monotonic() - begin < 5
    store.close()


def test_nodes_written_in_one_process_are_read_in_another(tmp_path: Path) -> None:
    store = SqliteGraph(tmp_path / "graph.db")
    store.apply(0, [Node(id="a", kind="Agent", type="AIAgent")], [])
    code = f"from graph import open_graph; print(open_graph('sqlite:///{tmp_path / 'graph.db'}').digest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == store.digest()
    store.close()
