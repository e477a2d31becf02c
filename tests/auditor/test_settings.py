"""Settings come from four places, in order, and say which place is wrong."""

from pathlib import Path

import pytest

from auditor.errors import BadSetup
from auditor.settings import read_settings


def test_later_places_win(tmp_path: Path) -> None:
    file = tmp_path / "auditor.toml"
    file.write_text('port = 1111\nhost = "127.0.0.2"\nworkers = 0\n[upstreams]\nopenai = "http://one"\n')
    settings = read_settings({"AUDITOR_CONFIG": str(file), "AUDITOR_PORT": "2222"}, host="127.0.0.3", workers=None)
    assert (settings.port, settings.host, settings.workers) == (2222, "127.0.0.3", 0)
    assert settings.upstreams == {"openai": "http://one"}


def test_upstreams_from_the_environment() -> None:
    settings = read_settings({"AUDITOR_UPSTREAMS": "openai=http://a:1, anthropic=https://b"})
    assert settings.upstreams == {"openai": "http://a:1", "anthropic": "https://b"}


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(read_settings({"AUDITOR_NEO4J_PASSWORD": "hush"}))


@pytest.mark.parametrize(
    "environment",
    [{"AUDITOR_PORT": "x"}, {"AUDITOR_COLOUR": "red"}, {"AUDITOR_UPSTREAMS": "openai=ftp://x"},
     {"AUDITOR_UPSTREAMS": " "}, {"AUDITOR_CONFIG": "/missing.toml"}, {"AUDITOR_EXECUTOR": "moon"},
     {"AUDITOR_WORKERS": "-1"}, {"AUDITOR_PORT": "70000"}],
)  # fmt: skip
def test_wrong_settings_are_named_with_a_fix(environment: dict[str, str]) -> None:
    with pytest.raises(BadSetup) as fault:
        read_settings(environment)
    assert fault.value.field
    assert fault.value.fix


@pytest.mark.parametrize("address", ["https://me:hunter2@host", "https://me:hunt/er2@host", "https://hunter2@host:1/v1",
                                     "https://me:hunter2,x@host", "https://me:12,hunter2@host"])  # fmt: skip
def test_a_password_in_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(BadSetup, match="auditor keys vault") as refused:
        read_settings({"AUDITOR_UPSTREAMS": f"openai={address}"})
    assert "hunt" not in str(refused.value)
