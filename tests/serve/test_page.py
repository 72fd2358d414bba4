"""The search page in a real browser, wide and narrow."""

import re
from pathlib import Path

import pytest

from tests.serve.browser import CHROMIUM, Page, browsing
from tests.serve.fake import Answers, Index, png, serving
from workbench.serve.app import make_app
from workbench.serve.limits import Limits
from workbench.serve.service import Service

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed here")
TITLES = "[...document.querySelectorAll('#found h2')].map(e => e.textContent)"
LOADED = "[...document.querySelectorAll('#found img')].every(e => e.complete && e.naturalWidth)"


@pytest.fixture(scope="module")
def url():
    with serving(make_app(Service(Answers(), Index(), Limits()))) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with browsing() as page:
        yield page


@pytest.fixture
def page(browser: Page, url: str):
    browser.requested.clear()
    browser.errors.clear()
    yield browser
    assert all(asked.startswith((url, f"blob:{url}", "data:")) for asked in browser.requested)


@pytest.fixture
def green(tmp_path: Path) -> Path:
    (tmp_path / "green.png").write_bytes(png("green"))
    return tmp_path / "green.png"


@pytest.mark.parametrize("width", [1280, 390])
def test_type_drop_choose_and_see(page, url, green, width):
    page.open(url, width)
    page.until("document.querySelector('#about').textContent.startsWith('3 listings')")
    page.type("red mug")  # the field has the focus
    page.press("Enter")
    page.until(f"{TITLES}.length === 3 && {LOADED}")
    assert page.run(TITLES) == ["Red mug", "Green <b>kite</b>", "(no title)"]  # as text, not as HTML
    page.run("document.querySelector('#words').value = ''")
    page.drop(green, width // 2, 500)
    page.until(f"{TITLES}[0].startsWith('Green') && !document.querySelector('#chosen').hidden")
    assert page.run("document.querySelector('.score').textContent") == "1.000"
    page.run("document.querySelector('#remove').click()")
    assert page.run("document.querySelector('#chosen').hidden")
    page.choose("#file", green)
    page.until(f"!document.querySelector('#chosen').hidden && {TITLES}[0].startsWith('Green')")
    assert page.run("document.documentElement.scrollWidth") == width  # nothing sticks out
    assert page.errors == []


def test_the_keyboard_reaches_all_and_all_has_a_name(page, url, green):
    page.open(url, 1280)
    page.choose("#file", green)
    page.until(f"{TITLES}.length === 3")
    reached = []
    for _ in range(4):
        reached.append(page.run("document.activeElement.id || document.activeElement.type"))
        page.press("Tab")
    assert reached == ["words", "file", "submit", ""] or reached[:3] == ["words", "file", "submit"]
    names = page.labels()
    assert {
        ("searchbox", "Words"),
        ("button", "Choose a picture"),
        ("button", "Remove the picture"),
        ("button", "Search"),
        ("image", "Your picture: green.png"),
        ("list", "Listings found"),
        ("meter", "Score 1.000"),
        ("status", ""),
    } <= names
    assert not [role for role, name in names if role in ("button", "searchbox", "image", "heading") and not name]


def test_errors_and_empty_states_are_told(page, url, tmp_path):
    (tmp_path / "a.png").write_text("hallo")
    page.open(url, 1280)
    assert "drop a picture" in page.run("document.querySelector('.hint').textContent")
    page.press("Enter")
    page.until("document.querySelector('#said').textContent.startsWith('Type some words')")
    page.choose("#file", tmp_path / "a.png")
    page.until("document.querySelector('#said').classList.contains('wrong')")
    assert page.run("document.querySelector('#said').textContent") == "Can't search: a text file, not a picture."
    with serving(make_app(Service(Answers(), None, Limits()))) as other:
        page.open(other, 390)
        page.until("document.querySelector('#said').textContent.includes('--index')")
        page.requested.clear()


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_by_day_and_by_night(page, url, dark):
    page.dark(dark)
    page.open(url, 1280)
    colours = page.run("['color', 'backgroundColor'].map(n => getComputedStyle(document.body)[n])")
    text, ground = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in colours)
    assert abs(text - ground) > 0.7
    assert (ground < 0.2) == dark


def test_the_page_of_the_api_is_drawn_without_any_other_server(page, url):
    page.open(f"{url}/docs", 1280)
    page.until("document.querySelectorAll('.opblock').length === 8")
    assert page.errors == []
