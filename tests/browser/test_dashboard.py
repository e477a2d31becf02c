"""The dashboard as people meet it: in Chromium, in both themes, with a keyboard, with hostile text, with axe-core."""

from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser
expect.set_options(timeout=15_000)


def open_page(page: Page, site: SimpleNamespace, address: str) -> None:
    page.goto("about:blank")
    page.goto(site.base + address)


def test_from_the_list_to_a_verdict_and_its_interval(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, "")
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    page.get_by_role("link", name="How much is one lamp").click()
    row = page.get_by_role("row").filter(has_text="depends on lookup_price's price")
    expect(row).to_contain_text("relied on")
    expect(row).to_contain_text("8.53 nats [8.11, 8.95]")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The answer “37.5” depends on lookup_price's price.")
    expect(page.get_by_text("the answer followed the swapped value in 32 of 32 draws")).to_be_visible()
    for heading in (
        "What happened when the source was changed", "Attribution", "Attention", "Features", "Training documents",
        "What was not checked", "Is the evidence itself sound?", "Replay and redo", "Where the decision came from",
    ):  # fmt: skip
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.get_by_text("read, not relied on", exact=True)).to_be_visible()
    expect(page.get_by_text("decision followed the swap in 100 %")).to_be_visible()
    expect(page.get_by_text("Deleting a JSON value leaves no valid tool output.").first).to_be_visible()
    expect(page.get_by_text("Resampling the whole run from the tool call on.")).to_be_visible()


def test_attribution_marks_the_right_characters_behind_multibyte_text(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, f"#/claim/{site.world.claims['relied']}")
    section = page.locator("section").filter(has=page.get_by_role("heading", name="Attribution"))
    expect(section.locator("mark")).to_have_text(
        ["prices", "lamp", "€", "cash", "green", "lamp", "price", "37.5", "12", "37.5"]
    )
    section.get_by_role("button", name="integrated gradients").click()
    expect(section.get_by_text("+8.35")).to_be_visible()


def test_why_this_step(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, f"#/run/{site.lamp}")
    page.get_by_role("link", name="Why this step? answer 7").click()
    expect(page.get_by_role("heading", name="Why this step?")).to_be_visible()
    expect(page.get_by_text("7 earlier things, connected by 12 relations: 2 causal (tested)")).to_be_visible()
    for grade in ("causal", "recorded", "inferred", "read", "stated"):
        expect(page.get_by_role("button", name=grade)).to_be_visible()
    expect(page.get_by_text("8.53 [8.11, 8.95] nats (ablation@1, swap)").first).to_be_visible()
    expect(page.locator("path.edge.causal")).to_have_count(2)
    page.get_by_role("button", name="causal").click()
    expect(page.locator("path.edge.causal")).to_have_count(0)
    page.get_by_role("link", name="tool result").click()
    expect(page.get_by_text("4 earlier things")).to_be_visible()


def test_steps_by_keyboard_in_a_run_of_700(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, "#/run/long")
    grid = page.get_by_role("treegrid")
    expect(grid).to_have_attribute("aria-rowcount", "701")
    assert page.locator("[data-step]").count() < 60, "only the rows in view may exist"
    page.locator("[data-step]").first.click()
    page.locator("[data-step]").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("row", selected=True)).to_contain_text("n1")
    page.keyboard.press("End")
    expect(page.get_by_role("row", selected=True)).to_have_attribute("aria-rowindex", "701")
    page.keyboard.press("Home")
    # the row that had the focus has left the window: the next key counts once the first row has it
    expect(page.locator("[role=row][aria-rowindex='2']:focus")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(grid).to_have_attribute("aria-rowcount", "2")
    page.keyboard.press("ArrowRight")
    expect(grid).to_have_attribute("aria-rowcount", "701")


def test_an_audit_is_started_and_watched(page: Page, site: SimpleNamespace) -> None:
    site.world.audits.views.clear()
    open_page(page, site, "#/run/small-007")
    page.get_by_role("button", name="Audit this run").click()
    expect(page.get_by_role("heading", name="Audit in progress")).to_be_visible()
    expect(page.get_by_text("swapping tool output")).to_be_visible()
    expect(page.get_by_text("12/32")).to_be_visible()
    assert site.world.audits.orders[-1][0] == "small-007"
    site.world.audits.views["small-007"] = []
    page.goto("about:blank")


def test_filters_narrow_the_list(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, "")
    expect(page.locator("tbody tr")).to_have_count(28)
    page.get_by_label("Search runs").fill("lamp")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Verdict", exact=True).select_option("untested")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_hostile_text_is_shown_and_nothing_else_happens(page: Page, site: SimpleNamespace) -> None:
    for address in ("", "#/run/hostile%2F%3Cb%3E%26%22'%20run", f"#/claim/{site.world.claims['hostile']}"):
        open_page(page, site, address)
        expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_visible()
        expect(page.get_by_text("⟦U+202E⟧evil").first).to_be_attached()
        page.wait_for_timeout(200)
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (
            "the page must not grow sideways"
        )


def test_missing_numbers_say_why(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, f"#/claim/{site.world.claims['weights_unavailable']}")
    expect(page.get_by_text("nobody has the weights of this model here").first).to_be_visible()
    open_page(page, site, "#/run/reasons")
    expect(page.get_by_text("undetermined: sentinel failed")).to_be_visible()


def test_unknown_things_are_said_to_be_unknown(page: Page, site: SimpleNamespace) -> None:
    with page.expect_response("**/runs/none"):
        open_page(page, site, "#/run/none")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("No run is called 'none'.")
    expect(told).not_to_contain_text("/api/")
    told.get_by_role("link", name="Go to the list of runs").click()
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()


def test_a_decision_in_a_tool_call_is_called_a_tool_argument(page: Page, site: SimpleNamespace) -> None:
    open_page(page, site, f"#/run/{site.lamp}")
    row = page.get_by_role("row").filter(has_text="The call of lookup_price follows from the thought.")
    expect(row).to_contain_text("thought → tool argument")

    def named(route: Route) -> None:
        answer = route.fetch()
        view = answer.json()
        view["claim"]["target"]["pointer"] = "/order/item~1s"
        route.fulfill(response=answer, json=view)

    page.route(f"**/api/v1/claims/{site.world.claims['decorative']}", named)
    row.get_by_role("link").click()
    expect(page.get_by_text("thought → tool argument “order.item/s”")).to_be_visible()


def off_screen(page: Page, cells: str) -> list[str]:
    """Texts of the cells that a reader does not see without scrolling sideways."""
    told = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.textContent)"
    return list(page.locator(cells).evaluate_all(told))


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_of_a_run_lies_off_the_screen(page: Page, site: SimpleNamespace, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, site, "")
    row = page.get_by_role("row").filter(has_text="How much is one lamp")
    expect(row).to_contain_text("6.9 s")
    assert off_screen(page, "tbody td") == []
    plain = page.get_by_role("row").filter(has_text="What is 12 + 1?").bounding_box()
    assert plain and (width < 1280 or plain["height"] < 70), "a run that says little takes two lines"

    open_page(page, site, f"#/run/{site.lamp}")
    claim = page.get_by_role("link", name="depends on lookup_price's price").first
    expect(claim).to_be_visible()
    assert off_screen(page, ".facts > *, .claims td") == []
    assert page.locator(".claims .what").first.evaluate("cell => cell.getBoundingClientRect().width") > 200
    tiles = page.locator(".facts > *").evaluate_all(
        "all => { const rows = {}; for (const one of all) { const box = one.getBoundingClientRect();"
        " rows[box.top] = Math.max(rows[box.top] || 0, box.right) } return Object.values(rows).map(Math.round) }"
    )
    assert len(set(tiles)) == 1, "every row of tiles is full"
    open_page(page, site, f"#/claim/{site.world.claims['relied']}")
    expect(page.get_by_text("decision followed the swap in 100 %")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


def serious(page: Page, axe: str) -> list[Any]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (item["id"], item["help"], [node["target"] for node in item["nodes"]][:5])
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    "name", ["list", "run", "long run", "claim", "contradicted", "reason", "why", "methods", "hostile"]
)
def test_axe_finds_nothing_serious(page: Page, site: SimpleNamespace, axe: str, name: str) -> None:
    claims, steps = site.world.claims, site.world.steps
    address, landmark = {
        "list": ("", "How much is one lamp"),
        "run": (f"#/run/{site.lamp}", "According to lookup_price"),
        "long run": ("#/run/long", "n27"),
        "claim": (f"#/claim/{claims['relied']}", "attention looked there"),
        "contradicted": (f"#/claim/{claims['contradicted']}", "attention looked there"),
        "reason": (f"#/claim/{claims['budget']}", "ran out"),
        "why": (f"#/why/{steps['final']}", "hardly moved"),
        "methods": ("#/methods", "Blind spots"),
        "hostile": (f"#/claim/{claims['hostile']}", "contradicted"),
    }[name]
    open_page(page, site, address)
    expect(page.get_by_text(landmark).first).to_be_visible()
    page.wait_for_timeout(300)
    assert serious(page, axe) == []
