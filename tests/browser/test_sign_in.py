"""Signing in where keys exist: what a wrong key is told, what a key of one project sees, and where the key stays."""

import time
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

from auditor.ledger.protocol import Entry
from auditor.views.api.gate import COOKIE, COOKIE_SECONDS
from auditor.views.commands import Watermark

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("page", ["light"], indirect=True)]
expect.set_options(timeout=15_000)
SIGN_IN = "Sign in"


def share(guarded: SimpleNamespace, run: str, project: str) -> None:
    """A project of its own gets the same run, by another name."""
    ledger = guarded.world.ledger
    (body,) = [
        dict(one.record.body) for one in ledger.records(kinds=["structure"])
        if one.record.body["run"] == "priced"
    ]  # fmt: skip
    ledger.append([Entry(kind="structure", source="intake", project=project, body=body | {"run": run})])


def kept(page: Page) -> str:
    """All that a script of this page, or of the next one, could read of what the browser keeps."""
    told = page.evaluate(
        "async () => JSON.stringify([location.href, document.cookie, document.documentElement.outerHTML,"
        " {...localStorage}, {...sessionStorage}, history.state, window.name, document.referrer,"
        " (await indexedDB.databases()).map(one => one.name), await caches.keys(),"
        " [...document.querySelectorAll('input')].map(one => one.value),"
        " performance.getEntries().map(one => one.name)])"
    )
    return str(told)


def offer(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name=SIGN_IN).click()


def test_a_wrong_key_says_so_and_a_right_one_shows_its_project(page: Page, guarded: SimpleNamespace) -> None:
    share(guarded, "shops-own", "shop")
    share(guarded, "banks-own", "bank")
    guarded.world.health.marks = [
        Watermark(project=name, accepted=9, durable=8, projected=7, runs=3, evidence_attached=2)
        for name in ("shop", "bank")
    ]
    sender, _ = guarded.office.create("shop", ["ingest"])
    key, made = guarded.office.create("shop", ["read"], "the browser")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(guarded.base)
    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()
    expect(page.get_by_text("Plan the week")).to_have_count(0)
    expect(page.get_by_text("sign in to see the server's state")).to_be_visible()
    expect(page.get_by_text("unreachable")).to_have_count(0)
    assert page.get_by_label("Key", exact=True).get_attribute("type") == "password"
    for wrong, says in (
        ("aud_000000000000_wrong", "This key is not known."), (sender, "This key has not the scope read."),
    ):  # fmt: skip
        offer(page, wrong)
        expect(page.get_by_role("alert")).to_contain_text(says)
        expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()
        assert page.context.cookies() == []

    offer(page, f" {key} ")
    run = page.get_by_role("link", name="Plan the week")
    expect(run).to_have_count(1)
    assert "shops-own" in (run.get_attribute("href") or "")
    expect(page.get_by_role("heading", name=SIGN_IN)).to_have_count(0)
    page.goto(f"{guarded.base}#/run/banks-own")
    expect(page.get_by_role("alert")).to_contain_text("No run is called")
    page.goto(f"{guarded.base}#/run/priced")
    expect(page.get_by_role("alert")).to_contain_text("No run is called")
    page.goto(f"{guarded.base}#/system")
    expect(page.get_by_role("row", name="shop 9 8 7 3 2")).to_be_visible()
    expect(page.get_by_text("bank")).to_have_count(0)

    secret = key.split("_", 2)[2]
    assert secret not in kept(page)
    assert not [url for url in asked if secret in url or "wrong" in url]
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (COOKIE, True, "Strict", "/api")
    assert 0 < cookie["expires"] - time.time() <= COOKIE_SECONDS

    guarded.office.revoke(made.id)
    page.goto("about:blank")
    page.goto(guarded.base)
    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()
    expect(page.get_by_text("Plan the week")).to_have_count(0)


def test_signing_in_works_by_keyboard_and_lasts_over_a_reload(page: Page, guarded: SimpleNamespace) -> None:
    key, _ = guarded.office.create(None, ["admin"])
    page.goto(f"{guarded.base}#/run/priced")
    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()
    page.get_by_label("Key", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#key').validity.valueMissing"), "nothing is no key"
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Model calls")).to_be_visible()  # where one wanted to go
    page.reload()
    expect(page.get_by_role("region", name="Model calls")).to_be_visible()
    assert key.split("_", 2)[2] not in kept(page)
