from pathlib import Path

from workbench.catalog.dialects.doc import page
from workbench.catalog.dialects.known import DIALECTS

PAGE = Path(__file__).parents[3] / "docs" / "feeds.md"
FEEDS = Path(__file__).parents[1] / "feeds"


def test_the_page_is_made_from_the_dialects() -> None:
    assert PAGE.read_text() == page(), "run: python -m workbench.catalog.dialects.doc > docs/feeds.md"


def test_names_differ_and_signs_can_tell_their_dialect() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
    for dialect in DIALECTS:
        assert not dialect.signs or sum(w for w in dialect.signs.values() if w > 0) >= 1, dialect.name
