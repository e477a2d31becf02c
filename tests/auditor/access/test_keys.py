"""Keys and projects in memory: what opens a door, what the disk knows of a key, and what a damaged disk does."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.access.gate import KeyGate
from auditor.access.keys import KIND, PREFIX, Hasher, KeyRing, open_hasher, token_id
from auditor.access.office import SCOPES, KeyOffice
from auditor.access.protocol import Right
from auditor.access.vault import FILE, open_provider_vault
from auditor.capture.redact import compile_rules
from auditor.errors import BadInput, BadSetup, NotFound, Refused, Unauthorised
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.records.access import KeyCreated
from auditor.records.wire import write


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def office(ledger: SqliteLedger, tmp_path: Path) -> KeyOffice:
    hasher = open_hasher(tmp_path)
    return KeyOffice(ledger, KeyRing(ledger, hasher), hasher, open_provider_vault(tmp_path), compile_rules)


def test_a_key_is_made_and_found(office: KeyOffice) -> None:
    assert not office.ring.any_keys()
    token, key = office.create("shop", ["read", "ingest"], "agents")
    assert token.startswith(PREFIX) and token_id(token) == key.id
    assert (key.project, key.scopes, key.name, key.revoked) == ("shop", {"ingest", "read"}, "agents", None)
    assert office.ring.find(token) == key and office.ring.any_keys()
    others = {office.create("shop", ["read"])[0] for _ in range(20)}
    assert len(others) == 20 and token not in others


@pytest.mark.parametrize("change", [
    lambda token: token[:-1], lambda token: token + "x", lambda token: token[:-1] + chr(ord(token[-1]) ^ 1),
    lambda token: token.upper(), lambda token: f" {token}", lambda token: token.replace("aud_", "", 1),
    lambda token: "aud_000000000000_" + token.rpartition("_")[2], lambda token: token.partition("_")[0] + "_",
    lambda token: "", lambda token: "aud_\udcff_x",
])  # fmt: skip
def test_what_is_not_the_key_to_the_letter_opens_nothing(office: KeyOffice, change: object) -> None:
    token, _ = office.create("shop", ["read"])
    assert office.ring.find(change(token)) is None  # type: ignore[operator]


def test_the_id_of_one_key_with_the_secret_of_another_opens_nothing(office: KeyOffice) -> None:
    (one, first), (other, _) = office.create("shop", ["read"]), office.create("bank", ["admin"])
    assert office.ring.find(f"{PREFIX}{first.id}_{other.removeprefix(PREFIX).partition('_')[2]}") is None
    assert office.ring.find(one) == first


def test_a_revoked_key_is_known_and_opens_nothing(office: KeyOffice) -> None:
    token, key = office.create("shop", ["admin"])
    gate = KeyGate(office.ring)
    headers = [(b"x-audit-key", token.encode())]
    assert gate.admit(headers, "read", project=None, client="192.0.2.1").key == key.id
    revoked = office.revoke(key.id)
    assert revoked.revoked is not None and office.revoke(key.id).revoked == revoked.revoked  # twice changes nothing
    assert office.ring.find(token) == revoked
    with pytest.raises(Unauthorised, match="was revoked"):
        gate.admit(headers, "read", project=None, client="127.0.0.1")
    with pytest.raises(Unauthorised, match="is missing"):  # the last key is gone, the doors stay closed
        gate.admit([(b"host", b"127.0.0.1")], "read", project=None, client="127.0.0.1")
    with pytest.raises(NotFound, match="auditor keys list"):
        office.revoke("000000000000")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_own_door_and_admin_opens_all(office: KeyOffice, scope: Right) -> None:
    token, key = office.create("shop", [scope])
    gate = KeyGate(office.ring)
    opened = {right for right in SCOPES if key.allows(right)}
    assert opened == (set(SCOPES) if scope == "admin" else {scope})
    for right in SCOPES:
        if right in opened:
            admission = gate.admit([(b"x-audit-key", token.encode())], right, project="shop", client=None)
            assert (admission.project, admission.every_project) == ("shop", False)
        else:
            with pytest.raises(Refused, match=f"has not the scope {right}"):
                gate.admit([(b"x-audit-key", token.encode())], right, project="shop", client=None)
    with pytest.raises(Refused, match="another project"):
        gate.admit([(b"x-audit-key", token.encode())], scope, project="bank", client=None)


@pytest.mark.parametrize(("project", "scopes", "field"), [
    (None, ["read"], "project"), ("no name", ["read"], "project"), ("../up", ["read"], "project"),
    ("x" * 65, ["read"], "project"), ("shop", [], "scopes"), ("shop", ["root"], "scopes"),
    ("shop", ["read", "root"], "scopes"),
])  # fmt: skip
def test_keys_that_cannot_be_made(office: KeyOffice, project: str | None, scopes: list[str], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        office.create(project, scopes)
    assert refused.value.field == field and refused.value.fix
    with pytest.raises(BadInput):
        office.create("shop", ["read"], "n" * 101)
    assert not office.ring.any_keys()


def test_the_disk_knows_keyed_hashes_only(office: KeyOffice, ledger: SqliteLedger, tmp_path: Path) -> None:
    token, key = office.create("shop", ["read"])
    (stored,) = ledger.records(kinds=[KIND])
    body = dict(stored.record.body)  # type: ignore[call-overload]
    assert body["hash"] == open_hasher(tmp_path)(token) and len(str(body["hash"])) == 64
    assert body["hash"] != Hasher(b"another installation's")(token), "whoever has no access.key tests no guess"
    secret = token.removeprefix(f"{PREFIX}{key.id}_")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"access.key", "ledger.db"} <= {path.name for path in files}
    assert not [path.name for path in files if secret.encode() in path.read_bytes()]
    for name in ("access.key", "vault.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert token not in repr(office.ring.listed()) and secret not in json.dumps(body)


def test_another_installations_secret_opens_nothing(office: KeyOffice, ledger: SqliteLedger) -> None:
    token, _ = office.create("shop", ["read"])
    assert KeyRing(ledger, Hasher(b"x" * 32)).find(token) is None


@pytest.mark.parametrize(("damage", "says"), [
    (lambda place: place.write_bytes(b"short"), "is not a key of 32 bytes"),
    (lambda place: place.write_bytes(b""), "is not a key of 32 bytes"),
    (lambda place: place.chmod(0o640), "can be read by others"),
    (lambda place: (place.unlink(), place.mkdir(mode=0o700)), "directory"),
])  # fmt: skip
def test_a_damaged_key_file_says_what_to_do(tmp_path: Path, damage: object, says: str) -> None:
    open_hasher(tmp_path)
    place = tmp_path / "access.key"
    damage(place)  # type: ignore[operator]
    with pytest.raises(BadSetup, match=says) as refused:
        open_hasher(tmp_path)
    assert str(place) in str(refused.value.field) and refused.value.fix


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"shop": 1}', '{"shop": {"openai": 5}}',
    '{"shop": {"openai": "%%"}}', '{"shop": {"openai": "AAAA"}}',
])  # fmt: skip
def test_a_damaged_vault_says_what_to_do(tmp_path: Path, text: str) -> None:
    open_provider_vault(tmp_path).store("shop", "openai", "k")
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadSetup) as refused:
        open_provider_vault(tmp_path)
    assert FILE in str(refused.value.field) and refused.value.fix


@pytest.mark.parametrize("body", [
    {"change": "key_created"}, {"change": "no such change"}, {}, {"change": ["key_revoked"]}, {"change": None},
    {"change": "key_created", "id": 1, "hash": [], "project": None, "scopes": "admin", "name": "", "by": "x"},
    {"change": "project_set", "project": "shop", "fail_closed": "maybe"},
])  # fmt: skip
def test_a_record_that_cannot_be_read_is_said_and_hides_no_other(
    office: KeyOffice, ledger: SqliteLedger, body: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append([Entry(kind=KIND, source="access", project="shop", body=body)])
    token, key = office.create("shop", ["read"])
    assert office.ring.find(token) == key and office.ring.listed() == [key]
    assert "cannot be read" in caplog.text


def test_a_key_cannot_be_made_over(office: KeyOffice, ledger: SqliteLedger) -> None:
    """The first record of an id counts: a later one may not widen it."""
    token, key = office.create("shop", ["read"])
    office.revoke(key.id)
    again = KeyCreated(id=key.id, hash=open_hasher_of(office)(token), project=None, scopes=("admin",), name="", by="x")
    ledger.append([Entry(kind=KIND, source="access", project="default", body=write(again))])
    office.ring.refresh()
    found = office.ring.find(token)
    assert found is not None and found.revoked is not None and found.scopes == {"read"} and found.project == "shop"


def open_hasher_of(office: KeyOffice) -> Hasher:
    return office.ring._hasher


def test_projects_keep_what_was_not_changed(office: KeyOffice) -> None:
    assert office.ring.project("shop").redaction == ("keys", "tokens") and office.ring.projects() == []
    office.set_project("shop", fail_closed=True)
    office.vault("shop", "openai", "k")
    set_up = office.set_project("shop", redaction=["email", "email", "keys"], patterns={"badge": r"B-\d{4}"})
    assert (set_up.fail_closed, set_up.redaction, dict(set_up.patterns), set_up.vaulted) == (
        True, ("email", "keys"), {"badge": r"B-\d{4}"}, ("openai",),
    )  # fmt: skip
    office.forget("shop", "openai")
    assert office.ring.project("shop").vaulted == () and office.ring.project("shop").fail_closed
    office.create("bank", ["read"])
    assert [one.name for one in office.ring.projects()] == ["bank", "shop"]
    many = {f"p{n}": "x" for n in range(21)}
    for wrong in ({"redaction": ["nothing"]}, {"patterns": {"Big": "x"}}, {"patterns": many}):
        with pytest.raises(BadInput):
            office.set_project("shop", **wrong)  # type: ignore[arg-type]


def test_a_ring_that_follows_says_when_it_cannot(office: KeyOffice, ledger: SqliteLedger, tmp_path: Path) -> None:
    looked = threading.Event()
    ring = KeyRing(ledger, open_hasher(tmp_path), looked.set)
    ring.start()
    token, _ = office.create("shop", ["read"])
    assert looked.wait(5)
    ring.stop()
    assert ring.find(token) is not None and ring.trouble is None


def test_the_whole_key_revokes_and_is_not_repeated(office: KeyOffice) -> None:
    token, key = office.create("shop", ["read"])
    assert office.revoke(f" {token}\n").id == key.id
    assert office.key(key.id).revoked is not None
    for wrong in (f"{PREFIX}{'0' * 12}_{token[-20:]}", f"see {token}"):
        with pytest.raises(NotFound) as caught:
            office.revoke(wrong)
        assert token[-20:] not in str(caught.value)


@pytest.mark.parametrize("right", ["ingest", "read", "audit", "admin"])
def test_who_has_no_key_is_told_how_to_make_one_that_may(office: KeyOffice, right: Right) -> None:
    gate = KeyGate(office.ring, options=" --data /srv/a")
    assert gate.notes()[0].endswith("--scope admin --data /srv/a") and "/srv/a" not in gate.notes(to_all=True)[0]
    office.create(None, ["admin"])
    for client, told in (("127.0.0.1", True), ("192.0.2.1", False)):
        with pytest.raises(Unauthorised, match=f"--scope {right}") as caught:
            gate.admit([], right, project=None, client=client)
        assert ("--data /srv/a" in str(caught.value)) is told
