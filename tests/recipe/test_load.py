import math
from pathlib import Path

import pytest
import yaml

from workbench.errors import RecipeError
from workbench.recipe.load import load_recipe, parse_scalar, recipe_from_tree, to_yaml
from workbench.recipe.places import url_of
from workbench.recipe.schema import Mam, Uniform

CATALOG = "catalog:\n  feeds:\n    - path: feed.csv\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "shop.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def error_of(path: Path, *sets: str) -> str:
    with pytest.raises(RecipeError) as error:
        load_recipe(path, sets)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # section 10.3.2 of YAML 1.2; the comment tells what PyYAML makes of it
        ("1e-4", 1e-4),  # text
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("-3", -3),
        ("007", 7),
        ("0o17", 15),  # text
        ("0x1F", 31),
        ("12:30", "12:30"),  # 750
        ("no", "no"),  # False
        ("on", "on"),  # True
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("1_000", "1_000"),  # 1000
        ("2024-01-02", "2024-01-02"),  # a date
        ("1.2.3", "1.2.3"),
        ("tRUE", "tRUE"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)


def test_not_a_number_is_read_and_refused(write):
    assert math.isnan(parse_scalar(".nan"))
    path = write(CATALOG + "pretrain:\n  optim: {lr: .nan}\n")
    assert error_of(path) == f"{path}, line 5: pretrain.optim.lr: input should be a finite number, found nan"


def test_quoted_scalars_stay_text(write):
    path = write(CATALOG + "      columns: {id: '12', title: \"1e-4\"}\n")
    columns = load_recipe(path).catalog.feeds[0].columns
    assert (columns.id, columns.title) == ("12", "1e-4")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("imges: {}", 4, "unknown key imges; did you mean `images`?"),
        ("images:\n  sied: 4", 5, "unknown key images.sied; did you mean `images.side`?"),
        ("images:\n  Side: 64", 5, "unknown key images.Side; did you mean `images.side`?"),
        ("model:\n  lr: 1e-3", 5, "unknown key model.lr; did you mean `pretrain.optim.lr`?"),
        (
            "finetune:\n  zzz: 1",
            5,
            "unknown key finetune.zzz; known keys here: match, classify, retrieve, fill, together, baselines",
        ),
        (
            "pretrain:\n  masking: {heavy: 0.3}",
            5,
            "unknown key pretrain.masking.heavy; did you mean `pretrain.masking.heavy_text`?",
        ),
        (
            "pretrain:\n  masking: {policy: uniform, light: 0.3}",
            5,
            "unknown key pretrain.masking.light; known keys here: text_units, span, fields, image_units, shown, "
            "policy, text, image",
        ),
        (
            "pretrain:\n  masking: {policy: mum}",
            5,
            "pretrain.masking.policy: expected one of 'mam', 'uniform', 'none', found 'mum'",
        ),
        ("images:\n  side: big", 5, "images.side: input should be a valid integer, found 'big'"),
        ("images:\n  side: 4", 5, "images.side: input should be greater than or equal to 8, found 4"),
        ("tokens:\n  lowercase: no", 5, "tokens.lowercase: input should be a valid boolean, found 'no'"),
        ("images:", 4, "images: expected keys below it (leave it out for its defaults), found nothing"),
        ("images: 3", 4, "images: expected keys below it (leave it out for its defaults), found 3"),
        (
            "finetune:\n  classify: {}",
            5,
            "finetune.classify.label is missing; add it (docs/recipe.md tells what it means)",
        ),
        (
            "model:\n  image_side: 50",
            4,
            "model: image_side 50 is no multiple of patch 16; nearest: 48 or 64",
        ),
        ("name: ../up", 4, None),
        ("images: {}\nimages: {}", 5, "images is given twice; keep one of them"),
        ("? [a]\n: 3", 4, "a key must be a word, found a list"),
    ],
)
def test_wrong_keys_and_values_name_file_line_and_key(write, text, line, message):
    path = write(CATALOG + text + "\n")
    found = error_of(path)
    assert found.startswith(f"{path}, line {line}: ")
    if message:
        assert found == f"{path}, line {line}: {message}"


def test_every_error_is_told_at_once(write):
    lines = error_of(write("images: {sied: 4}\nmodel: {size: huge}\n")).splitlines()
    assert len(lines) == 3
    assert "catalog is missing" in lines[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "line 1: expected keys such as `catalog:`, found a list"),
        ("just words\n", "line 1: expected keys such as `catalog:`, found text"),
        ("a: [1\nb: 2\n", "not valid YAML"),
        ("a:\tb: c", "not valid YAML"),
        ("", "catalog is missing"),
    ],
)
def test_files_that_are_no_recipe(write, text, message):
    path = write(text)
    assert error_of(path).startswith(str(path))
    assert message in error_of(path)


def test_recipe_that_is_not_there(tmp_path):
    assert error_of(tmp_path / "no.yaml").startswith(f"{tmp_path / 'no.yaml'}: No such file")
    assert "Is a directory" in error_of(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    assert "byte 9 is not UTF-8" in error_of(tmp_path / "latin.yaml")


def test_extends_lays_sections_key_by_key_and_replaces_lists(write):
    write("images: {side: 64, quality: 90}\nfinetune: {match: {pairs: p.csv, seeds: [1, 2]}}\n", "base.yaml")
    recipe = load_recipe(
        write("extends: base.yaml\n" + CATALOG + "images: {side: 32}\nfinetune: {match: {seeds: [5]}}")
    )
    assert (recipe.images.side, recipe.images.quality) == (32, 90)
    assert recipe.finetune.match.seeds == (5,)
    assert recipe.name == "shop"


def test_errors_name_the_file_of_the_chain_that_is_wrong(write):
    base = write("images:\n  sied: 64\n", "base.yaml")
    assert error_of(write("extends: base.yaml\n" + CATALOG)).startswith(f"{base}, line 2: unknown key images.sied")


def test_each_path_of_a_list_is_beside_the_recipe_where_it_is_there(write, tmp_path):
    (tmp_path / "clip").mkdir()
    recipe = load_recipe(write(CATALOG + "finetune: {baselines: {embeddings: [clip, a/b, ./c, /d, s3://e/f]}}\n"))
    found = list(map(str, recipe.finetune.baselines.embeddings))
    assert found[:4] == [str(tmp_path / "clip"), "a/b", str(tmp_path / "c"), "/d"]
    assert url_of(found[4]) == "s3://e/f"
    error = error_of(write(CATALOG + "finetune: {baselines: {embeddings: [clip, https://e/f]}}\n"))
    assert "finetune.baselines.embeddings.1: expected a path, or an address in an object store" in error


def test_extends_in_a_circle_or_to_nowhere(write):
    write("extends: ./b.yaml\n", "a.yaml")
    b = write("extends: a.yaml\n", "b.yaml")
    assert error_of(b).endswith("extends itself by way of b.yaml -> a.yaml -> b.yaml")
    path = write("images: {}\nextends: gone.yaml\n")
    assert error_of(path).startswith(f"{path}, line 2: extends: {path.parent / 'gone.yaml'}: No such file")
    assert "expected the path of one recipe file" in error_of(write("extends: [a, b]\n"))


def test_another_masking_policy_drops_the_keys_of_the_old(write):
    write(CATALOG + "pretrain: {masking: {policy: mam, light_text: 0.3}}\n", "base.yaml")
    child = write("extends: base.yaml\npretrain: {masking: {policy: uniform, text: 0.4}}\n")
    assert load_recipe(child).pretrain.masking == Uniform(policy="uniform", text=0.4)
    same = write("extends: base.yaml\npretrain: {masking: {heavy_text: 0.7}}\n")
    assert load_recipe(same).pretrain.masking == Mam(light_text=0.3, heavy_text=0.7)


def test_masking_without_a_policy_is_mam(write):
    assert load_recipe(write(CATALOG + "pretrain: {masking: {light_text: 0.2}}\n")).pretrain.masking == Mam(
        light_text=0.2
    )


def test_set_reaches_sections_lists_and_new_keys(write):
    recipe = load_recipe(
        write(CATALOG),
        [
            "pretrain.optim.lr=1e-4",
            "images.background=#000000",
            "catalog.feeds.0.columns={id: a, title: b}",
            "catalog.feeds.0.columns.labels.2024=year",
            "finetune.match.pairs=p.csv",
            "finetune.match.seeds=[1, 2]",
            "report.title=Spring: all of it",
            "name='7'",
        ],
    )
    assert recipe.pretrain.optim.lr == 1e-4
    assert recipe.images.background == "#000000"
    assert recipe.catalog.feeds[0].columns.labels == {"2024": "year"}
    assert recipe.finetune.match.seeds == (1, 2)
    assert recipe.report.title == "Spring: all of it"
    assert recipe.name == "7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images.side", "--set images.side: expected a.b=value"),
        ("=3", "--set =3: expected a.b=value"),
        ("images..side=3", "expected a.b=value"),
        ("images.sid=3", "--set images.sid=3: unknown key images.sid; did you mean `images.side`?"),
        ("images.side=big", "--set images.side=big: images.side: input should be a valid integer, found 'big'"),
        ("catalog.feeds.1.path=x", "catalog.feeds is a list of 1, counted from 0"),
        ("catalog.feeds.path=x", "catalog.feeds is a list of 1, counted from 0"),
        ("finetune.match.seeds=[1", "--set finetune.match.seeds=[1, line 1"),
    ],
)
def test_bad_set(write, text, message):
    assert message in error_of(write(CATALOG), text)


def test_paths_are_relative_to_the_file_that_has_them(write, tmp_path, monkeypatch):
    write("catalog:\n  feeds: [{path: feed.csv}]\nfinetune: {match: {pairs: p.csv}}\n", "base/base.yaml")
    path = write(
        "extends: ../base/base.yaml\nfinetune: {match: {precision: 0.5}}\nruntime: {reports: out}\n", "my/my.yaml"
    )
    (tmp_path / "here/tok").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for given in (path, Path("../my/my.yaml")):
        recipe = load_recipe(given, ["tokens.tokenizer=tok"])
        assert recipe.catalog.feeds[0].path == tmp_path / "base/feed.csv"
        assert recipe.finetune.match.pairs == tmp_path / "base/p.csv"
        assert recipe.runtime.reports == tmp_path / "my/out"
        assert recipe.runtime.cache == tmp_path / "my/.mlim"
        assert recipe.tokens.tokenizer == tmp_path / "here/tok"
    feeds = load_recipe(path, ["catalog.feeds=[{path: x.csv, pictures: ~}]"]).catalog.feeds
    assert [(feed.path, feed.pictures) for feed in feeds] == [(tmp_path / "here/x.csv", None)]
    absolute = load_recipe(path, ["tokens.tokenizer=/tok/../vocab"])
    assert absolute.tokens.tokenizer == Path("/vocab")


def test_environment_variables(write, monkeypatch):
    monkeypatch.setenv("SHOP", "/data/shop")
    monkeypatch.setenv("SIDE", "64")
    path = write("catalog: {feeds: [{path: '${SHOP}/feed.csv'}]}\nimages:\n  side: ${SIDE}\nname: a${SIDE}\n")
    recipe = load_recipe(path, ["report.title=${SIDE} px"])
    assert recipe.catalog.feeds[0].path == Path("/data/shop/feed.csv")
    assert (recipe.images.side, recipe.name, recipe.report.title) == (64, "a64", "64 px")
    monkeypatch.delenv("SIDE")
    assert error_of(path) == (
        f"{path}, line 3: images.side uses ${{SIDE}}, and the environment variable SIDE is not set; "
        "set it, for example: export SIDE=..."
    )
    overridden = write("extends: shop.yaml\nimages: {side: 32}\nname: mine\n", "mine.yaml")
    assert load_recipe(overridden).images.side == 32


def test_a_label_that_no_feed_has_is_told_before_anything_runs(write):
    path = write(
        CATALOG + "      columns: {id: a, title: b, labels: {kind: c}}\nfinetune:\n  classify:\n    label: aisle\n"
    )
    assert error_of(path) == (
        f"{path}, line 7: finetune.classify.label: no feed has a label 'aisle' in columns.labels; it has: kind"
    )
    assert load_recipe(path, ["finetune.classify.label=kind"]).finetune.classify.label == "kind"
    assert load_recipe(path, ["catalog.feeds.0.columns=null"]).finetune.classify.label == "aisle"  # guessed later


@pytest.mark.parametrize(
    ("sampling", "line", "message"),
    [
        ("weights: {label: kin}", 7, "weights.label: no feed has a label 'kin' in columns.labels; it has: kind"),
        ("balance: {label: kin}", 7, "balance.label: no feed has a label 'kin' in columns.labels; it has: kind"),
        (
            "sides:\n    - [0.3, 48]\n    - [0.2, 50]",
            9,
            "sides.1 50 is no multiple of model.patch 16; nearest: 48 or 64",
        ),
        ("sides: [[0.7, 48], [0.5, 64]]", 6, ": the shares of sides sum to 1.2; at most 1"),
        ("weights: {label: kind}\n    balance: {label: kind}", 6, ": give one of balance and weights"),
    ],
)
def test_sampling_is_held_against_the_rest_of_the_recipe(write, sampling, line, message):
    columns = "      columns: {id: a, title: b, labels: {kind: c}}\n"
    path = write(f"{CATALOG}{columns}pretrain:\n  sampling:\n    {sampling}\n")
    dot = "" if message.startswith(":") else "."
    assert error_of(path) == f"{path}, line {line}: pretrain.sampling{dot}{message}"


@pytest.mark.parametrize(("role", "text"), [("title", ""), ("text.colour", "text: {colour: b}, ")])
def test_a_label_that_the_model_reads_is_refused(write, role, text):
    columns = f"{{id: a, title: {'x' if text else 'b'}, {text}labels: {{kind: b}}}}"
    path = write(f"{CATALOG}      columns: {columns}\nfinetune: {{classify: {{label: kind}}}}\n")
    assert error_of(path) == (
        f"{path}, line 4: catalog.feeds.0.columns.{role} is the column 'b', which is also the label of "
        "finetune.classify: the model would read the answer; take it out of one of them"
    )
    assert load_recipe(path, ["finetune.classify=null"])


def test_published_weights_bring_their_own_vocabulary(write, tmp_path):
    path = write(CATALOG + "model:\n  bert: shop/minilm\n")
    recipe = load_recipe(path)
    assert recipe.model.bert == recipe.tokens.tokenizer == Path("shop/minilm")  # no such folder: a name on the hub
    (tmp_path / "shop/minilm").mkdir(parents=True)
    recipe = load_recipe(path)
    assert recipe.model.bert == recipe.tokens.tokenizer == tmp_path / "shop/minilm"
    assert load_recipe(path, [f"tokens.tokenizer={tmp_path}"]).tokens.tokenizer == tmp_path
    assert "line 4: model.size is null without model.bert" in error_of(write(CATALOG + "model: {size: null}\n"))
    assert load_recipe(path, ["model.bert=../minilm"]).model.bert.is_absolute()  # no name on the hub looks so


def test_a_training_that_could_learn_nothing_is_refused(write):
    path = write(CATALOG + "pretrain:\n  masking: {policy: none}\n")
    assert load_recipe(path).pretrain.objectives.recon.over == "picture"  # which is redrawn from what is seen
    for key, value in (("weight", "0"), ("over", "masked")):
        assert "masking none hides nothing" in error_of(path, f"pretrain.objectives.recon.{key}={value}")
    off = [f"pretrain.objectives.{name}.weight=0" for name in ("mlm", "recon")]
    assert "give one objective a weight above 0" in error_of(path, *off)
    assert load_recipe(path, [*off, "pretrain.objectives.itm.weight=1"])


def test_yaml_of_a_tree_reads_back_as_the_same_recipe(write, tmp_path):
    tree = {"catalog": {"feeds": [{"path": "f.csv", "columns": {"id": "1e4", "title": "no", "text": {"été": "0o17"}}}]}}
    text = to_yaml(tree)
    assert yaml.safe_load(text)["catalog"]["feeds"][0]["path"] == "f.csv"
    recipe = load_recipe(write(text))
    columns = recipe.catalog.feeds[0].columns.model_dump(exclude_defaults=True)
    assert columns == {"id": "1e4", "title": "no", "text": {"été": "0o17"}}
    assert recipe_from_tree({"name": "shop", **tree}, tmp_path) == recipe
    assert tree["catalog"]["feeds"][0]["path"] == "f.csv"


def test_recipe_is_frozen(write):
    recipe = load_recipe(write(CATALOG))
    with pytest.raises(Exception, match="frozen"):
        recipe.images.side = 3


@pytest.mark.parametrize(
    "tasks, message",
    [
        (
            "classify: {label: [kind, aisle]}",
            "classify.label: no feed has a label 'aisle' in columns.labels; it has: kind",
        ),
        ("classify: {label: []}", "classify: label: expected one label, or several different ones, found []"),
        ("classify: {label: [kind, kind]}", "expected one label, or several different ones, found ['kind', 'kind']"),
        ("classify: {label: [kind, kin], several: ','}", "classify: several is for listings in several classes of one"),
        (
            "fill: {attributes: [size]}",
            "attributes.0: no feed has an attribute 'size' in columns.labels or columns.text;",
        ),
        ("fill: {attributes: [kind], answer: words}", "no feed has an attribute 'kind' in columns.text; it has: brand"),
        (
            "match: {mine: {by: kin}}",
            "finetune.match.mine.by: no feed has a label 'kin' in columns.labels; it has: kind",
        ),
        ("retrieve: {by: kin}", "finetune.retrieve.by: no feed has a label 'kin' in columns.labels; it has: kind"),
        ("match: {}", "finetune.match.mine.by: group: no feed names columns.group, so no two listings would be one"),
        ("retrieve: {by: code, across: kin}", "finetune.retrieve.across: no feed has a label 'kin' in columns.labels;"),
    ],
)
def test_what_tasks_ask_for_is_looked_up_before_anything_runs(write, tasks, message):
    columns = "      columns: {id: a, title: b, code: e, text: {brand: d}, labels: {kind: c}}\n"
    path = write(f"{CATALOG}{columns}finetune:\n  {tasks}\n")
    assert message in error_of(path)
    for fine in ("classify: {label: kin, labels: l.csv}", "fill: {attributes: [kind, brand]}", "retrieve: {by: code}"):
        assert load_recipe(write(f"{CATALOG}{columns}finetune:\n  {fine}\n")).finetune.tasks


def test_an_attribute_that_the_model_reads_under_another_name_is_refused(write):
    columns = "      columns: {id: a, title: b, text: {brand: c, maker: c}}\n"
    path = write(f"{CATALOG}{columns}finetune: {{fill: {{attributes: [brand]}}}}\n")
    assert error_of(path) == (
        f"{path}, line 4: catalog.feeds.0.columns.text.maker is the column 'c', which is also the attribute 'brand' of "
        "finetune.fill: the model would read the answer; take it out of one of them"
    )
