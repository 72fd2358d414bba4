from pathlib import Path

from workbench.recipe.doc import page
from workbench.recipe.schema import Recipe, Section, sections

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python -m workbench.recipe.doc > docs/recipe.md"


def test_every_key_and_section_says_what_it_means():
    seen: list[type[Section]] = [Recipe]
    for section in seen:
        assert section.__doc__
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            seen += [inner for inner in sections(field.annotation) if inner not in seen]
    assert len(seen) == 44
