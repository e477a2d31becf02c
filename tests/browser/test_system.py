"""The System page and the calls of a run in Chromium: numbers, keys, keyboard, hostile text, axe-core."""

from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from auditor.capture.redact import BUILT_IN
from auditor.views.assets import BUNDLE
from auditor.views.commands import Watermark

pytestmark = pytest.mark.browser
expect.set_options(timeout=15_000)

HOSTILE = "<img src=x onerror=window.hacked=1><b>shop</b>\u202e"


def open_system(page: Page, guarded: SimpleNamespace) -> None:
    page.goto("about:blank")
    page.goto(guarded.base + "#/system")
    expect(page.get_by_role("heading", name="System", level=1)).to_be_visible()


def sign_in(page: Page, guarded: SimpleNamespace, *scopes: str, project: str | None = None) -> None:
    token, _ = guarded.office.create(project, scopes, "the browser")
    answer = page.request.post(f"{guarded.base}api/v1/session", data={"key": token})
    assert answer.ok, answer.text()


def serious(page: Page, axe: str) -> list[Any]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (item["id"], item["help"], [node["target"] for node in item["nodes"]][:5])
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]


def sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"))


def test_watermarks_and_the_state_of_the_server(page: Page, guarded: SimpleNamespace) -> None:
    health = guarded.world.health
    health.trouble, health.notes, health.spool = ["the disk is full"], ["no key exists"], 3 * 1024**2
    health.marks = [
        Watermark(project="shop", accepted=2000, durable=1500, projected=1000, runs=40, evidence_attached=10),
        Watermark(project="quiet", accepted=0, durable=0, projected=0, runs=0, evidence_attached=0),
    ]
    open_system(page, guarded)
    picture = page.get_by_role("img", name="shop: 2,000 accepted, 1,500 durable, 1,000 projected")
    expect(picture).to_be_visible()
    widths = picture.evaluate("node => [...node.querySelectorAll('.fill')].map(fill => fill.style.width)")
    assert widths == ["100%", "75%", "50%", "25%"]
    expect(page.get_by_text("500 on the way into the ledger, 500 on the way into the graph")).to_be_visible()
    expect(page.get_by_text("nothing was recorded yet")).to_be_visible()
    expect(page.get_by_role("row", name="shop 2,000 1,500 1,000 40 10")).to_be_visible()
    expect(page.locator("main").get_by_text("the disk is full")).to_be_visible()
    expect(page.get_by_text("no key exists", exact=True)).to_be_visible()
    expect(page.get_by_text("3.0 MiB")).to_be_visible()
    expect(page.get_by_text("running, started again 2 times")).to_be_visible()
    expect(page.get_by_text("1 record behind")).to_be_visible()


def test_the_page_follows_and_says_when_the_server_is_gone(page: Page, guarded: SimpleNamespace) -> None:
    open_system(page, guarded)
    expect(page.get_by_role("row", name="default 9 8 7 3 2")).to_be_visible()
    guarded.world.health.marks = []
    expect(page.get_by_text("its project appears here")).to_be_visible()
    asked: list[str] = []
    page.route("**/api/v1/watermarks", lambda route: (asked.append(route.request.url), route.abort())[1])
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(page.get_by_text("less and less often")).to_be_visible()
    page.wait_for_timeout(5_000)
    assert len(asked) <= 3, "a server that does not answer is asked less often"
    page.unroute("**/api/v1/watermarks")
    expect(page.get_by_role("alert")).to_have_count(0, timeout=20_000)


def test_the_first_key_by_keyboard_is_shown_once_and_the_page_stays_in(page: Page, guarded: SimpleNamespace) -> None:
    open_system(page, guarded)
    expect(page.get_by_text("The first key closes the open door")).to_be_visible()
    page.get_by_label("For whom or what").focus()
    page.keyboard.type(HOSTILE)
    page.keyboard.press("Tab")
    for _ in range(4):  # past the project to the last scope, admin
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown = page.get_by_label("The new key")
    expect(shown).to_be_focused()
    token = shown.input_value()
    assert token.startswith("aud_")
    row = page.get_by_role("row").filter(has_text="<b>shop</b>⟦U+202E⟧")
    expect(row).to_contain_text("every project")
    page.wait_for_timeout(3_000)  # the polls of this and of the bar above go on with the new key
    expect(shown).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
    page.get_by_role("button", name="Done").click()
    expect(shown).to_have_count(0)
    assert token not in page.content()
    page.reload()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    assert token not in page.content()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


def test_copy_says_what_it_did(page: Page, guarded: SimpleNamespace) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, guarded, "admin")
    open_system(page, guarded)
    page.get_by_role("checkbox", name="read").check()
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("alert")).to_contain_text("The project is missing.")
    page.get_by_role("combobox", name="Project").fill("shop")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.get_by_label("The new key").input_value()


def test_revoking_asks_first(page: Page, guarded: SimpleNamespace) -> None:
    sign_in(page, guarded, "admin")
    _, key = guarded.office.create("shop", ["ingest"], HOSTILE)
    open_system(page, guarded)
    ask = page.get_by_role("button", name=f"Revoke key {key.id}")
    ask.focus()
    page.keyboard.press("Enter")
    sure = page.get_by_role("button", name=f"Yes, revoke {key.id}")
    expect(sure).to_be_focused()
    page.get_by_role("button", name="Keep it").click()
    expect(ask).to_be_focused()
    assert guarded.office.key(key.id).revoked is None
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text=key.id)).to_contain_text("revoked")
    assert guarded.office.key(key.id).revoked is not None
    assert page.evaluate("window.hacked") is None


def test_settings_of_a_project(page: Page, guarded: SimpleNamespace) -> None:
    sign_in(page, guarded, "admin")
    open_system(page, guarded)
    page.get_by_label("Set another project up").fill("shop")
    page.keyboard.press("Enter")
    page.locator("summary").filter(has_text="fails open").click()
    page.get_by_label("it is refused with 503").check()
    page.get_by_role("checkbox", name="email").check()
    page.get_by_role("button", name="Add a pattern of your own").click()
    page.get_by_label("Rule", exact=True).fill("invoice")
    page.get_by_label("Pattern", exact=True).fill("(a|b)*")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Pattern", exact=True).fill(r"INV-\d{6,10}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved; it counts")).to_be_visible()
    expect(page.locator("summary").filter(has_text="fails closed")).to_contain_text("email")
    project = guarded.office.ring.project("shop")
    assert project.fail_closed and set(project.redaction) == {"keys", "tokens", "email"}
    assert project.patterns == {"invoice": r"INV-\d{6,10}"}


def test_others_are_told_why_they_see_no_keys(page: Page, guarded: SimpleNamespace) -> None:
    sign_in(page, guarded, "read", project="shop")
    open_system(page, guarded)
    expect(page.get_by_text("shown to keys with the scope admin")).to_be_visible()
    expect(page.get_by_role("button", name="Make a key")).to_have_count(0)


def test_every_built_in_rule_has_words() -> None:
    words = (BUNDLE.parent / "src" / "lib" / "words.ts").read_text(encoding="utf-8")
    assert [name for name in BUILT_IN if f'{{ name: "{name}", finds:' not in words] == []


def test_calls_of_a_run(page: Page, guarded: SimpleNamespace) -> None:
    page.goto(guarded.base + "#/run/priced")
    calls = page.get_by_role("region", name="Model calls")
    expect(calls.get_by_role("row")).to_have_count(6)
    failed, retry, unpriced, cancelled, crashed = calls.get_by_role("row").all()[1:]
    expect(failed).to_contain_text("status 429")
    expect(retry).to_contain_text("repeats call 1")
    for text in ("413 ms", "3.25 s", "1,200 in 345 out", "7 places masked", "<script>"):
        expect(retry).to_contain_text(text)
    expect(retry.locator(".tokens")).to_have_attribute(
        "title", "input 1,200, of which 1,000 read from cache\noutput 345, of which 300 reasoning"
    )
    expect(retry.locator(".price")).to_have_attribute(
        "title", "$0.000000000000000123 by price table list-2026-11, entry gpt-4o*"
    )
    expect(unpriced).to_contain_text("no price")
    expect(unpriced).to_contain_text("continues call 2")
    expect(cancelled).to_contain_text("client cancelled")
    expect(cancelled).to_contain_text("not given")
    expect(crashed).to_contain_text("crashed")
    retry.get_by_role("button", name="repeats call 1").click()
    expect(page.get_by_role("row", selected=True)).to_have_attribute("data-step", guarded.world.steps["failed"])
    facts = page.locator(".facts")
    expect(facts).to_contain_text("1,210 in 350 out")
    expect(facts).to_contain_text("3 calls gave none")
    expect(facts).to_contain_text("no price for 1 call")
    page.locator(f"[data-step='{guarded.world.steps['priced answer']}']").click()
    said = page.get_by_role("region", name="Message of this step")
    for mark in ("summary", "signed", "redacted by the provider"):
        expect(said.get_by_text(mark, exact=True).first).to_be_visible()
    assert page.evaluate("window.hacked") is None


def test_the_list_of_runs_shows_tokens_and_cost(page: Page, guarded: SimpleNamespace) -> None:
    page.goto(guarded.base)
    row = page.get_by_role("row").filter(has_text="Plan the week")
    expect(row).to_contain_text("1,210 in 350 out +3?")
    expect(row).to_contain_text("2 calls without an answer")
    expect(row.locator(".price")).to_have_attribute("title", (
        "$0.000000000000000123 by price table list-2026-11\nno price for 1 of 5 calls\nno usage from 3 of 5 calls"
    ))  # fmt: skip


@pytest.mark.parametrize("width", [1440, 420])
@pytest.mark.parametrize("address", ["#/system", "#/run/priced", ""])
def test_axe_finds_nothing_serious(
    page: Page, guarded: SimpleNamespace, axe: str, width: int, address: str
) -> None:
    sign_in(page, guarded, "admin")
    guarded.office.create("shop", ["ingest", "read"], HOSTILE)
    guarded.world.health.trouble = [HOSTILE]
    guarded.world.health.marks = [
        Watermark(project=HOSTILE, accepted=9, durable=8, projected=7, runs=3, evidence_attached=2)
    ]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(guarded.base + address)
    landmark = {"#/system": "Set another project up", "#/run/priced": "Model calls", "": "Plan the week"}[address]
    expect(page.get_by_text(landmark).first).to_be_visible()
    for closed in page.locator("summary").all():
        closed.click()
    page.wait_for_timeout(300)
    assert serious(page, axe) == []
    assert not sideways(page), "the page must not grow sideways"
    assert page.evaluate("window.hacked") is None
