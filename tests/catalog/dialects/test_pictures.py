"""Every way to name pictures in a cell, and the fast path against its slow twin."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.dialects.pictures import fill_template, names_in, split_pictures

CELLS = {
    # one name
    "a.jpg": ["a.jpg"],
    " images/My photo, red.jpg ": ["images/My photo, red.jpg"],
    "https://x.test/c_fill,w_200,h_300/a.jpg": ["https://x.test/c_fill,w_200,h_300/a.jpg"],
    "https://x.test/a.jpg?crop=1,2,3;v=4": ["https://x.test/a.jpg?crop=1,2,3;v=4"],
    "https://x.test/a.jpg?w=1&amp;h=2": ["https://x.test/a.jpg?w=1&h=2"],
    "//cdn.test/x.jpg": ["https://cdn.test/x.jpg"],
    "/media/x.jpg": ["/media/x.jpg"],
    "data:image/png;base64,iVBORw0KGgo=": ["data:image/png;base64,iVBORw0KGgo="],
    "https://x.test/a.jpg?f=&quot;n&quot;,&quot;v&quot;,2": ["https://x.test/a.jpg?f=&quot;n&quot;,&quot;v&quot;,2"],
    # several
    "a.jpg,, b.jpg;": ["a.jpg", "b.jpg"],
    "https://s.test/a.jpg, https://s.test/b\\,2.jpg": ["https://s.test/a.jpg", "https://s.test/b,2.jpg"],
    "https://s.test/w_2,h_3/a,https://s.test/b": ["https://s.test/w_2,h_3/a", "https://s.test/b"],
    "/l/a/l2.jpg,/l/a/l3.jpg": ["/l/a/l2.jpg", "/l/a/l3.jpg"],
    "r1.jpg|r2.JPG;r3.png,r4.webp": ["r1.jpg", "r2.JPG", "r3.png", "r4.webp"],
    "https://s.test/1;https://s.test/2|https://s.test/3": [f"https://s.test/{n}" for n in (1, 2, 3)],
    "https://s.test/1 https://s.test/2\nhttps://s.test/3": [f"https://s.test/{n}" for n in (1, 2, 3)],
    "//a.test/1.jpg,//a.test/2.jpg": ["https://a.test/1.jpg", "https://a.test/2.jpg"],
    "Oak stool.jpg, Oak stool, back.jpg": ["Oak stool.jpg, Oak stool, back.jpg"],  # cut or not: nobody can tell
    "61eFgH+a, 71bc-def": ["61eFgH+a", "71bc-def"],
    # lists and objects
    '["https://a.test/1,2.jpg", "b c.jpg"]': ["https://a.test/1,2.jpg", "b c.jpg"],
    '["http://i.test/a.jpeg", "http://i.test/b.jpeg"]': ["http://i.test/a.jpeg", "http://i.test/b.jpeg"],
    "['a.jpg', 'b.jpg']": ["a.jpg", "b.jpg"],
    "['a.jpg' 'b.jpg']": ["a.jpg", "b.jpg"],
    "[a.jpg, b.jpg]": ["a.jpg", "b.jpg"],
    "{https://a.test/1.jpg,https://a.test/2.jpg}": ["https://a.test/1.jpg", "https://a.test/2.jpg"],
    '[{"url": "a"}, {"src": "b"}, {"path": "c"}]': ["a", "b", "c"],
    '[{"thumb":"t","large":"l","hi_res":null,"variant":"PT01"},{"large":"m","hi_res":"h","variant":"MAIN"}]': [
        "h",
        "l",
    ],
    '{"hi_res":[null,"h"],"large":["l","m"],"thumb":["t","u"],"variant":["PT01","MAIN"]}': ["h", "l"],
    "{'hi_res': array([None, 'h.jpg'], dtype=object),\n 'large': array(['l.jpg', 'm.jpg'],\n      dtype=object)}": [
        "l.jpg",
        "h.jpg",
    ],
    '{"1": {"url": "x"}, "2": {"url": "y"}}': ["x", "y"],
    # inside a container
    "00000.tar::sku1.jpg": ["00000.tar::sku1.jpg"],
    "images.zip::a, b.jpg": ["images.zip::a, b.jpg"],
    "t.parquet::17::image, t.parquet::17::back": ["t.parquet::17::image", "t.parquet::17::back"],
    # none, and twice
    "a.jpg,no_selection,a.jpg,b.jpg,": ["a.jpg", "b.jpg"],
    **{cell: [] for cell in ("", " ", "no_selection", "None", "nan", "-", "N/A", "[]", '[""]', "{}", "[null]", '""')},
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_names_pictures(cell: str) -> None:
    assert names_in(cell) == CELLS[cell]


def test_the_fast_path_reads_as_the_slow_twin() -> None:
    cells = pl.Series("picture", [None, *CELLS])
    found = split_pictures(cells)
    assert found.name == "picture" and found.dtype == pl.List(pl.String)
    assert found.to_list() == [[], *CELLS.values()]


NAMES = st.sampled_from(
    ["a.jpg", "b c.PNG", "https://x.test/1.jpg", "https://x.test/w_1,h_2/a", "//x.test/a.gif", "/m/a", "a"]
)
MARKS = st.sampled_from([",", ", ", "|", ";", "\n", " ", "&amp;", "\\,", '"', "[", "]", "::", "no_selection", ""])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.one_of(NAMES, MARKS), max_size=7).map("".join), min_size=1))
def test_the_twins_agree_on_any_cell(cells: list[str]) -> None:
    assert split_pictures(pl.Series(cells)).to_list() == [names_in(cell) for cell in cells]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("[]{}()'\"\\:,;|=>\n\0 aé1.")))
def test_no_cell_is_too_broken(cell: str) -> None:
    assert all(isinstance(name, str) and name for name in names_in(cell))


def test_deep_nesting_is_no_trap() -> None:
    for cell in ("[" * 100_000 + "]" * 100_000, "(" * 100_000 + ")" * 100_000):
        assert isinstance(names_in(cell), list)


def test_a_template_names_the_picture() -> None:
    cells = pl.DataFrame(
        {"Article_ID": ["0108775015", "900001.0", "", None], "imageid": ["1263597046.0", "7", "8", "9"]}
    )
    named = fill_template(cells, "{article_id:.3}/{article_id}.jpg")
    assert named.to_list() == ["010/0108775015.jpg", "900/900001.jpg", None, None]
    assert fill_template(cells, "image_{imageid}.jpg").to_list()[:2] == ["image_1263597046.jpg", "image_7.jpg"]
    assert fill_template(cells, "{sku}.jpg").to_list() == [None] * 4
