"""What is passed on, what is kept, and that credentials are kept by nobody."""

import stat
from pathlib import Path

import pytest

from auditor.capture.headers import Vault, end_to_end, open_vault, to_upstream
from auditor.capture.upstream import Upstreams
from auditor.errors import BadSetup, Refused

VAULT = Vault(b"k" * 32)


def test_headers_of_one_connection_stay_behind() -> None:
    rows = [(b"Connection", b"keep-alive, X-Mine"), (b"x-mine", b"1"), (b"Keep-Alive", b"5"), (b"TE", b"trailers"),
            (b"Transfer-Encoding", b"chunked"), (b"X-A", b"1"), (b"x-a", b"2"),
            (b"Content-Encoding", b"br")]  # fmt: skip
    assert end_to_end(rows) == [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-encoding", b"br")]
    own = [(b"Host", b"h"), (b"X-Audit-Run", b"r"), (b"x-audit-anything", b"r"), (b"authorization", b"s")]
    assert to_upstream(own) == [(b"authorization", b"s")]


@pytest.mark.parametrize("name", [
    "Authorization", "proxy-authorization", "X-Api-Key", "api-key", "apikey", "x-goog-api-key", "Cookie", "Set-Cookie",
    "x-audit-key", "X-Auth-Token", "x-amz-security-token", "x-access-key", "OpenAI-Secret", "x-password", "x-jwt",
    "Ocp-Apim-Subscription-Key",
])  # fmt: skip
def test_credentials_are_fingerprinted(name: str) -> None:
    kept = VAULT.stored([(name.encode(), b"sk-123")])[name.lower()]
    assert "sk-123" not in kept
    assert kept == VAULT.fingerprint(b"sk-123")


@pytest.mark.parametrize("name", [
    "x-ratelimit-remaining-tokens", "anthropic-ratelimit-input-tokens-limit", "idempotency-key", "user-agent",
    "content-type", "x-request-id", "openai-organization", "x-audit-run",
])  # fmt: skip
def test_other_headers_are_kept(name: str) -> None:
    assert VAULT.stored([(name.encode(), b"v")]) == {name: "v"}


def test_a_fingerprint_depends_on_the_installation() -> None:
    assert VAULT.fingerprint(b"a") != Vault(b"j" * 32).fingerprint(b"a")
    assert VAULT.fingerprint(b"a") != VAULT.fingerprint(b"b")


def test_credentials_in_a_query_are_fingerprinted() -> None:
    assert VAULT.path("/v1/x?a=1%20&b") == "/v1/x?a=1%20&b"
    kept = VAULT.path("/v1/x?key=sk-1&api_key=sk-1&monkey=2")
    assert "sk-1" not in kept and kept.endswith("monkey=2")


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = open_vault(tmp_path / "data")
    assert open_vault(tmp_path / "data").fingerprint(b"x") == first.fingerprint(b"x")
    assert stat.S_IMODE((tmp_path / "data" / "fingerprint.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["fingerprint.key"]


def test_a_damaged_key_is_bad_setup(tmp_path: Path) -> None:
    key = tmp_path / "fingerprint.key"
    key.write_bytes(b"short")
    key.chmod(0o644)
    with pytest.raises(BadSetup, match="can be read by others"):
        open_vault(tmp_path)
    key.chmod(0o600)
    with pytest.raises(BadSetup, match="remove the file"):
        open_vault(tmp_path)


@pytest.mark.parametrize("address", ["", "host:80", "ftp://x", "http://", "unix:///x"])
def test_an_upstream_that_is_no_address_stops_start_up(address: str) -> None:
    with pytest.raises(BadSetup, match="AUDITOR_UPSTREAMS"):
        Upstreams({"openai": address})


def test_an_upstream_with_a_password_stops_start_up_and_is_not_shown() -> None:
    with pytest.raises(BadSetup, match="vault") as refused:
        Upstreams({"openai": "https://me:hunter2@host"})
    assert "hunter2" not in str(refused.value) and "openai" in str(refused.value)


def test_a_path_chooses_among_the_configured_upstreams_only() -> None:
    both = Upstreams({"openai": "http://a", "anthropic": "http://b"})
    assert both.target("POST", "/v1/messages", "/v1/messages?beta=true").url.host == "b"
    assert both.target("POST", "/v1/chat/completions", "/v1/chat/completions").name == "openai"
    with pytest.raises(Refused):
        Upstreams({"anthropic": "http://b"}).target("POST", "/v1/chat/completions", "/v1/chat/completions")


def test_an_upstream_no_route_leads_to_stops_start_up() -> None:
    with pytest.raises(BadSetup, match="use openai or anthropic"):
        Upstreams({"openai": "http://a", "mistral": "http://b"})


def test_who_is_refused_is_told_which_upstream_the_route_needs() -> None:
    with pytest.raises(Refused, match="anthropic=https"):
        Upstreams({"openai": "http://a"}).target("POST", "/v1/messages", "/v1/messages")
    with pytest.raises(Refused, match="openai=https"):
        Upstreams({"anthropic": "http://a"}).target("POST", "/v1/responses", "/v1/responses")
