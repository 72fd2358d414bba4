"""The site: built strictly, every page in its place, every link leads somewhere, nothing comes from another server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import LINK, PAGES, ROOT, prose, read

HEADING = re.compile(r"^#+ (.+)$", re.M)
# what a browser fetches by itself
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]* src="?(?:https?:)?//|<link[^>]* href="?(?:https?:)?//|@import"""
)


def test_the_site_is_built_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install mlim[docs]")
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        line, cwd=ROOT, env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    built = sorted(tmp_path.rglob("*.html"))
    assert {file.stem for file in built} >= {Path(page).stem for page in PAGES if page.startswith("docs/")}
    for file in (*built, *tmp_path.rglob("*.css")):
        found = FETCHED.search(re.sub(r'<link rel="?canonical[^>]*>', "", file.read_text("utf-8")))
        assert not found, f"{file.name}: {found and found[0]}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(prose(page)):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in _anchors(file.read_text("utf-8")), f"{page}: {link}"


def _anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_no_page_is_a_stub(page: str) -> None:
    text = read(page)
    assert text.startswith("# ") and len(text.split()) > 150, f"{page}: {len(text.split())} words"
    assert not re.search(r"\b(TODO|Lorem ipsum)\b", text)
    assert f"- {Path(page).name}" in (ROOT / "mkdocs.yml").read_text("utf-8"), f"{page} is not in mkdocs.yml's nav"
