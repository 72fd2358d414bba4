"""Grammars of cells: what each reads, and that no cell is too broken for any."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.dialects.cells import PAIRS, TEXTS
from workbench.catalog.dialects.values import parsed

STOOL = '[{"language_tag":"en_IN","value":"Oak stool"},{"language_tag":"de_DE","value":"Hocker"}]'
POINTS = (
    '[{"language_tag":"en_US","value":"45 cm"},{"language_tag":"en_US","value":"Oak"},'
    '{"language_tag":"fr_FR","value":"x"}]'
)

PAIR_CELLS = [
    # Flipkart: Ruby
    ("objects", '{"product_specification"=>[{"key"=>"Size", "value"=>"L"}, {"value"=>"2 pcs"}]}', "Size=L other=2 pcs"),
    ("objects", '{"product_specification"=>[{"key"=>"Fit", "value"=>"S => XL, nil \\"x\\""}]}', 'Fit=S => XL, nil "x"'),
    ("objects", '{"product_specification"=>{"key"=>"Size", "value"=>"L"}}', "Size=L"),
    ("objects", '{"product_specification"=>[{"key"=>"A", "value"=>nil}, {"key"=>"B", "value"=>"\\#{1}"}]}', "B=#{1}"),
    ("objects", '{"product_specification"=>[{:key=>"A", :value=>"x\ny"}]}', "A=x\ny"),
    ("objects", '{"product_specification"=>nil}', ""),
    # Amazon: details
    ("objects", '{"Color":"Red","Is Discontinued":"No","Rank":{"Beauty":1},"UPC":"012"}', None),
    ("objects", "{'Color': 'Red', 'Size': None, 'Weight': nan, 'Parts': ['a', 'b']}", "Color=Red Parts=a, b"),
    ("objects", '[{"name":"Color","value":"Red"},{"name":"Size","value":7}]', "Color=Red Size=7"),
    ("objects", "no object", ""),
    # Magento
    ("name=value", 'material=oak,"note=wide, low",size=S|M', "material=oak note=wide, low size=S, M"),
    ("name=value", 'a={"unit": "inch", "size": "1.5\\""},b=2', 'a={"unit": "inch", "size": "1.5\\""} b=2'),
    ("name=value", 'a=<div>1.5\\", mid-price range</div>', 'a=<div>1.5", mid-price range</div>'),
    ("name=value", "a=,b=x", "b=x"),
    # Vendure, PrestaShop, BigCommerce
    ("name:value", "brand:Acme|colour:red|colour:blue", "brand=Acme colour=red, blue"),
    ("name:value:position", "Material:Oak:1,Height:45 cm:2:1", "Material=Oak Height=45 cm"),
    ("options", "[RT]Size=M,[RB]Color=Red:#ff0000", "Size=M Color=Red"),
]


@pytest.mark.parametrize(("grammar", "cell", "pairs"), PAIR_CELLS)
def test_a_cell_holds_attributes(grammar: str, cell: str, pairs: str | None) -> None:
    expected = "Color=Red Is Discontinued=No Beauty=1 UPC=012" if pairs is None else pairs
    assert " ".join(f"{name}={value}" for name, value in PAIRS[grammar](cell)) == expected


@pytest.mark.parametrize(
    ("grammar", "cell", "language", "text"),
    [
        ("languages", STOOL, None, "Oak stool"),
        ("languages", STOOL, "de", "Hocker"),
        ("languages", STOOL, "fr", "Oak stool"),
        (
            "languages",
            '[{"language_tag":"de_DE","value":"Hocker"},{"language_tag":"fr_FR","value":"b"}]',
            None,
            "Hocker",
        ),
        ("languages", '{"language_tag":["en_IN","de_DE"],"value":["Oak stool","Hocker"]}', "de_DE", "Hocker"),
        ("languages", '{"en": "Oak stool", "de": "Hocker"}', "de", "Hocker"),
        ("languages", '[{"value": "STOOL"}]', "de", "STOOL"),
        ("languages", "Plain", None, "Plain"),
        ("lines", POINTS, None, "45 cm\nOak"),
        ("lines", '["Soft.", "Handy."]', None, "Soft.\nHandy."),
        ("list", '["Oak", "Brass"]', None, "Oak, Brass"),
        ("list", "[]", None, ""),
        ("path", "A >> B > C", None, "A > B > C"),
        ("path", '["Beauty", "Tools & More"]', None, "Beauty > Tools & More"),
        ("path", '[{"node_id":"1","node_name":"/Categories/Shoes/Boots"}]', None, "Shoes > Boots"),
        ("path", "Home & Garden > Kitchen, Dining", None, "Home & Garden > Kitchen, Dining"),
        ("levels", "Beauty, Hair Care", None, "Beauty > Hair Care"),
        ("levels", "Beauty\nHair, Skin & Nails", None, "Beauty > Hair, Skin & Nails"),
        ("paths", "Sale, Clothing > Tees\\, Tops", None, "Clothing > Tees, Tops"),
        ("paths/", "Default Category/Sale,Default Category/Gear/Bags", None, "Gear > Bags"),
        ("paths/", "Shop/Mugs;Shop/Sale/Mugs, plain", None, "Shop > Sale > Mugs, plain"),
        ("categories", "Home,Pots,Sale", None, "Pots"),
        ("tree", '["Home >> Bath >> Towels >> Acme >> Acme Towel"]', None, "Home > Bath > Towels"),
        ("tree", '["Acme Towel"]', None, ""),
        ("tags", "en:teas,en:green-teas,thés", None, "teas, green teas, thés"),
        ("editorjs", '{"blocks":[{"data":{"text":"A"}},{"data":{"items":["b",{"content":"c"}]}}]}', None, "A\nb\nc"),
        ("editorjs", "<p>A</p>", None, "<p>A</p>"),
        ("bytes", "b'Caf\\xc3\\xa9 \\'x\\' \\xff'", None, "Café 'x' \\xff"),
        ("bytes", "Caf\\xc3\\xa9", None, "Café"),
    ],
)
def test_a_cell_reads_as_text(grammar: str, cell: str, language: str | None, text: str) -> None:
    assert TEXTS[grammar](cell, language) == text


def test_numbers_and_ids_stay_as_they_are_written() -> None:
    assert parsed('{"id": 00012}') is None and parsed('{"id": 1.50}') == {"id": "1.50"}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("[]{}()'\"\\:,;|=>\n\0 aé1./x")))
def test_no_cell_is_too_broken(cell: str) -> None:
    for pairs in PAIRS.values():
        assert all(name and value for name, value in pairs(cell))
    for text in TEXTS.values():
        assert isinstance(text(cell, None), str)


@pytest.mark.parametrize("cell", ['a="' * 20_000, "a=" + "b," * 50_000, "[" * 50_000 + "]" * 50_000, "a:" * 50_000])
def test_no_cell_takes_long(cell: str) -> None:
    for pairs in PAIRS.values():
        pairs(cell)
    for text in TEXTS.values():
        text(cell, None)
