import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.report import trouble
from workbench import __version__, plan
from workbench.artifacts.stage import Stage, Work
from workbench.cli import app
from workbench.errors import DataError, Interrupted

RECIPE = "catalog: {feeds: [{path: feed.csv, columns: {id: id, title: title}}]}\nfinetune: {match: {pairs: p.csv}}\n"
NEEDS = {
    "ingest": (),
    "images": ("ingest",),
    "tokens": ("ingest",),
    "pretrain": ("images", "tokens"),
    "match": ("pretrain",),
    "probes": ("pretrain",),
    "census": ("images",),
    "report": ("match", "probes"),
}
UNTIL_PRETRAIN = ["ingest", "images", "tokens", "pretrain"]


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    """A folder with a recipe; its stages are made up and write one file each."""

    def stage(name: str) -> Stage:
        files = {
            "ingest": ("items.parquet", "drops.csv"),
            "census": ("catalog.html", "fixes.csv"),
            "report": ("report.html",),
        }

        def run(work: Work) -> dict[str, Any]:
            for file in files.get(name, ("out",)):
                (work.folder / file).write_text(name)
            if name == "ingest":
                names = ["https://a.test/1.jpg", "//b.test/2.jpg", "3.jpg"]
                pl.DataFrame({"order": [0, 0, 0], "name": names}).write_parquet(work.folder / "pictures.parquet")
            return {"kept": 2, "dropped": {"no title": 1}}

        return Stage(name, 1, {"images": {"side": recipe.images.side}} if name == "images" else {}, run, NEEDS[name])

    def builders(loaded, sources):
        nonlocal recipe
        recipe = loaded
        return {name: lambda name=name: stage(name) for name in NEEDS if name != "match" or loaded.finetune.match}

    recipe: Any = None
    monkeypatch.setattr(plan, "builders", builders)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(RECIPE)
    return tmp_path


def call(*args: str, code: int = 0) -> str:
    """What a command prints, on stdout if it succeeds and on stderr otherwise."""
    result = CliRunner().invoke(app, args)
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def made(text: str) -> list[str]:
    return [line.split("\t")[0] for line in text.splitlines() if "\tmade\t" in line]


def test_the_command_line_does_not_grow_unnoticed():
    common = {"--debug", "--json", "--quiet"}  # which every command has
    commands = {
        name: sorted({o for p in c.params for o in (*p.opts, *p.secondary_opts)} - common)
        for name, c in get_command(app).commands.items()
        if name not in ("bench", "cache")
    }
    training = ["--no-resume", "--resume", "--set", "path"]
    about = ["--device", "--fetch", "--fetch-from", "--set", "--threads", "model"]
    answering = [*about, "--batch", "--column", "--no-resume", "--pictures", "--resume", "feed", "out"]
    assert commands == {
        "init": ["--yes", "-y", "feed", "out"],
        "ingest": ["--set", "path"],
        "verify": training,
        "diff": ["--out", "--set", "after", "before"],
        "preview": training,
        "why": ["--set", "path", "product"],
        "pretrain": ["--no-resume", "--nproc", *training[1:]],
        "finetune": ["--no-resume", "--nproc", *training[1:]],
        "probes": ["--checkpoint", *training],
        "audit": training,
        "run": ["--no-resume", "--nproc", *training[1:]],
        "report": training,
        "plan": ["--set", "path"],
        "ablate": training,
        "serve": [
            *("--allow-urls", "--device", "--host", "--index"),
            *("--max-listings", "--max-megabytes", "--max-megapixels", "--max-seconds", "--max-waiting"),
            *("--port", "--set", "--task", "--threads", "--workers", "model"),
        ],
        "predict": sorted(["--clusters", "--pairs", "--task", "--top", *answering]),
        "embed": sorted(["--index", "--task", *answering]),
        "search": sorted(["--picture", "--task", "--text", "-k", *about, "index"]),
        "export": ["--licence", "--license", "--onnx", "--push", "--set", "--task", "model", "out"],
        "push": [*training, "url"],
        "chaos": ["--goal", "--kills", "--seed", "--set", "path"],
        "doctor": ["--set", "path"],
        "completion": ["--install", "--line", "shell"],
        "replay": ["folder"],
        "shards": ["--as", *training[:-1], "out", "path"],
        "samples": ["--as", "--epochs", *training[:-1], "out", "path"],
    }
    (loader,) = get_command(app).commands["bench"].commands.items()
    assert (loader[0], sorted({o for p in loader[1].params for o in p.opts} - common)) == (
        "loader",
        ["--set", "path"],
    )
    caches = {
        name: sorted({o for p in c.params for o in p.opts} - common)
        for name, c in get_command(app).commands["cache"].commands.items()
    }
    assert caches == {"ls": ["place"], "gc": ["--keep", "--most", "--older", "--yes", "place"], "verify": ["place"]}
    assert [o for p in get_command(app).params for o in p.opts] == ["--version"]


def test_version():
    assert call("--version") == f"mlim {__version__}\n"


@pytest.mark.parametrize(
    ("command", "stages"),
    [
        ("ingest", ["ingest"]),
        ("pretrain", UNTIL_PRETRAIN),
        ("finetune", [*UNTIL_PRETRAIN, "match"]),
        ("run", list(NEEDS)),
        ("report", list(NEEDS)),
    ],
)
def test_each_command_runs_what_it_needs_first(shop, command, stages):
    assert made(call(command, "shop.yaml")) == stages


def test_ingest_tells_how_many_pictures_wait_to_be_downloaded(shop):
    assert "note: 2 pictures at 2 hosts are web addresses, and nothing is downloaded unasked; add" in call(
        "ingest", "shop.yaml"
    )
    assert "note:" not in call("ingest", "shop.yaml", "--set", "fetch={}")


def test_run_tells_what_it_did_and_where_the_report_lies(shop):
    first = call("run", "shop.yaml")
    assert "  kept 2\n  dropped: no title 1\n" in first
    assert re.search(r"\ntook .* s; forecast .* \(.* times too long\); dearest error: match \+", first)
    reports = shop / "reports/shop"
    assert first.endswith(f"census: {reports / 'catalog.html'}\nreport: {reports / 'report.html'}\n")
    assert (reports / "report.html").read_text() == "report"
    assert sorted(path.name for path in reports.iterdir()) == ["catalog.html", "fixes.csv", "report.html"]
    (shop / "reports/shop/report.html").unlink()
    again = call("run", "shop.yaml")
    assert again.startswith("nothing to do: everything is cached\n")
    assert made(again) == []
    assert (shop / "reports/shop/report.html").exists()


def test_plan_tells_what_would_run_and_why(shop):
    first = call("plan", "shop.yaml", "--set", "images.encoding=raw", "--set", "images.side=100").splitlines()
    assert first[8] == "disk: at most 30 MB for 1,000 pictures of 100 px, stored as raw"
    assert [line.split("\t")[0] for line in first[9:17]] == list(NEEDS)  # what each will take
    assert first[-2].startswith("forecast: ")
    assert first[-1] == "8 of 8 stages to run"
    call("run", "shop.yaml")
    assert call("plan", "shop.yaml").endswith("nothing to do: everything is cached\n")
    changed = call("plan", "shop.yaml", "--set", "images.side=48").splitlines()
    assert [line.split("\t")[::2] for line in changed[:8]] == [
        ["ingest", "cached"],
        ["images", "to run"],
        ["tokens", "cached"],
        *[[name, "to run"] for name in ("pretrain", "match", "probes", "census", "report")],
    ]
    assert changed[1].endswith("\timages.side: 256 -> 48")
    assert changed[8] == "disk: about 1.38 kB to 17.3 kB for 3 pictures of 48 px, stored as png"
    assert changed[-1] == "6 of 8 stages to run"
    key = changed[1].split("\t")[1]
    assert len(key) == 8
    assert int(key, 16)


def test_finetune_without_a_task_tells_what_to_add(shop):
    (shop / "shop.yaml").write_text("catalog: {feeds: [{path: feed.csv}]}\n")
    error = call("finetune", "shop.yaml", code=2)
    assert error.startswith("error: shop.yaml: finetune names no task; add one, for example\n  finetune:\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "no.yaml"], "error: no.yaml: No such file or directory; expected the path of a recipe file"),
        (["run", "."], "error: .: is a folder; give the path of a recipe file (.yaml)"),
        (["ingest", "empty"], "error: empty: "),
        (["ingest", "no.csv"], "error: no.csv: no such file or folder; give the path of a feed or of a recipe (.yaml)"),
        (["verify", "no.csv"], "error: no.csv: no such file or folder; give the path of a feed or of a recipe (.yaml)"),
        (["diff", "no.csv", "feed.csv"], "error: no.csv: no such file or folder"),
        (["why", "no.yaml", "A1"], "error: no.yaml: No such file or directory; expected the path of a recipe file"),
        (["pretrain", "feed.csv"], "error: feed.csv: expected a recipe (.yaml); `mlim ingest feed.csv` prints one for"),
        (["run", "shop.yaml", "--set", "images.side"], "error: --set images.side: expected a.b=value"),
        (["run", "shop.yaml", "--set", "imags.side=3"], "unknown key imags; did you mean `images`?"),
        (["plan", "env.yaml"], "error: env.yaml, line 1: name uses ${MLIM_UNSET}, and the environment variable"),
        (["run", "shop.yaml", "--set", "runtime.cache=feed.csv"], "feed.csv is not a folder; give a folder that can"),
        (["run", "shop.yaml", "--set", "runtime.reports=feed.csv/x"], "feed.csv is not a folder; give a folder that"),
        (
            ["verify", "shop.yaml", "--set", "runtime.reports=feed.csv/x"],
            "feed.csv is not a folder; give a folder that",
        ),
        (["plan", "bad.yaml"], "error: bad.yaml, line 2: unknown key sied"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_to_do(shop, args, message):
    (shop / "feed.csv").write_text("id,title\n")
    (shop / "empty").mkdir()
    (shop / "env.yaml").write_text("name: ${MLIM_UNSET}\n")
    (shop / "bad.yaml").write_text("catalog: {feeds: [{path: feed.csv}]}\nsied: 3\n")
    error = call(*args, code=2)
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("args", [["rum"], ["run"], ["run", "shop.yaml", "--epochs", "3"]])
def test_usage_errors_exit_with_2(shop, args):
    assert "Usage: mlim" in call(*args, code=2)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (DataError("feed.csv, line 3: odd"), 2, "error: feed.csv, line 3: odd\n"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again: it continues\n"),
        (Interrupted("saved at step 7; run again"), 1, "saved at step 7; run again\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/cache/x"),
            1,
            "error: /cache/x: No space left on device; when that is mended, run the same command again: it continues\n",
        ),
        (ValueError("odd"), 1, "error: ValueError: odd; run again with --debug for the traceback\n"),
    ],
)
def test_what_goes_wrong_in_a_stage(shop, monkeypatch, raised, code, message):
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(plan, "plan_recipe", fail)
    assert call("run", "shop.yaml", code=code) == message
    if isinstance(raised, Exception) and not isinstance(raised, Interrupted):
        assert CliRunner().invoke(app, ["run", "shop.yaml", "--debug"]).exception is raised


@pytest.fixture(scope="module")
def verified(tmp_path_factory) -> Path:
    """A real shop that has been verified, with a next week's feed."""
    folder = tmp_path_factory.mktemp("shop")
    trouble.write(folder)
    feed = (folder / "shop.csv").read_text()
    (folder / "next.csv").write_text(feed.replace("Torch", "Camping torch").replace("G9,", "G99,"))
    said = call("verify", str(folder / "shop.yaml"))
    assert "pairs of same picture cross the split\n" in said
    assert said.endswith("train 21, valid 0, test 0, left out 2: the split holds\n")
    return folder


def test_verify_leaves_its_page_and_tables_with_the_reports(verified):
    found = sorted(path.name for path in (verified / "reports/shop").iterdir())
    assert found == ["catalog.html", "census.json", "certificate.json", "drops.csv", "fixes.csv"]


def test_verify_and_plan_take_a_bare_feed(verified):
    assert "the split holds" in call("verify", str(verified / "shop.csv"))
    assert call("plan", str(verified / "next.csv")).endswith(" stages to run\n")


def test_a_feed_is_the_folder_that_one_is_in(tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "feed.csv").write_text("id,title\n1,Mug\n2,Pan\n")
    monkeypatch.chdir(folder)
    assert "listings 2" in call("ingest", ".")


def test_why_from_the_command_line(verified):
    said = call("why", str(verified / "shop.yaml"), "C1")
    assert "shop.csv, line 20, read as product\n  sku: C1\n" in said
    assert "\nsplit\n  in no part (duplicate of G0)\n" in said
    error = call("why", str(verified / "shop.yaml"), "G77", code=2)
    assert error == "error: no row of the feeds has the id 'G77'; near it: G7\n"


def test_diff_of_two_feeds_and_of_artifacts(verified, tmp_path):
    before, after = (str(verified / name) for name in ("shop.csv", "next.csv"))
    said = call("diff", before, after, "--out", str(tmp_path / "diff.csv"))
    told = said[said.index("came\t") :].splitlines()
    assert told[:6] == [
        *("came\t1 products", "  G99\ttitle: None -> Candlestick"),
        *("went\t1 products", "  G9\ttitle: Candlestick -> None"),
        *("changed\t1 products", "  G7\ttitle: Torch -> Camping torch"),
    ]
    assert told[6].startswith("moved\t")
    assert pl.read_csv(tmp_path / "diff.csv").columns == ["what", "id", "column", "before", "after"]
    (ingest,) = {path.parent for path in verified.glob(".mlim/ingest-*/items.parquet")} - {
        Path(line.split(": ")[1]).parent for line in call("ingest", after).splitlines() if line.startswith("items: ")
    }
    assert "came\t0 products\nwent\t0 products\nchanged\t0 products" in call("diff", str(ingest), before)
    images = next(verified.glob(".mlim/images-*/index.parquet")).parent
    assert "expected one of ingest, a folder ingest-" in call("diff", str(images), before, code=2)


@pytest.mark.parametrize("same_size", [True, False])
def test_a_split_that_was_tampered_with_does_not_pass(verified, tmp_path, same_size):
    shop = shutil.copytree(verified, tmp_path / "shop")
    (split,) = (
        path for path in shop.glob(".mlim/split-*/split.parquet") if pl.read_parquet(path)["part"].n_unique() == 2
    )
    split.chmod(0o644)
    data = split.read_bytes()
    split.write_bytes(data.replace(b"train", b"valid") if same_size else data + b"x")
    result = CliRunner().invoke(app, ["verify", str(shop / "shop.yaml")])
    assert result.exit_code == 1 and "Traceback" not in result.output
    if same_size:
        assert "split: split.parquet is not what the split was made of, or was changed since" in result.stdout
        assert result.stderr == "error: the split does not hold; see the lines above\n"
    else:
        assert "split.parquet: missing or of another size than recorded; delete" in result.stderr


STOPPED = """
import sys, time
from workbench import cli, plan
def wait(*_): print("waiting", flush=True); time.sleep(30)
plan.plan_recipe = wait
cli.app(["run", sys.argv[1]])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
def test_a_signal_ends_a_run_with_word_on_how_to_go_on(shop, number, code):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", STOPPED, str(shop / "shop.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(number)
        _, error = child.communicate(timeout=20)
    assert child.returncode == code
    assert error.endswith("run the same command again: it continues\n")
    assert error.count("\n") == 1


HEAVY = {"torch", "polars", "pydantic", "numpy", "PIL", "sklearn", "tokenizers", "jinja2", "yaml"}


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from workbench.cli import app\ntry: app(['--help'])\nfinally: print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    begun = time.monotonic()
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    ).stdout
    assert time.monotonic() - begun < 2  # 0.5 s on a quiet machine
    assert "plan" in out
    assert not HEAVY & set(out.splitlines()[-1].split())
