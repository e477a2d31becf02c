"""The committed bundle: served with the right types and policy, and not older than its sources."""

import hashlib
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from auditor.errors import BadSetup
from auditor.views.assets import BUNDLE, mount_dashboard

SOURCES = BUNDLE.parent


@pytest.fixture
def pages() -> TestClient:
    app = FastAPI()
    mount_dashboard(app)
    return TestClient(app)


def digest_of_sources() -> str:
    """The same digest as dashboard/scripts/stamp.mjs writes at build time."""
    names = ["index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts"]
    files = [SOURCES / name for name in names] + [path for path in (SOURCES / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(SOURCES).as_posix() for path in files):
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_bundle_is_as_new_as_its_sources() -> None:
    written = (BUNDLE / "sources.sha256").read_text().strip()
    assert written == digest_of_sources(), "run: npm ci && npm run build in auditor/views/dashboard"


def test_the_lock_names_no_host() -> None:
    assert '"resolved"' not in (SOURCES / "package-lock.json").read_text()


def test_no_source_renders_recorded_text_as_html() -> None:
    for path in (SOURCES / "src").rglob("*"):
        if path.is_file():
            text = path.read_text()
            for word in ("{@html", "innerHTML", "insertAdjacentHTML", "outerHTML", "eval("):
                assert word not in text, f"{path.name} uses {word}"


def test_the_page_is_revalidated_and_runs_only_our_script(pages: TestClient) -> None:
    answer = pages.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.text.count("<script") == 1


def test_hashed_files_are_cached_with_their_types(pages: TestClient) -> None:
    for path in (BUNDLE / "assets").iterdir():
        answer = pages.get(f"/assets/{path.name}")
        expected = {".js": "text/javascript", ".css": "text/css"}[path.suffix]
        assert answer.headers["content-type"].startswith(expected)
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing.js", "..%2Findex.html", "%2e%2e%2f%2e%2e%2fassets.py"])
def test_nothing_else_is_served(pages: TestClient, name: str) -> None:
    assert pages.get(f"/assets/{name}").status_code == 404


def test_a_missing_bundle_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadSetup, match="npm run build"):
        mount_dashboard(FastAPI(), tmp_path)
