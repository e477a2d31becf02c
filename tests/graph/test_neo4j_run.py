"""``deploy/neo4j/run`` tells in one sentence what is missing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "deploy" / "neo4j" / "run"


def run(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "AUDITOR_NEO4J_PASSWORD"}
    return subprocess.run([sys.executable, str(RUN), *arguments], env={**environment, "PATH": str(path)}, timeout=60,
                          capture_output=True, text=True, check=False)


def fetched(folder: Path) -> Path:
    """A cache that looks filled."""
    version = RUN.with_name("pom.xml").read_text().partition("<neo4j.version>")[2].partition("<")[0]
    (folder / "cache" / f"lib-{version}").mkdir(parents=True)
    return folder / "cache"


def test_without_maven_and_without_java(tmp_path: Path) -> None:
    done = run("--cache", str(tmp_path / "empty"), "--fetch-only", path=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("deploy/neo4j/run: Maven (mvn) is not on the PATH; install it")
    done = run("--cache", str(fetched(tmp_path)), "--data", str(tmp_path / "data"), "--port", "0", path=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("deploy/neo4j/run: Java is not on the PATH; install 17 or newer")
    assert done.stderr.count("\n") == 1


def test_a_failed_fetch_leaves_no_half_filled_cache(tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho '[ERROR] no network'\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    done = run("--cache", str(tmp_path / "cache"), "--fetch-only", path=tmp_path)
    assert done.returncode == 1 and "no network" in done.stderr and "Maven could not fetch Neo4j" in done.stderr
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_short_password_and_a_taken_port(tmp_path: Path) -> None:
    cache = fetched(tmp_path)
    done = run("--cache", str(cache), "--data", str(tmp_path / "data"), "--password", "short", path=tmp_path)
    assert "password of 8 characters" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--cache", str(cache), "--data", str(tmp_path / "data"), "--port", str(port), path=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"deploy/neo4j/run: Port {port} is taken; stop what listens there or choose another")
    kept = tmp_path / "data" / "password"
    assert len(kept.read_text()) >= 20 and kept.stat().st_mode & 0o077 == 0
