"""Kills are spread and repeatable; who is killed dies with all its processes; a killed chain comes to the same."""

import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import yaml
from typer.testing import CliRunner

from tests.bucket import S3
from tests.tasks import shop
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.key import key_of
from workbench.artifacts.shared import Shared
from workbench.artifacts.store import Away
from workbench.chaos import chain as chains
from workbench.chaos.chain import Chain
from workbench.chaos.chaos import Row, _copied, chaos
from workbench.chaos.compare import held
from workbench.chaos.killing import draw
from workbench.cli import app
from workbench.errors import MlimError

STAGES = ["ingest", "images", "duplicates", "split", "tokens", "pretrain"]
SECONDS = [0.1, 5.0, 0.2, 0.1, 0.1, 100.0]

# A program that starts another in a session of its own, where no signal for its group comes, tells so, and waits.
STUBBORN = """#!{python}
import signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
{ignore}
print("ready", flush=True)
time.sleep(60)
"""


def test_kills_are_spread_over_the_chain_in_its_order_and_repeatable() -> None:
    kills = draw(SECONDS, 20, Random(0))
    assert kills == draw(SECONDS, 20, Random(0)) != draw(SECONDS, 20, Random(1))
    assert kills == sorted(kills)
    places = Counter(kill.place for kill in kills)
    assert places.keys() == set(range(6))  # the quick ones, too
    assert places[5] > 8  # where the time goes
    assert Counter(kill.how for kill in kills) == {signal.SIGKILL: 12, signal.SIGTERM: 4, signal.SIGINT: 4}


@pytest.fixture
def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def build(ignore: str = "") -> Chain:
        script = tmp_path / "stubborn"
        script.write_text(STUBBORN.format(python=sys.executable, ignore=ignore))
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return Chain(tmp_path / "chain", ())

    return build


def ready(chain: Chain) -> None:
    while "ready" not in chain.log.read_text():
        time.sleep(0.01)


def test_a_process_that_outlives_its_chain_is_a_fault_and_ends(stubborn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "DIE", 0.3)
    chain = stubborn()
    with pytest.raises(MlimError, match="SIGKILL: 1 of its processes outlived it by"), chain.running() as life:
        ready(chain)
        assert len(chain.living()) == 2
        life.strike(signal.SIGKILL)
    time.sleep(0.1)
    assert chain.living() == []


def test_a_chain_that_will_not_stop_is_a_fault(stubborn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "END", 0.3)
    chain = stubborn("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with pytest.raises(MlimError, match="SIGTERM: it had not ended after"), chain.running() as life:
        ready(chain)
        life.strike(signal.SIGTERM)


def test_a_chain_that_fails_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(
        MlimError, match=r"failed by itself with exit code 2; .*output\.txt ends: error: .*No such file"
    ):
        Chain(tmp_path / "chain", ("pretrain", str(tmp_path / "absent.yaml"))).run()


def test_what_a_lost_machine_made_is_in_the_object_store(s3: S3, tmp_path: Path) -> None:
    chain = Chain(tmp_path / "chain", (), s3.url)
    store, ingredients = Shared(chain.cache, Away(s3.url, 1)), {"stage": "tokens"}
    with store.making("tokens", key_of(ingredients)) as folder:
        (folder / "ids").write_text("1 2 3")
        artifact = store.commit("tokens", ingredients, {})
        chain.lose()
        assert not chain.has(artifact.folder.name)
    with store.making("tokens", key_of(ingredients)) as folder:
        (folder / "ids").write_text("1 2 3")
        store.share(store.commit("tokens", ingredients, {}))
        assert held(_copied(Bucket(s3.url), tmp_path / "there")) == [f"{artifact.folder.name}.lock"]
    chain.lose()
    assert chain.has(artifact.folder.name) and not chain.cache.exists()
    assert (tmp_path / "there" / artifact.folder.name / "ids").read_text() == "1 2 3"


@pytest.mark.parametrize(("differs", "code"), [("", 0), ("metrics.jsonl, line 2: 3.1 instead of 3.2", 1)])
def test_the_exit_code_says_whether_all_is_equal(monkeypatch: pytest.MonkeyPatch, differs: str, code: int) -> None:
    rows = [Row("ingest", "", 0.25, ["SIGKILL 40%"]), Row("pretrain", differs, 60.0, ["SIGINT 5%", "SIGKILL 70%"])]
    monkeypatch.setattr("workbench.chaos.chaos.chaos", lambda *a: (rows, "quiet 61 s, killed 3 times 75 s"))
    result = CliRunner().invoke(app, ["chaos", "recipe.yaml", "--kills", "3"])
    assert result.exit_code == code
    assert result.stdout.splitlines() == [
        "ingest\t0.2\t1\tSIGKILL 40%\tequal",
        f"pretrain\t60.0\t2\tSIGINT 5%, SIGKILL 70%\t{differs or 'equal'}",
        "quiet 61 s, killed 3 times 75 s",
    ]
    assert ("not as without kills: pretrain" in result.stderr) == bool(differs)


def test_killed_twice_it_comes_to_the_same(tmp_path: Path) -> None:
    shop.build(tmp_path)
    recipe = tmp_path / "shop.yaml"
    recipe.write_text(yaml.dump(shop.tree(tmp_path / "cache")))
    said: list[str] = []
    rows, _ = chaos(recipe, ["pretrain.epochs=10"], "pretrain", 2, 0, said.append)
    assert [row.name for row in rows] == [
        "ingest",
        "images",
        "duplicates",
        "split",
        "tokens",
        "pretrain",
        "other files",
    ]
    assert {row.name: row.differs for row in rows if row.differs} == {}
    assert sum(len(row.kills) for row in rows) == 2
    assert max(int(line.rsplit("step ")[-1]) for line in said if "goes on from step" in line) > 0
    assert list((tmp_path / "cache").iterdir()) == []
