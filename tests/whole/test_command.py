"""The `auditor` command on a small ledger: an imported run of a closed model, judged, shown, rebuilt, redone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auditor.cli import cli
from auditor.errors import BadInput, NotFound
from auditor.ledger.sqlite import SqliteLedger

FIXTURE = Path(__file__).resolve().parents[2] / "agents" / "fixtures" / "tau_bench_airline_1.json"


def run(*arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert found.exit_code == code, found.output
    return found.stdout


@pytest.fixture
def data(tmp_path: Path) -> str:
    run("import", "tau_bench", str(FIXTURE), "--data", str(tmp_path))
    return str(tmp_path)


def test_help_of_every_verb_says_what_it_does() -> None:
    top = run("--help")
    for verb in cli.commands:
        assert verb in top
        assert len(run(verb, "--help").splitlines()) > 4


def test_a_closed_run_is_audited_and_says_weights_unavailable(data: str) -> None:
    (row,) = json.loads(run("show", "--data", data, "--json"))["runs"]
    name = row["run"]
    found = json.loads(run("audit", name, "--data", data, "--json"))
    words = {(one["verdict"], one["reason"]) for one in found["verdicts"].values()}
    assert len(found["verdicts"]) == row["claims"] > 0
    assert words <= {("undetermined", "weights_unavailable"), ("contradicted", None)}
    assert "weights unavailable" in run("show", name, "--data", data)
    again = json.loads(run("redo", name, "--data", data, "--json"))
    assert again["same"] is True
    why = json.loads(run("why", name, "--data", data, "--json"))
    assert why["chain"] and why["run"] == name


def test_the_graph_is_the_same_after_a_rebuild_in_any_store(data: str, tmp_path: Path) -> None:
    name = json.loads(run("show", "--data", data, "--json"))["runs"][0]["run"]
    run("why", name, "--data", data, "--json")  # applies the ledger to the graph as a server would
    first = json.loads(run("rebuild", "--data", data, "--json"))
    other = json.loads(run("rebuild", "--data", data, "--graph", "memory:", "--json"))
    assert first["digest"] == other["digest"]
    assert first["records"] > 0


def test_verify_names_the_record_that_was_changed(data: str, tmp_path: Path) -> None:
    assert json.loads(run("verify", "--data", data, "--json"))["intact"] is True
    ledger = SqliteLedger(tmp_path / "ledger.db")
    connection = ledger.connect()
    connection.execute("UPDATE records SET data = zeroblob(length(data)) WHERE position = 0")
    connection.close()
    ledger.close()
    found: dict[str, Any] = json.loads(run("verify", "--data", data, "--json", code=1))
    assert found["intact"] is False
    assert found["first_bad"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nobody"], "auditor show"),
        (["audit", "nobody"], "no run is called"),
        (["why", "nobody"], "no run and no step"),
        (["serve", "--port", "99999"], "is not a port"),
        (["demo", "--families", "moon"], "no family is called"),
        (["import", "moon", __file__], "is not known"),
    ],
)
def test_mistakes_end_with_one_sentence(arguments: list[str], says: str, tmp_path: Path) -> None:
    SqliteLedger(tmp_path / "auditor-data" / "ledger.db").close()
    done = subprocess.run(
        [sys.executable, "-m", "auditor", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_models_file_that_names_a_missing_folder_stops_the_start_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[[model]]\nname = "a"\nweights = "gone"\n')
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "serve", "--models", "models.toml", "--port", "0"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "models.toml:3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["serve", "--port", "0"], {"AUDITOR_PRICES": "nope.json"}, "nope.json: No such file"),
        (["serve", "--port", "0"], {"AUDITOR_UPSTREAMS": "mistral=https://a.example"}, "use openai or anthropic"),
        (["serve", "--port", "0", "--data", "FILE"], {}, "is no folder"),
        (["serve", "--port", "0", "--data", "FILE/deeper"], {}, "is no folder"),
        (["work", "--until-idle", "--data", "FILE"], {}, "is no folder"),
        (["serve", "--port", "0", "--host", "999.1.1.1"], {}, "is no address"),
        (["serve", "--port", "0", "--host", "192.0.2.1"], {}, "is no address of this machine"),
        (["serve", "--port", "4317"], {"AUDITOR_OTLP_GRPC": "4317"}, "is the port of everything else"),
        (["serve", "--port", "0"], {"AUDITOR_OTLP_GRPC": "TAKEN"}, "wanted for OTLP over gRPC, is taken"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    arguments: list[str], environment: dict[str, str], says: str, tmp_path: Path
) -> None:
    (tmp_path / "FILE").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "auditor", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {name: value.replace("TAKEN", port) for name, value in environment.items()}, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["show", "r"], ["verify"], ["rebuild"], ["why", "r"], ["redo", "r"], ["audit", "r"], ["keys", "list"],
     ["keys", "revoke", "k"], ["keys", "forget", "openai", "--project", "p"], ["projects", "list"]],
)  # fmt: skip
def test_a_command_that_reads_makes_no_ledger(arguments: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    with pytest.raises(NotFound, match="there is none in") as caught:
        run(*arguments, "--data", str(wrong))
    assert str(wrong) in str(caught.value) and not wrong.exists()


def test_what_keys_make_is_for_their_owner_and_they_say_where(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "auditor", "keys", "create", "--scope", "admin", "--data", str(data)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, umask=0o022)
    assert str(data) in done.stderr and done.stdout.startswith("aud_")
    modes = {path.name: path.stat().st_mode & 0o777 for path in data.iterdir()}
    assert data.stat().st_mode & 0o777 == 0o700 and modes["ledger.db"] == 0o600
    assert all(mode & 0o077 == 0 for mode in modes.values())
    assert run("keys", "revoke", done.stdout.strip(), "--data", str(data)).count("_") == 0
    with pytest.raises(BadInput, match="use openai or anthropic"):
        run("keys", "vault", "nosuch", "--project", "p", "--data", str(data))
