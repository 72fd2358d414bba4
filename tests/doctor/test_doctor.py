"""The whole of it: the real command on this machine, its output, and what a recipe adds."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.doctor import examine, links, pictures, show
from workbench.doctor import recipe as own
from workbench.doctor.asked import Asked
from workbench.doctor.child import Died
from workbench.doctor.examine import Check
from workbench.doctor.finding import Finding
from workbench.forecast.machine import Machine
from workbench.recipe.schema import Recipe

CATALOG = {"feeds": [{"path": "feed.csv", "columns": {"id": "id", "title": "title"}}]}


def recipe(**sections: object) -> Recipe:
    return Recipe.model_validate({"catalog": CATALOG, **sections})


def test_the_command_on_this_machine(tmp_path):
    command = [sys.executable, "-c", "from workbench.cli import app; app()", "doctor", "--json"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    said = json.loads(done.stdout)
    names = {found["name"]: found["state"] for found in said["findings"]}
    assert done.returncode == 0 and said["works"] and "Traceback" not in done.stderr, done.stderr
    wanted = {"python", "packages", "file locks", "renaming", "torch", "bf16 on cpu", "pictures on cpu", "gloo"}
    assert wanted <= names.keys() and {names[name] for name in wanted} == {"ok"}
    assert "torch.compile on cpu" in names and "DALI on cpu" in names
    assert list(tmp_path.iterdir()) == []


def stands() -> list[Finding]:
    time.sleep(60)
    return []


def test_a_doctor_that_is_stopped_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(examine, "of_machine", lambda asked: ())
    monkeypatch.setattr(examine, "torch_check", lambda asked: Check("torch", lambda: [Finding("torch", "ok", "")]))
    monkeypatch.setattr(examine, "of_work", lambda asked, gpus: [Check(f"{i}", stands, (), 60) for i in range(9)])
    begun, findings = time.monotonic(), examine.examine(Asked())
    next(findings)
    with pytest.raises(KeyboardInterrupt):
        findings.throw(KeyboardInterrupt)
    assert time.monotonic() - begun < 10


def test_what_is_asked_without_a_recipe_is_what_a_recipe_asks_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = Asked()
    assert Asked.by(recipe()) == replace(
        usual, cache=str(tmp_path / usual.cache), reports=str(tmp_path / usual.reports)
    )


def test_findings_come_in_the_order_of_the_checks_whichever_is_slow(monkeypatch):
    def says(name: str) -> list[Finding]:
        return [Finding(name, "ok", "")]

    def checks(asked: Asked, gpus: list[int]) -> list[Check]:
        return [Check(f"{name} {gpus}", says, (f"{name} {gpus}",)) for name in "abc"]

    monkeypatch.setattr(examine, "of_machine", lambda asked: [Check("first", says, ("first",))])
    seen = [Finding("torch", "ok", ""), Finding("GPU 0", "broken", ""), Finding("GPU 1", "ok", "")]
    monkeypatch.setattr(examine, "torch_check", lambda asked: Check("torch", lambda: seen))
    monkeypatch.setattr(examine, "of_work", checks)
    found = [finding.name for finding in examine.examine(Asked())]
    assert found == ["first", "torch", "GPU 0", "GPU 1", "a [1]", "b [1]", "c [1]"]


def test_what_a_recipe_needs_is_needed():
    def needed(asked: Asked, gpus: list[int]) -> set[str]:
        return {check.name for check in examine.of_work(asked, gpus) if check.needed}

    always = {"libraries", "pictures on cpu"}
    assert needed(Asked(), []) == always | {"bf16 on cpu"}
    assert needed(Asked(compile=True, decoder="dali"), []) == always | {
        "bf16 on cpu",
        "torch.compile on cpu",
        "DALI on cpu",
    }
    assert needed(Asked(decoder="dali"), [0, 2]) == always | {
        "bf16 on cuda:0",
        "bf16 on cuda:2",
        "NCCL",
        "DALI on cuda:0",
        "DALI on cuda:2",
    }


def test_lines():
    good, bad = Finding("cores", "ok", "2 of 2"), Finding("package x", "missing", "is not installed", "pip install x")
    note = replace(bad, name="GPU", needed=False)
    assert show.lines(good) == [("ok      cores                   2 of 2", "dim")]
    assert [line.strip() for line, _ in show.lines(bad)] == [
        "missing package x               is not installed",
        "-> pip install x",
    ]
    assert show.summary([good]) == "everything that is needed works"
    assert show.summary([good, note]) == "everything that is needed works; not here, and not needed: GPU"
    slow = Finding("disk speed", "warning", "slow", "a local disk")
    assert show.summary([bad, slow]) == "what is needed does not work: package x; worth a look: disk speed"
    assert show.fields([bad], 1.23)["works"] is False


def test_processes_that_find_each_other_by_the_loopback_alone(monkeypatch):
    def talk(backend, gpus, environment):
        if not environment:
            raise Died("RuntimeError: connectFullMesh failed")
        return ""

    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setattr(links, "_talk", talk)
    (found,) = links.gloo()
    assert found.state == "broken" and found.mend.startswith("export GLOO_SOCKET_IFNAME=lo")
    (found,) = links.nccl([0, 1])
    assert found.found == "RuntimeError: connectFullMesh failed" and "NCCL_P2P_DISABLE" in found.mend


def test_a_decoder_of_wrong_pixels(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    real = pictures._pixels
    assert pictures.on_cpu()[0].state == "ok"
    monkeypatch.setattr(pictures, "_pixels", lambda encoding, how: real(encoding, "cpu")[:, ::-1])  # blue for red
    (found,) = pictures.on_cpu()
    assert found.stops and found.found.startswith("wrong pixels")


def test_exit_codes(monkeypatch, tmp_path):
    bad = Finding("bf16 on cpu", "broken", "it [is]", "another torch")

    def doctor(*arguments: str, findings: list[Finding]) -> tuple[int, str]:
        monkeypatch.setattr(examine, "examine", lambda asked, recipe: findings)
        result = CliRunner().invoke(app, ["doctor", *arguments])
        return result.exit_code, result.stdout + result.stderr * ("--json" not in arguments)

    assert doctor(findings=[replace(bad, needed=False)])[0] == 0
    code, said = doctor(findings=[bad])
    assert code == 1 and "it [is]" in said and "-> another torch" in said
    code, said = doctor("--json", findings=[bad])
    assert code == 1 and json.loads(said)["findings"][0]["stops"]
    assert doctor("--set", "runtime.compile=true", findings=[]) == (
        2,
        "error: --set changes a recipe, and none is given: mlim doctor RECIPE --set …\n",
    )
    (tmp_path / "bad.yaml").write_text("catalogue: {}")
    assert doctor(str(tmp_path / "bad.yaml"), findings=[])[0] == 2


# -- a recipe ---------------------------------------------------------------------------------------------------------


def test_files_that_a_recipe_names(tmp_path):
    (tmp_path / "feed.csv").touch()
    feed = {"path": tmp_path / "feed.csv", "pictures": tmp_path / "pictures.zip"}
    asked = recipe(catalog={"feeds": [feed]})
    (found,) = own.sources(asked)
    assert found.stops and found.name == "catalog.feeds.0.pictures"
    (found,) = own.sources(
        asked.model_copy(update={"runtime": asked.runtime.model_copy(update={"remote": "s3://b/f"})})
    )
    assert not found.stops and "mlim plan" in found.mend
    (tmp_path / "pictures.zip").touch()
    assert own.sources(asked)[0].state == "ok"


def test_a_training_that_does_not_fit(monkeypatch, tmp_path):
    content = recipe(runtime={"cache": tmp_path, "device": "cpu"}).model_dump_json()
    memory, disk = own.fits(content)
    assert (memory.name, disk.name, memory.state) == ("training: memory", "training: disk", "ok")
    monkeypatch.setattr(own, "this_machine", lambda runtime: Machine(2, 10**9, 10**6, "X100", 10**6))
    memory, disk = own.fits(content)
    assert memory.state == disk.state == "warning" and memory.found.endswith(" of 1 GB")
    assert "runtime.checkpoints.last" in disk.mend


def test_trackers_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(own.importlib.util, "find_spec", lambda name: None)
    (found,) = own.trackers(recipe(runtime={"trackers": ["wandb"]}))
    assert found.stops and found.mend == "pip install 'mlim[wandb]'"


def test_a_remote_that_takes_files_and_one_that_does_not(tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    (found,) = own.reachable("runtime.checkpoints.remote", str(place), True)
    assert found.state == "ok" and list(place.iterdir()) == []
    (tmp_path / "file").touch()
    (found,) = own.reachable("runtime.checkpoints.remote", "nosuch://bucket", True)
    assert found.stops and "nosuch" in found.found


def test_a_store_for_the_cache_must_know_conditional_writes(tmp_path, monkeypatch):
    url = f"memory://{tmp_path.name}"
    (found,) = own.reachable(own.CACHE, url, True)
    assert found.state == "ok"
    monkeypatch.setattr(own.Bucket, "put", lambda self, name, data: "tag")
    (found,) = own.reachable(own.CACHE, url, True)
    assert found.stops and "knows no conditional writes" in found.found and found.mend == "give runtime.cache a disk"


def test_a_recipes_checks_are_asked_in_processes_of_their_own(tmp_path):
    asked = recipe(runtime={"cache": tmp_path, "checkpoints": {"remote": "s3://b/f"}, "remote": "/pushed"})
    checks = [check for check in examine.of_recipe(Asked.by(asked), asked) if check.seconds]
    assert [check.name for check in checks] == ["runtime.remote", "runtime.checkpoints.remote", "sources", "training"]
    found = [f for check in checks[2:] for f in examine.outcome(check)]
    assert [f.name for f in found][:2] == ["catalog.feeds.0.path", "training: memory"]
