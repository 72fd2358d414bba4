"""HTML to text, held against a real parser."""

from html.parser import HTMLParser

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.clean.html import BLOCKS, CELLS, INLINE, ITEMS, to_text


def text(html: str) -> str:
    return str(to_text(pl.Series([html]))[0])


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p>Turned "by hand".</p>\n<ul><li>300 ml</li><li>oak</li></ul>', 'Turned "by hand". 300 ml; oak'),
        ("<ul><li>a</li><li>b.</li><li>c</li></ul>then", "a; b. c. then"),
        ("<table><tr><th>Size</th><td>L</td></tr><tr><td>Wood</td><td>Oak</td></tr></table>x", "Size, L; Wood, Oak. x"),
        ("<dl><dt>Size:</dt><dd>L</dd><dt>Wood</dt><dd>Oak</dd></dl>", "Size: L; Wood, Oak"),
        ("I <3 it, a < b, <USB-C> a<b and c>d 5<6>4", "I <3 it, a < b, <USB-C> a<b and c>d 5<6>4"),
        ("""<a title="x > y" href='#"'>in</a><P CLASS=x>up</P><br />""", "in\nup\n\n"),
        ('<p class="bad>text</p>', "\ntext\n"),
        ("a<!-- <b>c</b> --><script>if (a<b) '<p>'</script>b<STYLE>p{}</STYLE>c", "abc"),
        ("<!DOCTYPE html><?xml version='1.0'?><o:p></o:p><![if !x]>A<![endif]><![CDATA[B]]>", "AB"),
        ("never closed <!-- comment", "never closed "),
        ('cut in a tag <a href="http', "cut in a tag "),
        ("cut in a tag </di", "cut in a tag "),
        ('<div class="a" <p>text kept', '<div class="a" \ntext kept'),
        ("<x-card id='1'>A</x-card> <svg><path d='M0'/><title>x</title></svg>B", "A B"),
        ("m<sup>2</sup> w<b>or</b>d", "m2 word"),
    ],
)
def test_what_a_reader_sees(html: str, expected: str) -> None:
    assert text(html) == expected


class _Reader(HTMLParser):
    """The slow twin: the words of sound HTML, parted where a tag that isn't inline stands."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.text += "" if tag in INLINE.split() else " "

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag(tag, None)


VALUES = st.sampled_from(
    ["", ' class="a b"', " id=x", " title='1 > 0'", ' style="a:b;c:d" data-x="<b>"', " hidden a=''"]
)
TAGS = st.sampled_from(
    [t for t in f"{INLINE} {BLOCKS} {ITEMS} {CELLS}".split() if t not in ("textarea", "title", "iframe", "noframes")]
)
WORDS = st.text("abcé 0123<>", max_size=8).map(lambda s: s.replace("<", "< ").replace(">", " > "))


def _element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def tagged(parts: tuple[str, str, list[str]]) -> str:
        tag, attributes, content = parts
        attributes = "" if len(tag) == 1 and "=" not in attributes.split(" ")[-1] else attributes
        return f"<{tag}{attributes}>{''.join(content)}</{tag}>"

    return st.tuples(TAGS, VALUES, st.lists(inner, max_size=4)).map(tagged)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.recursive(WORDS, _element, max_leaves=8), max_size=4).map("".join))
def test_sound_html_reads_as_a_parser_reads_it(html: str) -> None:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert text(html).translate({ord(c): " " for c in ".;,"}).split() == reader.text.split()
