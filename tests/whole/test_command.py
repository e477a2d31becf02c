"""The `auditor` command on a small ledger: an imported run of a closed model, judged, shown, rebuilt, redone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auditor.cli import cli
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
