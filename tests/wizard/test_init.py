"""`mlim init`: what it sees, what it asks, and that its recipes are read."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from workbench.catalog.dialects.look import recipe_tree
from workbench.cli import app
from workbench.errors import DataError
from workbench.forecast.machine import Machine
from workbench.recipe.load import load_recipe, recipe_from_tree
from workbench.recipe.schema import Feed, Fetch
from workbench.wizard.asking import MOST, Asking
from workbench.wizard.init import init, place_for
from workbench.wizard.sight import see
from workbench.wizard.sizes import sized

FEEDS = Path(__file__).parents[1] / "catalog" / "feeds"
FIXTURES = sorted(path for path in FEEDS.glob("*/*") if path.suffix in (".csv", ".tsv", ".xml", ".jsonl", ".json"))


class Typed:
    """A user who types these lines; what was said stays."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.said, self.tables = list(lines), list[str](), list[list[tuple[str, ...]]]()

    def asking(self) -> Asking:
        return Asking(self.said.append, lambda prompt: self.lines.pop(0) if self.lines else None)

    def table(self, header, rows) -> None:
        self.tables.append(rows)


def wrote(feed: Path, out: Path, user: Typed):
    out.write_text(init(feed, out, user.asking(), user.table), "utf-8")
    return load_recipe(out)


def shop(folder: Path, count: int = 60, pictures: str = "images") -> Path:
    """Products of two kinds in three colours, every second with another one of its group, with pictures of 40 x 30."""
    (folder / pictures).mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(folder / pictures / f"p{i}.png")
    rows = [
        f"A{i},{('red', 'blue', 'green')[i % 3]} mug {i},g{i // 2},p{i}.png,{'mugs' if i % 2 else 'cups'}\n"
        for i in range(count)
    ]
    feed = folder / "shop.csv"
    feed.write_text("sku,name,group,image,kind\n" + "".join(rows))
    return feed


@pytest.mark.parametrize("feed", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_dialects_recipe_is_read_and_has_the_columns_that_ingest_guesses(feed, tmp_path):
    try:
        tree, _ = recipe_tree(feed)
    except DataError as error:
        with pytest.raises(DataError) as raised:
            init(feed, tmp_path / "r.yaml", Asking(print), lambda *_: None)
        assert str(raised.value) == str(error)
        return
    recipe = wrote(feed, tmp_path / "r.yaml", Typed())
    (read,) = recipe.catalog.feeds
    guessed = tree["catalog"]["feeds"][0]
    assert json.loads(read.columns.model_dump_json(exclude_defaults=True)) == guessed["columns"]
    assert (read.path, read.feed) == (feed, guessed.get("feed"))


def test_nobody_is_asked_and_every_choice_is_told(tmp_path):
    feed, user = shop(tmp_path), Typed()
    text = init(feed, tmp_path / "r.yaml", Asking(user.said.append), user.table)
    assert "What is the model to do? tell the kind of a product (2 classes of 2 products and more; 100%)" in user.said
    assert "How long may it take on this machine, from feed to report? an hour" in user.said
    assert "          kind: kind                 # 100% filled, 2 values: cups (30), mugs (30)" in text.splitlines()
    assert "finetune:\n  classify: {label: kind} # 2 classes\n" in text


def test_what_it_shows(tmp_path):
    feed, user = shop(tmp_path), Typed("1", "2")
    recipe = wrote(feed, tmp_path / "r.yaml", user)
    assert user.tables[0][0] == ("id", "sku", "100%", "60", "A0 | A1 | A2")
    assert ("group", "group", "100%", "30", "g0 | g1 | g2") in user.tables[0]
    assert "60 products in 60 rows; 0 rows can't be read" in user.said
    assert "  60 were tried: 60 found, 30 px and more on the shorter side for half of them" in user.said
    assert (recipe.model.size, recipe.model.image_side, recipe.model.patch) == ("tiny", 16, 4)


@pytest.mark.parametrize(("products", "pictures", "size", "side", "epochs"), [
    (500, 64, "tiny", 64, 40),
    (20_000, 500, "tiny", 32, 20),
    (1_000_000, 500, "tiny", 32, 2),
])  # fmt: skip
def test_sizes_go_by_the_products_the_pictures_and_the_time(
    tmp_path, monkeypatch, products, pictures, size, side, epochs
):
    machine = Machine(cores=2, memory=8 << 30, disk=10**12)
    monkeypatch.setattr("workbench.wizard.sizes.this_machine", lambda runtime: machine)
    small = see(Feed(path=shop(tmp_path)))
    seen = replace(small, total=products, words=(30.0, 80.0), pictures=replace(small.pictures, side=pictures))
    tree = {"catalog": {"feeds": [{"path": str(small.feed.path)}]}}
    found = sized(seen, tree, tmp_path, 3600)
    recipe = recipe_from_tree({**tree, **found.tree}, tmp_path)
    assert (recipe.model.size, recipe.model.image_side, recipe.pretrain.epochs) == (size, side, epochs)
    assert recipe.tokens.vocabulary == min(16_000, max(800, products * 30 // 20 // 1000 * 1000))
    monkeypatch.setattr(
        "workbench.wizard.sizes.this_machine", lambda runtime: replace(machine, gpu="NVIDIA H100", gpu_memory=80 << 30)
    )
    larger = sized(seen, tree, tmp_path, 3600)
    assert larger.seconds < found.seconds or larger.tree["model"]["image_side"] >= side
    assert recipe_from_tree({**tree, **sized(seen, tree, tmp_path, float("inf")).tree}, tmp_path).model.size == {
        500: "tiny",
        20_000: "small",
    }.get(products, "base")


def test_several_tasks_one_of_each_kind(tmp_path):
    user = Typed("1,1", "9", "nothing yet, kind", "1,2", "ten")
    recipe = wrote(shop(tmp_path), tmp_path / "r.yaml", user)
    assert [*recipe.finetune.tasks] == ["match", "classify"] and recipe.finetune.match.mine.by == "group"
    assert sum(line.startswith("expected a number") for line in user.said) == 3


def test_pictures_are_found_near_the_feed_or_asked_for(tmp_path):
    near = wrote(shop(tmp_path / "a", pictures="of spring"), tmp_path / "a/r.yaml", Typed())
    assert near.catalog.feeds[0].pictures == tmp_path / "a/of spring"
    feed = shop(tmp_path / "b", pictures="x/y/z")
    user = Typed(str(tmp_path / "b/x/y/z"))
    assert wrote(feed, tmp_path / "b/r.yaml", user).catalog.feeds[0].pictures == tmp_path / "b/x/y/z"
    assert "  60 missing, as p0.png" in user.said
    assert wrote(feed, tmp_path / "b/r.yaml", Typed("")).catalog.feeds[0].pictures is None


def test_columns_that_cannot_be_told_are_asked_for(tmp_path):
    feed = tmp_path / "odd.csv"
    feed.write_text("a,b,c\n" + "".join(f"same,{i % 3},{i % 2}\n" for i in range(30)))
    user = Typed("b", "a")
    roles = wrote(feed, tmp_path / "r.yaml", user).catalog.feeds[0].columns
    assert (roles.id, roles.title) == ("b", "a")
    assert (
        "\nWhich column is the id of a product?" in user.said
        and "\nWhich column is the title of a product?" in user.said
    )


def test_of_a_folder_of_several_kinds_one_is_chosen(tmp_path):
    shop(tmp_path / "s")
    (tmp_path / "s/orders.jsonl").write_text('{"order": 1, "sum": 2}\n' * 9)
    recipe = wrote(tmp_path / "s", tmp_path / "r.yaml", user := Typed("shop.csv"))
    assert recipe.catalog.feeds[0].path == tmp_path / "s/shop.csv"
    assert user.said[:3] == ["\nWhich of these files is the feed?", "  1  shop.csv", "  2  orders.jsonl"]


def test_web_addresses_are_downloaded_if_one_wants(tmp_path):
    feed = tmp_path / "web.csv"
    feed.write_text("id,title,image\n" + "".join(f"{i},Mug {i},https://cdn.example.test/{i}.jpg\n" for i in range(40)))
    assert wrote(feed, tmp_path / "r.yaml", user := Typed("1")).fetch == Fetch()
    assert "40 pictures are web addresses (cdn.example.test), some 4 MB. Shall a run download them?" in "".join(
        user.said
    )
    assert wrote(feed, tmp_path / "r.yaml", Typed("2")).fetch is None
    assert "# fetch: {} # would download the 40 pictures" in (tmp_path / "r.yaml").read_text()


def test_one_s_own_network_is_asked_only_if_a_person_says_so(tmp_path):
    feed = tmp_path / "web.csv"
    hosts = ("cdn.example.test", "cdn.example.test:8080", "127.0.0.1", "pictures", "169.254.169.254")
    feed.write_text("id,title,image\n" + "".join(f"{i},Mug {i},http://{hosts[i % 5]}/{i}.jpg\n" for i in range(40)))
    own = ("cdn.example.test:8080", "127.0.0.1", "pictures")
    assert wrote(feed, tmp_path / "r.yaml", Typed("1")).fetch == Fetch()
    line = "  # allow_hosts: ['cdn.example.test:8080', 127.0.0.1, pictures] # of your own network; no other host"
    assert line in (tmp_path / "r.yaml").read_text()
    assert wrote(feed, tmp_path / "s.yaml", user := Typed("2")).fetch == Fetch(allow_hosts=own)
    assert f"  2  yes, also from {', '.join(own)}: I trust this feed" in user.said
    assert wrote(feed, tmp_path / "t.yaml", Typed("3")).fetch is None


def test_of_a_large_feed_the_head_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.wizard.sight.LOOKED", 100)
    feed = tmp_path / "web.csv"
    feed.write_text(
        "id,title,image\n" + "".join(f"{i:06},Mug,https://cdn.example.test/{i}.jpg\n" for i in range(300_000))
    )
    seen = see(Feed(path=feed))
    assert not seen.whole and 100 <= seen.products < 300_000
    assert seen.total == seen.web == 300_000


def test_one_of_several_languages_is_read(tmp_path):
    feed = tmp_path / "two.csv"
    feed.write_text("sku,name_de,name_en\n" + "".join(f"{i},Becher {i},Mug {i}\n" for i in range(30)))
    recipe = wrote(feed, tmp_path / "r.yaml", user := Typed("en"))
    assert recipe.catalog.language == "en" and "title" in dict(row[:2] for row in user.tables[0])
    assert wrote(feed, tmp_path / "r.yaml", Typed("1")).catalog.language is None


def test_a_column_that_was_asked_for_stays_when_a_language_is_chosen(tmp_path):
    feed = tmp_path / "two.csv"
    rows = "".join(f"same,Red mug of {i},Rote Tasse von {i},{i % 3}\n" for i in range(30))
    feed.write_text("a,title [en],title [de],c\n" + rows)
    recipe = wrote(feed, tmp_path / "r.yaml", Typed("c", "de"))
    read = recipe.catalog.feeds[0].columns
    assert (recipe.catalog.language, read.id, read.title) == ("de", "c", "title")


def test_no_more_than_five_questions(tmp_path):
    asking = Asking(print, lambda prompt: "2")
    assert [asking.choose("?", ["a", "b"]) for _ in range(MOST + 2)] == [[1]] * MOST + [[0]] * 2
    assert asking.text("?") == ""


def test_awkward_words_stay_what_they_are(tmp_path):
    feed = tmp_path / "odd.csv"
    words = [
        "sku",
        "name",
        "no",
        "12:30",
        "a: b",
        "# c",
        "{d}",
        "null",
        "x, y",
        "ü\u2028z",
        "two\nlines",
        "long 😀 " * 30,
    ]
    cells = [[f"s{i}", f"red mug of {i}", *(f"words of {w} here {i}\x07" for w in words[2:])] for i in range(30)]
    feed.write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in [words, *cells]), "utf-8")
    roles = wrote(feed, tmp_path / "r.yaml", Typed()).catalog.feeds[0].columns
    assert {roles.title, *roles.text.values()} >= {"no", "12:30", "a: b", "# c", "{d}", "null", "x, y", "two\nlines"}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("there.yaml", "there.yaml: is there already, and is left as it is; give another name"),
        ("r.txt", "r.txt: expected the name of a recipe that ends in .yaml"),
        ("no/r.yaml", "no/r.yaml: there is no folder no; make it"),
    ],
)
def test_nothing_is_overwritten(tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    Path("there.yaml").write_text("mine")
    Path("there.csv").write_text("id,title\n1,Mug\n")
    with pytest.raises(DataError) as raised:
        place_for(Path("there.csv"), Path(out))
    assert str(raised.value).startswith(message)
    with pytest.raises(DataError, match="is there already"):
        place_for(Path("there.csv"), None)
    assert place_for(Path(), None).name == f"{tmp_path.name}.yaml"


def test_from_the_command_line_on_a_terminal_and_without(tmp_path):
    feed = shop(tmp_path)
    command = [sys.executable, "-m", "workbench", "init", feed.name]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ours, theirs = pty.openpty()
    os.write(ours, b"2\n1\n")
    answered = subprocess.run(command, cwd=tmp_path, env=environment, stdin=theirs, capture_output=True, text=True)
    assert "How long may it take" in answered.stdout and answered.stderr == ""
    assert [*load_recipe(tmp_path / "shop.yaml").finetune.tasks] == ["match"]
    again = subprocess.run(command, cwd=tmp_path, env=environment, stdin=theirs, capture_output=True, text=True)
    assert again.returncode == 2 and again.stderr.startswith("error: shop.yaml: is there already")
    said = CliRunner().invoke(app, ["init", str(feed), str(tmp_path / "other.yaml")]).stdout
    assert said.endswith(
        f"next: mlim plan {tmp_path}/other.yaml shows what would run, mlim run {tmp_path}/other.yaml does it\n"
    )


def test_a_text_that_says_the_answer_is_not_read(tmp_path):
    kinds = ("Wall Art", "mugs")
    rows = "".join(
        f'A{i},thing {i},{kinds[i % 2]},"new, {kinds[i % 2].upper()}",{"art" if i % 3 else "mugs"}\n' for i in range(40)
    )
    (tmp_path / "shop.csv").write_text("sku,name,product type,tags,colour\n" + rows)
    user = Typed()
    recipe = wrote(tmp_path / "shop.csv", tmp_path / "shop.yaml", user)
    assert recipe.finetune.classify.label == "product_type"
    assert "tags" not in recipe.catalog.feeds[0].columns.text.values()  # says it of all
    assert "colour" in recipe.catalog.feeds[0].columns.text.values()  # says "mugs" of some
    assert "tags says the product_type in words of nearly every product: it is not read" in user.said
    assert "tags says what the model is to tell: not read" in (tmp_path / "shop.yaml").read_text()
