"""Provider keys at rest, and the files that hold secrets."""

import base64
import json
import secrets
from pathlib import Path

import pytest

from auditor.access.gate import is_loopback, presented
from auditor.access.key_file import read_key_file
from auditor.access.keys import new_token, token_id
from auditor.access.vault import FILE, open_provider_vault
from auditor.errors import BadInput, BadSetup, NotFound


def test_a_provider_key_is_encrypted_and_can_be_destroyed(tmp_path: Path) -> None:
    vault = open_provider_vault(tmp_path)
    vault.store("shop", "openai", "sk-provider-secret")
    text = (tmp_path / FILE).read_text()
    assert "provider" not in text and base64.b64encode(b"sk-provider")[:12].decode() not in text
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    again = open_provider_vault(tmp_path)
    assert again.credentials("shop") == {"openai": ((b"authorization", b"Bearer sk-provider-secret"),)}
    assert again.credentials("other") == {}
    again.forget("shop", "openai")
    vault.refresh()
    assert vault.credentials("shop") == {} and json.loads((tmp_path / FILE).read_text()) == {}
    with pytest.raises(NotFound):
        vault.forget("shop", "openai")


def test_a_ciphertext_that_was_moved_does_not_open(tmp_path: Path) -> None:
    open_provider_vault(tmp_path).store("shop", "openai", "sk-provider-secret")
    form = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({"bank": form["shop"]}))
    with pytest.raises(BadSetup, match="cannot be opened"):
        open_provider_vault(tmp_path)


@pytest.mark.parametrize("secret", ["", " \n", "two\nlines", "sk-\x00", "clé", "x" * 20000])
def test_what_cannot_be_a_key_is_refused(tmp_path: Path, secret: str) -> None:
    with pytest.raises(BadInput):
        open_provider_vault(tmp_path).store("shop", "openai", secret)


def test_the_key_of_the_vault_may_come_from_outside(tmp_path: Path) -> None:
    raw = secrets.token_bytes(32)
    setting = base64.b64encode(raw).decode()
    open_provider_vault(tmp_path, setting).store("shop", "openai", "k")
    place = tmp_path / "outside.key"
    place.write_bytes(raw)
    place.chmod(0o600)
    assert open_provider_vault(tmp_path, str(place)).credentials("shop")
    assert not (tmp_path / "vault.key").exists()
    with pytest.raises(BadSetup):
        open_provider_vault(tmp_path, "no such file")
    with pytest.raises(BadSetup):
        open_provider_vault(tmp_path)  # another key


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    first = read_key_file(tmp_path / "a.key")
    assert read_key_file(tmp_path / "a.key") == first and len(first) == 32
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(BadSetup, match="can be read by others"):
        read_key_file(tmp_path / "a.key")


def test_tokens_carry_their_id() -> None:
    ident, token = new_token()
    assert token_id(token) == ident
    assert [token_id(text) for text in ("", "aud_", "aud_x", "aud__y", "sk-x")] == [None] * 5


@pytest.mark.parametrize(("headers", "found"), [
    ([], (None, False, True)), ([(b"X-Audit-Key", b"aud_a_b")], ("aud_a_b", False, True)),
    ([(b"authorization", b"bearer aud_a_b")], ("aud_a_b", True, False)),
    ([(b"authorization", b"Bearer sk-x")], (None, False, False)),
    ([(b"x-audit-key", b"aud_c_d"), (b"x-api-key", b"aud_a_b")], ("aud_c_d", True, False)),
])  # fmt: skip
def test_where_a_key_is_looked_for(
    headers: list[tuple[bytes, bytes]], found: tuple[str | None, bool, bool]
) -> None:
    assert presented(headers) == found


@pytest.mark.parametrize(("client", "own"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
    ("", False), (None, False), ("testclient", False),
])  # fmt: skip
def test_loopback(client: str | None, own: bool) -> None:
    assert is_loopback(client) == own
