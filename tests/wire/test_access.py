"""Who may do what, at every door of a server: proxy, telemetry, audit API."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from auditor.access.gate import KeyGate
from auditor.access.keys import KeyRing, open_hasher
from auditor.access.office import KeyOffice
from auditor.access.vault import open_provider_vault
from auditor.app import Server, build_app
from auditor.capture.redact import compile_rules
from auditor.capture.upstream import GuardedResolver, refusal
from auditor.jobs.plan import JobSpec
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.projection.names import run_key, run_node
from auditor.settings import Settings
from graph import Node

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "m", "messages": []})


@pytest.fixture
def server(tmp_path: Path, upstream: Any) -> Any:
    return Server(Settings(data=tmp_path / "data", workers=0, upstreams={"openai": upstream.address}))


@pytest.fixture
async def ask(server: Any) -> AsyncIterator[Any]:
    """The whole application without its helpers' processes; answers requests from 127.0.0.1 unless told otherwise."""
    app = build_app(server.settings, server)
    await server.proxy.startup()

    async def send(method: str, path: str, *, client: str = "127.0.0.1", **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
            return await one.request(method, path, **more)

    yield send
    await server.proxy.shutdown()
    server.keys.stop()
    server.ledger.close()
    server.graph.close()
    server.queue.close()


async def test_without_keys_only_this_machine_may_come_in(ask: Any, upstream: Any) -> None:
    assert (await ask("POST", CHAT, content=BODY)).status_code == 200
    assert (await ask("GET", "/api/v1/runs")).status_code == 200
    assert "no key exists" in (await ask("GET", "/healthz")).json()["notes"][0]
    for path in (CHAT, "/v1/traces", "/api/v1/keys"):
        told = await ask("POST", path, content=BODY, client="192.0.2.7", headers={"content-type": "application/json"})
        assert told.status_code == 401
    assert (await ask("GET", "/api/v1/runs", headers={"host": "evil.example.com"})).status_code == 403
    for strange in ({"host": "evil.example.com"}, {"sec-fetch-site": "cross-site"}):
        asked = {"content-type": "application/json"} | strange
        assert (await ask("POST", "/v1/chat/completions", headers=asked, json={"model": "m"})).status_code == 403
        assert (await ask("POST", "/v1/traces", headers=asked, json={})).status_code == 403
    assert len(upstream.received) == 1


async def test_keys_open_the_doors_they_are_for(ask: Any, server: Any, upstream: Any) -> None:
    send, _ = server.office.create("shop", ["ingest"])
    look, _ = server.office.create("shop", ["read"])
    bare = await ask("POST", CHAT, content=BODY)
    assert bare.status_code == 401 and "error" in bare.json()
    spans = {"resourceSpans": []}
    expected = [
        ("POST", CHAT, None, 401), ("POST", CHAT, "aud_000000000000_wrong", 401), ("POST", CHAT, look, 403),
        ("POST", f"/p/other{CHAT}", send, 403), ("POST", f"/p/shop{CHAT}", send, 200), ("POST", CHAT, send, 200),
        ("POST", "/v1/traces", None, 401), ("POST", "/v1/traces", look, 403), ("POST", "/v1/traces", send, 200),
        ("GET", "/api/v1/runs", None, 401), ("GET", "/api/v1/runs", send, 403), ("GET", "/api/v1/runs", look, 200),
        ("POST", "/api/v1/runs/x/audits", look, 403), ("GET", "/api/v1/keys", look, 403),
        ("GET", "/metrics", None, 401), ("GET", "/metrics", look, 200), ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
    ]  # fmt: skip
    for method, path, key, status in expected:
        headers = {"x-audit-key": key} if key else {}
        more = {"json": spans if "traces" in path else json.loads(BODY)} if method == "POST" else {}
        told = await ask(method, path, headers=headers, **more)
        assert told.status_code == status, (method, path, status, told.text)
    problem = (await ask("GET", "/api/v1/runs")).json()
    assert problem["code"] == "unauthorised" and problem["field"] == "key" and problem["fix"]
    assert len(upstream.received) == 2
    assert server.proxy.accepted == {"shop": 2}
    assert all(b"x-audit-key" not in dict(one.headers) for one in upstream.received)


async def test_metrics_without_keys_are_for_this_machine(ask: Any) -> None:
    assert (await ask("GET", "/metrics")).status_code == 200
    assert (await ask("GET", "/metrics", client="192.0.2.7")).status_code == 401
    assert (await ask("GET", "/metrics", headers={"host": "evil.example.com"})).status_code == 403


async def test_metrics_tell_a_project_of_itself_only(ask: Any, server: Any) -> None:
    body = {"what": "w", "why": "y", "run": None, "record": None}
    for name in ("shop", "bank"):
        server.ledger.append([Entry(kind="log", source="s", project=name, body=body)])
    look, _ = server.office.create("shop", ["read"])
    everything, _ = server.office.create(None, ["admin"])
    for key, told in ((look, {"shop"}), (everything, {"shop", "bank"})):
        text = (await ask("GET", "/metrics", headers={"x-audit-key": key})).text
        assert set(re.findall(r'project="([^"]*)"', text)) == told and "auditor_ledger_position" in text


async def test_a_key_sees_how_far_its_own_project_has_come(ask: Any, server: Any) -> None:
    look: dict[str | None, str] = {name: server.office.create(name, ["read"])[0] for name in ("a", "b", "c")}
    look[None] = server.office.create(None, ["admin"])[0]
    sent = {"a": 3, "b": 2}
    for name, count in sent.items():
        key, _ = server.office.create(name, ["ingest"])
        for _ in range(count):
            assert (await ask("POST", CHAT, content=BODY, headers={"x-audit-key": key})).status_code == 200
    body = {"what": "w", "why": "y", "run": None, "record": None}
    server.ledger.append([Entry(kind="log", source="s", project="b", body=body)])

    async def marks(key: str, query: str = "") -> dict[str, tuple[int, int]]:
        told = await ask("GET", f"/api/v1/watermarks{query}", headers={"x-audit-key": key})
        assert told.status_code == 200
        return {row["project"]: (row["accepted"], row["durable"]) for row in told.json()["items"]}

    everything = {"a": (3, 0), "b": (3, 1)}
    assert await marks(look[None]) == everything
    for name in ("a", "b"):
        assert await marks(look[name]) == {name: everything[name]}
    assert await marks(look["c"]) == {}
    assert await marks(look["a"], "?project=b") == {"a": (3, 0)}, "asking for another does not give it"
    told = await ask("GET", "/api/v1/watermarks", headers={"cookie": f"auditor_key={look['b']}"})
    assert [row["project"] for row in told.json()["items"]] == ["b"]
    text = (await ask("GET", "/metrics", headers={"x-audit-key": look["a"]})).text
    assert 'auditor_watermark_accepted{project="a"} 3' in text and 'auditor_watermark_durable{project="a"} 0' in text
    assert set(re.findall(r'project="([^"]*)"', text)) == {"a"}
    bare = await ask("GET", "/api/v1/watermarks")
    assert bare.status_code == 401 and bare.json()["code"] == "unauthorised"


async def test_health_counts_what_the_asker_may_see(ask: Any, server: Any) -> None:
    look: dict[str | None, str] = {name: server.office.create(name, ["read"])[0] for name in ("a", "b")}
    look[None] = server.office.create(None, ["admin"])[0]
    send, _ = server.office.create("a", ["ingest"])
    for _ in range(3):
        assert (await ask("POST", CHAT, content=BODY, headers={"x-audit-key": send})).status_code == 200
    server.queue.enqueue([JobSpec(id=n * 64, kind="k", run=None, payload={}, project="ab"[n == "2"]) for n in "012"])

    async def told(path: str, key: str | None) -> Any:
        return (await ask("GET", path, headers={"x-audit-key": key} if key else {})).json()

    for path in ("/api/v1/health", "/healthz"):
        whole, mine, other = [await told(path, look[name]) for name in (None, "a", "b")]
        assert (whole["recorded"]["exchanges_accepted"], whole["jobs"]["queued"]) == (3, 3)
        assert (mine["recorded"]["accepted"], mine["jobs"]["queued"]) == (3, 2)
        assert (other["recorded"], other["jobs"]["queued"]) == ({}, 1)
    bare = await told("/healthz", None)
    assert bare["status"] in ("ok", "trouble") and bare.keys() == {"status", "notes"}


async def test_metrics_are_what_a_scraper_can_read(ask: Any, server: Any) -> None:
    """Prometheus' text format, 0.0.4: each sample of a name once, its type before it, numbers alone."""
    assert (await ask("POST", CHAT, content=BODY)).status_code == 200
    told = await ask("GET", "/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4") and told.text.endswith("\n")
    seen, typed = set(), set()
    for line in told.text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
            continue
        found = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{project="[^"\n]*"\})? (-?[0-9.e+-]+)', line)
        assert found is not None, line
        assert found[1] + (found[2] or "") not in seen, line
        assert found[2] is None or found[1] in typed, line
        seen.add(found[1] + (found[2] or ""))
    marks = {f"auditor_watermark_{name}" for name in ("accepted", "durable", "projected", "runs", "evidence_attached")}
    assert typed == marks and 'auditor_watermark_accepted{project="default"}' in seen
    assert {"auditor_trouble", "auditor_ledger_position", "auditor_recorded_spool_waiting_bytes"} <= seen


async def test_a_default_key_reads_no_run_of_another_project(ask: Any, server: Any) -> None:
    nodes = [
        Node(id=run_node(run_key(*one)), kind="Activity", type="Run", run=run_key(*one), label=one[0])
        for one in (("shop", "r1"), ("default", "shop/r1"))
    ]
    nodes.append(Node(id="exchange:x", kind="Entity", type="DataObject", attrs={"project": "shop"}))
    server.graph.apply_batch([(0, nodes, [])])
    keys = {name: server.office.create(name, ["read"])[0] for name in ("shop", "default")}
    statuses = {"shop": [200, 404, 200], "default": [404, 200, 404]}
    for name, key in keys.items():
        asked = [quote(node.id, safe="") for node in nodes]
        told = [
            await ask("GET", f"/api/v1/graph/{node}/neighbourhood", headers={"x-audit-key": key}) for node in asked
        ]
        assert [one.status_code for one in told] == statuses[name]


async def test_a_refused_caller_reaches_no_store(ask: Any, server: Any, tmp_path: Path) -> None:
    server.office.create("shop", ["ingest"])
    head = server.ledger.head().position
    await ask("POST", CHAT, content=b"CANARY" * 100)
    await server.proxy.spool.settle()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data" / "spool").rglob("*.spool"))
    assert b"CANARY" not in kept and server.ledger.head().position == head


async def test_a_virtual_key_stands_for_a_vaulted_one(ask: Any, server: Any, upstream: Any, tmp_path: Path) -> None:
    key, _ = server.office.create("shop", ["ingest"])
    missing = await ask("POST", CHAT, content=BODY, headers={"authorization": f"Bearer {key}"})
    assert missing.status_code == 403 and not upstream.received  # our key never travels on
    server.office.vault("shop", "openai", "sk-provider-secret-0123456789\n")
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"x-audit-key": key}):
        assert (await ask("POST", CHAT, content=BODY, headers=headers)).status_code == 200
        sent = dict((name.lower(), value) for name, value in upstream.received[-1].headers)
        assert sent[b"authorization"] == b"Bearer sk-provider-secret-0123456789"
        assert key.encode() not in b"".join(sent.values())
    own = {"x-audit-key": key, "authorization": "Bearer mine"}
    await ask("POST", CHAT, content=BODY, headers=own)
    assert (b"authorization", b"Bearer mine") in [(n.lower(), v) for n, v in upstream.received[-1].headers]
    secret = b"sk-provider-secret"
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file() and secret in path.read_bytes()]
    server.office.forget("shop", "openai")
    assert (await ask("POST", CHAT, content=BODY, headers={"x-api-key": key})).status_code == 403


async def test_admins_make_and_revoke_keys_of_their_project(ask: Any, server: Any) -> None:
    root, _ = server.office.create(None, ["admin"])
    own, _ = server.office.create("shop", ["admin"])
    other, other_key = server.office.create("bank", ["read"])
    made = await ask("POST", "/api/v1/keys", json={"scopes": ["read"]}, headers={"x-audit-key": own})
    assert made.status_code == 201 and made.json()["project"] == "shop"
    token, ident = made.json()["key"], made.json()["id"]
    order = {"project": "bank", "scopes": ["read"]}
    assert (await ask("POST", "/api/v1/keys", json=order, headers={"x-audit-key": own})).status_code == 403
    assert (await ask("DELETE", f"/api/v1/keys/{other_key.id}", headers={"x-audit-key": own})).status_code == 404
    listed = await ask("GET", "/api/v1/keys", headers={"authorization": f"Bearer {own}"})
    assert {row["project"] for row in listed.json()["items"]} == {"shop"}
    assert token not in listed.text and "hash" not in listed.text
    assert len((await ask("GET", "/api/v1/keys", headers={"x-audit-key": root})).json()["items"]) == 4
    assert (await ask("GET", "/api/v1/runs", headers={"x-audit-key": token})).status_code == 200
    assert (await ask("DELETE", f"/api/v1/keys/{ident}", headers={"x-audit-key": own})).json()["revoked"]
    assert (await ask("GET", "/api/v1/runs", headers={"x-audit-key": token})).status_code == 401
    change = {"fail_closed": True, "redaction": ["keys", "email"], "patterns": {"badge": r"B-\d{4}"}}
    told = await ask("PATCH", "/api/v1/projects/shop", json=change, headers={"x-audit-key": own})
    assert told.json() | change == told.json()
    wrong = await ask("PATCH", "/api/v1/projects/shop", json={"patterns": {"x": "(a+)+"}}, headers={"x-audit-key": own})
    assert wrong.status_code == 400 and wrong.json()["field"] == "patterns.x"
    assert server.gate.ring.project("shop").fail_closed


async def test_the_dashboard_signs_in_with_a_cookie(ask: Any, server: Any) -> None:
    key, _ = server.office.create("shop", ["read"])
    assert (await ask("POST", "/api/v1/session", json={"key": "aud_0_wrong"})).status_code == 401
    told = await ask("POST", "/api/v1/session", json={"key": key})
    cookie = told.headers["set-cookie"]
    assert told.status_code == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert key not in told.text
    headers = {"cookie": cookie.partition(";")[0]}
    assert (await ask("GET", "/api/v1/runs", headers=headers)).status_code == 200
    assert (await ask("POST", CHAT, content=BODY, headers=headers)).status_code == 401  # a cookie opens no other door
    assert "Max-Age=0" in (await ask("DELETE", "/api/v1/session")).headers["set-cookie"]
    assert (await ask("POST", "/api/v1/session", content=b"{")).status_code == 400


def test_other_processes_learn_of_changes(tmp_path: Path) -> None:
    ledger, other = SqliteLedger(tmp_path / "ledger.db"), SqliteLedger(tmp_path / "ledger.db")
    try:
        hasher, vault = open_hasher(tmp_path), open_provider_vault(tmp_path)
        office = KeyOffice(ledger, KeyRing(ledger, hasher), hasher, vault, compile_rules)
        ring, copy = KeyRing(other, open_hasher(tmp_path)), open_provider_vault(tmp_path)
        token, key = office.create("shop", ["ingest"])
        office.vault("shop", "anthropic", "sk-ant-x")
        assert not ring.any_keys()
        ring.refresh()
        copy.refresh()
        found = ring.find(token)
        assert found is not None and (found.id, found.project) == (key.id, "shop")
        assert copy.credentials("shop")["anthropic"] == ((b"x-api-key", b"sk-ant-x"),)
        office.revoke(key.id)
        ring.refresh()
        assert KeyGate(ring).ring.listed()[0].revoked is not None
        assert token not in (tmp_path / "ledger.db").read_bytes().decode("latin-1")
    finally:
        ledger.close()
        other.close()


@pytest.mark.parametrize(("address", "private", "refused"), [
    ("8.8.8.8", False, False), ("10.0.0.1", False, True), ("10.0.0.1", True, False), ("127.0.0.1", False, True),
    ("127.0.0.1", True, False), ("169.254.169.254", True, True), ("fd00:ec2::254", True, True), ("::1", False, True),
    ("fe80::1", True, True), ("::ffff:10.0.0.1", False, True), ("::ffff:169.254.169.254", True, True),
    ("64:ff9b::a9fe:a9fe", True, True), ("2002:0a00:0001::", False, True), ("100.64.0.1", False, True),
    ("2606:4700::1111", False, False), ("0.0.0.0", False, True),
])  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str, private: bool, refused: bool) -> None:
    assert (refusal(address, private) is not None) == refused


@pytest.mark.parametrize(("host", "private", "refused"), [
    ("api.example.com", (), True), ("api.example.com", ("api.example.com",), False), ("vllm", (), False),
    ("localhost", (), False), ("gpu.internal", (), False),
])  # fmt: skip
async def test_names_are_checked_after_resolution(host: str, private: tuple[str, ...], refused: bool) -> None:
    class Inner:
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return [{"hostname": host, "host": "10.1.2.3", "port": port, "family": 2, "proto": 0, "flags": 0}]

        async def close(self) -> None:
            pass

    resolver = GuardedResolver(private, Inner())  # type: ignore[arg-type, unused-ignore]
    if refused:
        with pytest.raises(OSError, match="not public"):
            await resolver.resolve(host, 443)
    else:
        assert (await resolver.resolve(host, 443))[0]["host"] == "10.1.2.3"


async def test_who_has_no_key_leaves_nothing_behind_whatever_the_path_says(ask: Any, server: Any) -> None:
    send, _ = server.office.create("shop", ["ingest"])
    for path in (CHAT, "/p/Bad%20Name!/v1/models", f"/p/shop{CHAT}"):
        assert (await ask("POST", path, content=BODY)).status_code in (401, 403)
    assert server.proxy.accepted.total() == 0 and server.proxy.spool.counts()["spool_waiting_bytes"] == 0
    headers = {"authorization": f"Bearer {send}"}
    assert (await ask("POST", "/p/Bad%20Name!/v1/models", content=BODY, headers=headers)).status_code == 403
    assert server.proxy.accepted == {"shop": 1}
