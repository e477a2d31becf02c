"""The real Neo4j server of the contract tests: started once, on a free port, in a folder that goes away."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

RUN = Path(__file__).resolve().parents[2] / "deploy" / "neo4j" / "run"


@dataclass(frozen=True, kw_only=True)
class Neo4jServer:
    """Where the server is and how to log in."""

    uri: str
    user: str
    password: str


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """A running server, shared by the session: a test clears what it needs empty."""
    fetched = subprocess.run([sys.executable, str(RUN), "--fetch-only"], capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        _missing("Neo4j", fetched.stderr.strip())
    folder, password = tmp_path_factory.mktemp("neo4j"), "contract-tests"
    command = [sys.executable, str(RUN), "--port", "0", "--data", str(folder), "--password", password]
    with (folder / "run.log").open("w+", encoding="utf-8") as log, \
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        if not uri.startswith("bolt://"):
            process.wait()
            log.seek(0)
            reason = log.read().strip()
            if "Java is not on the PATH" in reason:
                _missing("Neo4j", reason)
            pytest.fail(f"deploy/neo4j/run did not start a server: {reason}")
        yield Neo4jServer(uri=uri, user="neo4j", password=password)
        process.terminate()
        assert process.wait(60) == 0, "deploy/neo4j/run did not stop cleanly on SIGTERM"


def _missing(what: str, how: str) -> NoReturn:
    """Skip, or fail where real parts are required; as in ``tests/conftest.py``."""
    message = f"{what} is not available: {how}"
    if os.environ.get("AUDITOR_REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)
