"""The preview shows what training reads, and counts what it shows."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.report.shop import recipe_of, write_shop
from workbench.artifacts.store import Artifact
from workbench.cli import app
from workbench.errors import DataError, RecipeError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.schema import Recipe
from workbench.report.preview import ITSELF, MASK, OTHER, Preview, preview
from workbench.report.preview_page import render
from workbench.report.preview_text import half_blocks, paint, told
from workbench.tasks.catalog import open_catalog

MASKING = {"text_units": "word", "image_units": "block", "shown": "80/10/10", "light_text": 0.5, "light_image": 0.5}


def made(recipe: Recipe) -> dict[str, Artifact]:
    steps = plan_recipe(recipe, ["split", "tokens"])
    return {name: m.artifact for name, m in run_plan(steps, recipe.runtime, Console(quiet=True)).items()}


def shop(folder: Path, masking: dict[str, Any], **changes: Any) -> Recipe:
    pretrain = {"masking": masking, "optim": {"batch_size": 8}, "seed": 3}
    return recipe_of(folder, (1, 0, 0), pretrain=pretrain, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, 30, ["B1,GB,red mug without a picture,mug,gone.png"])
    return folder


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    return shop(folder, MASKING)


@pytest.fixture(scope="module")
def found(recipe: Recipe) -> Preview:
    return preview(made(recipe), recipe)


def test_each_view_is_what_training_reads(recipe: Recipe, found: Preview) -> None:
    catalog = open_catalog(made(recipe), recipe.model, recipe.runtime)
    row_of = dict(catalog.items.select("id", "row").iter_rows())
    words = catalog.listings.tokens.tokenizer
    assert len(found.listings) == 4
    for listing in found.listings:
        assert [view.epoch for view in listing.views] == [1, 2, 3]
        for view in listing.views:
            how = {"epoch": view.epoch, "seed": 3, "masking": recipe.pretrain.masking}
            batch = catalog.listings.batch(
                np.array([row_of[listing.id]]), augment=recipe.pretrain.augment, any_picture=True, **how
            )
            assert (view.pixels_CHW == batch.pixels_BCHW[0].numpy()).all()
            assert (view.hidden_P == batch.image_masked_BP[0].numpy()).all()
            ((name, pieces),) = view.fields
            assert name == "title"
            assert [p.id for p in pieces] == batch.tokens_BL[0, 2:-1].tolist()
            assert [bool(p.way) for p in pieces] == batch.text_masked_BL[0, 2:-1].tolist()
            ids = batch.shown_BL[0, 2:-1].tolist()
            assert [p.read for p in pieces] == [words.decode([i]) for i in ids]
            for piece, id_ in zip(pieces, ids, strict=True):
                way = MASK if id_ == words.mask else ITSELF if id_ == piece.id else OTHER
                assert piece.way == (way if piece.way else "")
            assert view.tokens == (sum(bool(p.way) for p in pieces), len(pieces))
            assert view.patches == (view.hidden_P.sum(), 4)
            text = "".join(("" if p.joined else " ") + p.text for p in pieces)
            assert listing.title.startswith(text.strip())


def test_shares_are_counted_by_mode(found: Preview) -> None:
    assert [one.mode for one in found.measured] == ["heavy image", "heavy text", "light"]
    for one, words, patches in zip(found.measured, (0, 0.8, 0.5), (0.8, 0, 0.5), strict=True):
        assert (one.listings[0], one.tokens[0], one.patches[0]) == (pytest.approx(1 / 3), words, patches)
        assert one.tokens[1] == pytest.approx(words, abs=0.12) and one.patches[1] == pytest.approx(patches, abs=0.12)
    assert sum(one.listings[1] or 0 for one in found.measured) == pytest.approx(1)
    assert found.measured[0].wordless == 1
    assert sum(found.read) == pytest.approx(1) and found.read[0] == pytest.approx(0.8, abs=0.1)
    assert found.unit is not None and found.unit > 1
    assert found.sample == (30, 3)
    assert found.notes == (
        "pre-training reads 30 of the 31 listings of the train part",
        "the others have no usable picture or no text",
    )


def test_one_line_for_uniform_and_nothing_hidden_without_masking(folder: Path) -> None:
    one = shop(folder, {"policy": "uniform", "text": 1, "image": 0})
    (line,) = preview(made(one), one).measured
    assert (line.mode, line.listings, line.tokens, line.patches) == ("every listing", (1, 1), (1, 1), (0, 0))
    assert line.wordless == 0
    none = shop(folder, {"policy": "none"})
    found = preview(made(none), none)
    assert found.read == () and found.measured[0].tokens == (0, 0)
    assert not any(view.hidden_P.any() for listing in found.listings for view in listing.views)


def test_listings_without_pictures_are_shown_where_there_are_no_others(tmp_path: Path) -> None:
    write_shop(tmp_path, 6)
    for picture in tmp_path.glob("*.png"):
        picture.unlink()
    recipe = shop(tmp_path, MASKING)
    found = preview(made(recipe), recipe)
    assert found.notes[0] == "pre-training reads 0 of the 6 listings of the train part"
    assert all(view.mode == "light" and view.pixels_CHW is None for one in found.listings for view in one.views)
    assert found.measured[2].patches == (0.5, None) and found.measured[0].tokens == (0, None)
    said = "\n".join(told(found))
    assert " of 0 patches hidden" in said and "light\t33.3%\t100.0%\t50.0%" in said
    assert "no picture" in render("shop", found)


def test_a_field_that_no_text_has_and_an_empty_train_part_are_told(folder: Path) -> None:
    wrong = shop(folder, {"fields": ["colour"]})
    with pytest.raises(RecipeError, match=r"masking\.fields: 'colour' is no field of the texts; they have title"):
        preview(made(wrong), wrong)
    empty = recipe_of(folder, (0, 0.5, 0.5))
    with pytest.raises(DataError, match="no listing is in the train part"):
        preview(made(empty), empty)


def test_plain_lines_mark_what_is_hidden(found: Preview) -> None:
    lines = list(told(found))
    text = "\n".join(lines)
    views = [view for listing in found.listings for view in listing.views]
    pieces = [piece for view in views for _, pieces in view.fields for piece in pieces]
    texts = "".join(line for line in lines if line.startswith("    title: "))
    assert texts.count("[") == sum(bool(p.way) for p in pieces)
    assert texts.count("=]") == sum(p.way == ITSELF for p in pieces)
    grids = [line.strip() for line in lines if re.fullmatch(r" {4}[.#]{2}", line)]
    assert "".join(grids).count("#") == sum(view.patches[0] for view in views)
    assert "\x1b" not in text


def test_the_terminal_has_pictures_of_half_blocks(found: Preview) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=90)
    paint(found, console)
    assert console.file.getvalue().count("▀") == 4 * 3 * 28 * 14  # type: ignore[attr-defined]
    pixels = np.zeros((3, 2, 2), np.uint8)
    pixels[0, 0], pixels[2, 1] = 255, 9
    blocks = half_blocks(pixels, 2)
    assert blocks.plain == "▀▀" and {str(span.style) for span in blocks.spans} == {"rgb(255,0,0) on rgb(0,0,9)"}


def test_the_command_writes_one_page_that_needs_nothing_else(folder: Path) -> None:
    (folder / "shop.yaml").write_text(
        "catalog:\n  feeds: [{path: shop.csv, columns: {id: sku, title: name, group: parent, picture: photo}}]\n"
        "  split: {train: 1, valid: 0, test: 0}\n"
        "images: {side: 16}\ntokens: {vocabulary: 300}\nmodel: {size: tiny, image_side: 16, patch: 8}\n"
        f"report: {{examples: 2}}\nruntime: {{threads: 1, cache: {folder}/.mlim, reports: {folder}/reports}}\n"
    )
    result = CliRunner().invoke(app, ["preview", str(folder / "shop.yaml")])
    assert result.exit_code == 0, result.output
    page = folder / "reports/shop/preview.html"
    assert result.stdout.endswith(f"preview: {page}\n") and "heavy image\t33.3%" in result.stdout
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 2 * 3 * 2
    assert "<script" not in html and "http" not in re.sub('http-equiv|xmlns="[^"]*"', "", html)
    assert html.count("<article") == 6
