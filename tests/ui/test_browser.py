"""The page in Chromium: every view, an action, live updates, both widths and both colour schemes.

Skipped where there is no Chromium. On Debian: `apt-get install chromium`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import WORKFLOWS, Shop, open_shop, wait_until
from traction.ui import Page, Site
from traction.ui.listening import serving_page

playwright = pytest.importorskip("playwright.sync_api", reason="install playwright: pip install playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED: no Chromium; on Debian: apt-get install chromium"),
    # The first start of a browser takes a while on a busy machine.
    pytest.mark.timeout(300),
]

SHOTS = os.environ.get("TRACTION_SCREENSHOTS", "")
"""A folder for pictures of the page, for people to look at."""

SHOWN = ("order-130", "order-117", "hostile", "pack-40")
VIEWS = ("/execution", "/execution/tree", "/execution/graph", "/execution/events")


class Window:
    """A window of the browser, which records what goes wrong."""

    def __init__(self, browser: Any, url: str, width: int = 1280, scheme: str = "light") -> None:
        self.url, self.name = url, f"{scheme}-{width}"
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page = context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._check_request)

    def _check_request(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.problems.append(f"a request to {request.url}")

    def visit(self, address: str) -> Any:
        self.page.goto(self.url + address)
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    with serving_page(Page(Site(backend=shop.backend, workflows=WORKFLOWS, may_write=True))) as url:
        yield url


def list_addresses(shop: Shop) -> dict[str, str]:
    views = {f"{id}{view.replace('/', '-')}": shop.address(id, view) for id in SHOWN for view in VIEWS}
    return views | {
        "list": "/",
        "list-filtered": "/?status=failed&started=1d",
        "tasks": "/tasks",
        "types": "/types",
        "step": shop.address("order-117", "/execution/step", step="charge-1"),
        "past": shop.address("order-1", at=6),
        "unfolded": shop.address("pack-40", unfold="1."),
        "signal": shop.address("order-130", "/execution/act/signal"),
        "terminate": shop.address("order-130", "/execution/act/terminate"),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_fits_and_reports_no_errors(browser: Any, shop: Shop, url: str, width: int, scheme: str) -> None:
    window = Window(browser, url, width, scheme)
    for name, address in list_addresses(shop).items():
        page = window.visit(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("document.querySelector('h1').getBoundingClientRect().right") <= width, name
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{window.name}.png", full_page=True)
    assert window.problems == []


def test_text_of_others_runs_no_script(browser: Any, shop: Shop, url: str) -> None:
    window = Window(browser, url)
    dialogs: list[str] = []
    window.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for view in VIEWS:
        page = window.visit(shop.address("hostile", view))
        assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert dialogs == []
    assert window.problems == []


NAMELESS = """[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
  .filter(e => !e.textContent.trim() && !e.getAttribute('aria-label') && !(e.labels && e.labels.length))
  .map(e => e.outerHTML)"""
"""The controls without a name."""


def test_every_control_has_a_name_and_the_page_has_landmarks(browser: Any, shop: Shop, url: str) -> None:
    window = Window(browser, url)
    for address in list_addresses(shop).values():
        page = window.visit(address)
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate("['header', 'nav', 'main', 'footer'].every(n => document.querySelector(n))")
        assert page.evaluate("document.querySelectorAll('h1').length") == 1
        assert page.evaluate("document.documentElement.lang") == "en"
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const read = (colours) => { canvas.clearRect(0, 0, 1, 1);
    for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const spread = (v) => v / 255 <= .03928 ? v / 3294.6 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.map(spread);
    return .2126 * r + .7152 * g + .0722 * b; };
  const bad = [];
  for (const e of document.querySelectorAll('main *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    if (e.tagName === 'OPTION' || e.classList.contains('hidden')) continue;
    const behind = []; for (let p = e; p; p = p.parentElement) behind.unshift(getComputedStyle(p).backgroundColor);
    const back = read(['white', ...behind]);
    const [a, b] = [light(back), light(read([`rgb(${back})`, getComputedStyle(e).color]))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.trim().slice(0, 30)}`);
  }
  return bad;
}"""
"""The elements whose text has a contrast below 4.5 to 1 (WCAG 2, level AA)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Any, shop: Shop, url: str, scheme: str) -> None:
    window = Window(browser, url, scheme=scheme)
    for name in ("list", "order-130-execution", "order-117-execution", "step", "pack-40-execution-tree", "terminate"):
        page = window.visit(list_addresses(shop)[name])
        assert page.evaluate(CONTRAST) == [], name


def test_the_keyboard_reaches_the_content_and_moves_through_time(browser: Any, shop: Shop, url: str) -> None:
    page = Window(browser, url).visit(shop.address("order-1"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#at")
    with page.expect_navigation():
        page.keyboard.press("ArrowLeft")
    assert re.search(r"at=\d+", page.url)
    assert "This was so at event" in page.inner_text("main")


def test_times_are_local_with_utc_in_the_title(browser: Any, shop: Shop, url: str) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(url + shop.address("order-1"))
    shown, title = page.evaluate("(e => [e.textContent, e.title])(document.querySelector('time'))")
    minutes = int(title[14:16])
    assert title.endswith(" UTC")
    assert int(shown[-5:-3]) == (minutes + 30) % 60


def test_a_signal_is_sent_and_the_page_follows(browser: Any, shop: Shop, url: str) -> None:
    watching = Window(browser, url)
    page = watching.visit(shop.address("order-130"))
    events = int(page.inner_text(".tabs small"))
    page.evaluate("document.body.dataset.same = 'yes'")
    acting = Window(browser, url)
    form = acting.visit(shop.address("order-130"))
    form.click(".acts >> text=Signal")
    form.fill("[name=field-by]", "Ann")
    form.click("text=Continue")
    assert "Send a signal to order-130?" in form.inner_text("h1")
    form.click("button:has-text('Send')")
    assert "The signal was sent." in form.inner_text("main")
    playwright.expect(page.locator(".tabs small")).not_to_have_text(str(events), timeout=20_000)
    assert page.evaluate("document.body.dataset.same") == "yes"
    assert watching.problems == acting.problems == []


def test_a_list_follows_without_jumping(browser: Any, shop: Shop, url: str) -> None:
    window = Window(browser, url, width=390)
    page = window.visit("/?status=open")
    page.evaluate("window.scrollTo(0, 100)")
    before = page.evaluate("scrollY")
    shop.handles["idle-1"].terminate("a test")
    wait_until(shop.handles["idle-1"], lambda: shop.handles["idle-1"].status() == "TERMINATED")
    page.locator("code", has_text="idle-1").wait_for(state="detached", timeout=20_000)
    assert page.evaluate("scrollY") == before > 0
    assert window.problems == []
