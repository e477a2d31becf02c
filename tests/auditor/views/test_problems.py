"""Every refusal is problem JSON with code, field and fix; documentation works without the internet."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from auditor.views.api import build_api


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "code", "field"),
    [
        ("GET", "/runs/none", None, 404, "not_found", "run"),
        ("GET", "/runs/none/steps", None, 404, "not_found", "run"),
        ("GET", "/steps/none/why", None, 404, "not_found", "step"),
        ("GET", "/claims/none", None, 404, "not_found", "claim"),
        ("GET", "/claims/none/evidence", None, 404, "not_found", "claim"),
        ("GET", "/messages/none", None, 404, "not_found", "message"),
        ("GET", "/records/none", None, 404, "not_found", "record"),
        ("GET", "/nothing/here", None, 404, "not_found", "path"),
        ("DELETE", "/runs", None, 405, "method_not_allowed", "path"),
        ("GET", "/runs?limit=0", None, 422, "bad_input", "limit"),
        ("GET", "/runs?limit=many", None, 422, "bad_input", "limit"),
        ("GET", "/runs?verdict=guilty", None, 422, "bad_input", "verdict"),
        ("GET", "/runs?cursor=%00%00", None, 400, "bad_input", "cursor"),
        ("GET", "/runs?cursor=zzzz", None, 400, "bad_input", "cursor"),
        ("GET", "/runs/long/messages?call=none", None, 400, "bad_input", "call"),
        ("POST", "/runs/none/audits", {}, 404, "not_found", "run"),
        ("POST", "/runs/long/audits", {"methods": ["tea_leaves"]}, 400, "bad_input", "methods"),
        ("POST", "/runs/long/audits", {"methods": []}, 400, "bad_input", "methods"),
        ("POST", "/runs/long/audits", {"mehtods": []}, 422, "bad_input", "mehtods"),
    ],
)
def test_refusals(client: TestClient, verb: str, path: str, body: Any, status: int, code: str, field: str) -> None:
    answer = client.request(verb, f"/api/v1{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["field"]) == (status, code, field)
    assert problem["title"] and problem["detail"] and problem["fix"] and problem["type"]


def test_malformed_json_is_refused_with_the_same_envelope(client: TestClient) -> None:
    answer = client.post("/api/v1/runs/long/audits", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_input"


def test_a_defect_of_ours_is_a_problem_too_and_tells_no_secrets(world: Any) -> None:
    class Broken:
        def watermarks(self) -> list[Any]:
            return []

        def view(self) -> dict[str, Any]:
            raise RuntimeError("password=hunter2")

    app = FastAPI()
    app.mount("/api", build_api(ledger=world.ledger, graph=world.graph, audits=world.audits, health=Broken()))
    answer = TestClient(app, raise_server_exceptions=False).get("/api/v1/health")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "hunter2" not in answer.text


def test_without_a_verifier_the_route_says_so(world: Any) -> None:
    app = FastAPI()
    app.mount("/api", build_api(ledger=world.ledger, graph=world.graph, audits=world.audits, health=world.health))
    assert TestClient(app).post("/api/v1/ledger/verification").json()["code"] == "unavailable"


def test_hostile_text_comes_back_unchanged_as_json_and_never_as_html(
    client: TestClient, world: Any, world_module: Any
) -> None:
    answer = client.get(f"/api/v1/claims/{world.claims['hostile']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["claim"]["text"] == world_module.HOSTILE


def test_openapi_has_real_schemas_and_examples(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    schemas = schema["components"]["schemas"]
    assert {"Evidence", "Verdict", "Claim", "RunView", "Problem", "WhyView"} <= set(schemas)
    assert schemas["RunRow"]["examples"]
    assert schemas["AuditOrder"]["examples"]
    for path, operations in schema["paths"].items():
        for verb, operation in operations.items():
            assert operation["summary"], (verb, path)
            good = next(answer for code, answer in operation["responses"].items() if code.startswith("2"))
            assert good["content"]["application/json"]["schema"], (verb, path)
            assert "application/problem+json" in operation["responses"]["404"]["content"]


def test_the_documentation_page_needs_nothing_from_outside(client: TestClient) -> None:
    answer = client.get("/api/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1:8787", "")
    assert "https://" not in answer.text
    assert "GET /api/v1/claims/{claim}/evidence" in answer.text
