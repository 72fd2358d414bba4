"""What every command shares: --json, --quiet, examples; each tried through the command line."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from tests.report import trouble
from workbench.cli import app


def call(*args: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


def told(*args: str | Path, code: int = 0) -> dict[str, Any]:
    """What a command says to a program: one object, and nothing beside it."""
    return json.loads(call(*args, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    trouble.write(folder)
    call("verify", folder / "shop.yaml")
    return folder


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


@pytest.mark.parametrize(
    ("words", "command"), [*commands()], ids=lambda part: " ".join(part) if type(part) is tuple else ""
)
def test_each_command_has_an_example_that_it_understands(words, command):
    assert command.epilog.startswith("Example: mlim ")
    _, *given = shlex.split(command.epilog.removeprefix("Example: "))
    assert tuple(given[: len(words)]) == words
    assert len(command.epilog) < 80  # one line of a usual terminal
    context = command.make_context("mlim", given[len(words) :])
    assert {name for name, value in context.params.items() if value is not None}


def test_help_shows_the_example():
    assert "Example: mlim ingest products.csv" in call("ingest", "--help").stdout


def test_ingest_in_json(shop):
    said = told("ingest", shop / "shop.yaml")
    assert said["stages"] == [{"stage": "ingest", "key": said["stages"][0]["key"], "state": "cached", "seconds": None}]
    assert said["counts"]["rows"] == sum(said["counts"][name] for name in ("listings", "joined", "dropped"))
    assert Path(said["items"]).is_file() and Path(said["drops"]).is_file()


def test_of_a_bare_feed_the_recipe_is_told_too(shop):
    assert told("ingest", shop / "shop.csv")["recipe"]["catalog"]["feeds"][0]["columns"]["title"]


def test_verify_plan_why_and_diff_in_json(shop):
    said = told("verify", shop / "shop.yaml")
    assert said["holds"] and said["proof"][-1].endswith("the split holds") and Path(said["census"]).is_file()
    said = told("plan", shop / "shop.yaml")
    assert [stage["state"] for stage in said["stages"]][:4] == ["cached"] * 4
    assert 0 < said["low"] <= said["seconds"] <= said["high"]
    (shop / "next.csv").write_text((shop / "shop.csv").read_text().replace("G9,", "G99,"))
    said = told("diff", shop / "shop.csv", shop / "next.csv", "--out", shop / "diff.csv")
    assert (said["came"], said["went"], said["changed"], said["differences"]) == (1, 1, 0, str(shop / "diff.csv"))
    steps = {step["step"]: step["lines"] for step in told("why", shop / "shop.yaml", "C1")["way"]}
    assert any("duplicate of G0" in line for line in steps["split"])


def test_errors_in_json_are_told_to_people_too(shop):
    result = call("why", shop / "shop.yaml", "G77", "--json", code=2)
    said = json.loads(result.stdout)
    assert said["error"] == "no row of the feeds has the id 'G77'; near it: G7" and said["exit_code"] == 2
    assert result.stderr.endswith(f"error: {said['error']}\n")


def test_stdout_of_a_process_is_the_object_alone(shop):
    command = [sys.executable, "-m", "workbench", "ingest", str(shop / "shop.yaml"), "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout)["items"].endswith("items.parquet")
    assert "nothing to do" in done.stderr


def test_quiet_tells_results_alone(shop):
    said = call("ingest", shop / "shop.csv", "--quiet")
    assert [line.partition(": ")[0] for line in said.stdout.splitlines()] == ["items", "drops"]
    assert said.stderr == ""
    said = call("verify", shop / "shop.yaml", "--quiet", "--set", "catalog.split.seed=7")
    assert said.stdout.startswith("census: ") and said.stdout.endswith("the split holds\n")


def test_a_server_tells_nothing_at_its_end():
    assert "No such option" in call("serve", "model", "--json", code=2).stderr
