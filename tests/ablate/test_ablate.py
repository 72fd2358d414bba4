"""Variants of a tiny shop from the recipe to the table: each training once, whatever interrupts it."""

import io
import json
import re
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.tasks import shop
from workbench.ablate import run as running
from workbench.ablate.ablate import ablate
from workbench.ablate.jobs import Job
from workbench.errors import RecipeError
from workbench.recipe.load import load_recipe, to_yaml

ARM = {"epochs": 1, "optim": {"lr": 1e-3, "batch_size": 64}}
VARIANTS = {"as it is": [], "no MDO": ["finetune.match.mdo.text=0", "finetune.match.mdo.image=0"]}
COMMAND = [sys.executable, "-c", "from workbench.cli import app; app()", "ablate"]


def write(folder: Path, name: str, threads: int, **more: Any) -> Path:
    tree = shop.tree(folder / name, match=shop.match(scratch=None, pretrained=ARM))
    tree["runtime"] |= {"threads": threads, "reports": str(folder / f"{name} reports")}
    path = folder / f"{name}.yaml"
    path.write_text(to_yaml(tree | {"name": "shop", "ablate": {"variants": VARIANTS, "seeds": [0, 1]}} | more))
    return path


def run(path: Path) -> tuple[dict[str, Any], str, Path]:
    said = io.StringIO()
    content, page = ablate(path, (), Console(file=said, width=200))
    return content, said.getvalue(), page


def without_times(content: dict[str, Any]) -> str:
    return json.dumps(content | {"variants": [v | {"seconds": None} for v in content["variants"]]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[dict[str, Any], str, Path]:
    return run(write(folder, "one", 1))


def test_what_is_equal_is_made_once(whole, folder):
    content, said, page = whole
    assert "2 variants x 2 seeds: 6 of 6 to make (2 pretrain, 4 match)" in said
    assert "pretrain as as it is; match 2 to make" in said
    names = ("ingest", "tokens", "pretrain", "match")
    assert [len(list((folder / "one").glob(f"{name}-*[0-9a-f]"))) for name in names] == [1, 1, 2, 4]
    first, other = content["variants"]
    assert list(first["measures"]) == ["PR AUC", "PR AUC, text alone", "PR AUC, picture alone"]
    assert other["losses"] == first["losses"]
    assert first["seconds"]["match"] > 0
    assert json.loads((page.parent / "ablation.json").read_text()) == content
    assert "| as it is | " in (page.parent / "ablation.md").read_text()


def test_the_table_has_the_task_s_own_figures(whole, folder):
    """The interval of one seed is that of the match stage; the mean over two is between theirs."""
    by_seed = whole[0]["variants"][0]["measures"]["PR AUC"]["by_seed"]
    made = [json.loads(file.read_text()) for file in (folder / "one").glob("match-*/results.json")]
    known = {arms["arms"][0]["pr_auc"]["mean"] for arms in made}
    assert set(by_seed) <= known


def test_the_page(whole):
    text = whole[2].read_text()
    assert text.count("<tr><td>no MDO</td>") == 4  # three measures, and the cost
    assert not re.search(r"(src|href)=.(?!data:)", text)


def test_a_second_run_does_nothing(whole, folder):
    content, said, _ = run(folder / "one.yaml")
    assert "0 of 6 to make\n" in said
    assert content == whole[0]


def test_side_by_side_interrupted_and_run_again_equals_one_by_one(whole, folder):
    path = write(folder, "two", 2)
    with subprocess.Popen([*COMMAND, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if line.startswith("ablate  pretrain: as it is"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        assert "ablate: stopped and saved; run the same command again" in process.stderr.read()
    assert process.returncode == 130
    content, said, _ = run(path)
    assert "6 of 6" not in said
    assert without_times(content) == without_times(whole[0])


def test_what_a_training_raises_names_it_and_the_process_goes_on(folder, monkeypatch):
    ours, its = Pipe()
    job = Job("match", "key", "wild", 3, load_recipe(write(folder, "three", 1)), frozenset(), False)
    raised = [RecipeError("no such GPU"), ValueError("odd"), None]

    def make(*_: object) -> None:
        if error := raised.pop(0):
            raise error

    monkeypatch.setattr(running, "_make", make)
    monkeypatch.setattr(running, "die_with_parent", lambda: None)
    answers = []

    def parent() -> None:
        for _ in range(3):
            ours.send(job)
            answers.append(ours.recv())
        ours.close()  # no more jobs

    before, thread = signal.getsignal(signal.SIGTERM), threading.Thread(target=parent)
    thread.start()
    try:
        running._work(its, 1, True)
    finally:
        signal.signal(signal.SIGTERM, before)
        thread.join()
    assert [str(answer) for answer in answers] == [
        "match: wild, seed 3: no such GPU",
        "match: wild, seed 3: ValueError: odd",
        "None",
    ]
    assert answers[0].exit_code == 2  # a recipe that can't be
