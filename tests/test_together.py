"""The chain by several processes as users start them: `--nproc`, and an agent of torchrun on each of two machines."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.recipe.load import to_yaml

ROOT = Path(__file__).parents[1]
QUIET = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
STEPS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    tree = shop.tree(folder / "cache")
    tree["model"] |= {"dropout": 0.0, "precision": "fp32"}
    tree["pretrain"] = {"epochs": 4, "optim": {"lr": 1e-4, "batch_size": 15}, "log_every": 1, "validate_every": 2}
    tree["runtime"]["checkpoints"] = {"steps": 2}
    (folder / "recipe.yaml").write_text(to_yaml(tree))
    return folder


def mlim(folder: Path, cache: str, *more: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    at = ["--set", f"runtime.cache={folder / cache}", "--set", f"runtime.reports={folder / 'reports'}"]
    command = [sys.executable, *before, "-m", "workbench", "pretrain", str(folder / "recipe.yaml"), *at, *more]
    return subprocess.Popen(
        command, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    """What it said, once it has ended with this code."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


def losses(folder: Path, cache: str) -> list[dict[str, Any]]:
    (made,) = (folder / cache).glob("pretrain-*[0-9a-f]")
    lines = Artifact.open(made).path("metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def same_as_one(folder: Path, cache: str, one: list[dict[str, Any]]) -> None:
    found = losses(folder, cache)
    assert len(found) == len(one) == STEPS + 2
    for line, expected in zip(found, one, strict=True):
        assert line == pytest.approx(expected, rel=1e-5, abs=1e-5)


def until(there: Callable[[], bool]) -> None:
    for _ in range(1200):
        if there():
            return
        time.sleep(0.05)
    raise TimeoutError


def saved(folder: Path, cache: str) -> bool:
    return any((folder / cache).glob("checkpoints/*/step-*/position.json"))


def children(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


@pytest.fixture(scope="module")
def one(folder: Path) -> list[dict[str, Any]]:
    ended(mlim(folder, "cache"), 0)
    return losses(folder, "cache")


def test_a_killed_process_ends_all_and_the_same_command_goes_on(folder: Path, one: list[dict[str, Any]]) -> None:
    process = mlim(folder, "killed", "--nproc", "2")
    until(lambda: saved(folder, "killed"))
    begun = time.monotonic()
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    _, err = ended(process, 1)
    assert time.monotonic() - begun < 60
    assert err.splitlines() == [
        "error: rank 1 was killed by SIGKILL (was the memory full?); run the same command again: it goes on from the "
        "last checkpoint"
    ]
    process = mlim(folder, "killed", "--nproc", "2", "--set", "runtime.parallel=shard")
    until(lambda: bool(children(process.pid)))
    ended(process, 0)
    same_as_one(folder, "killed", one)


def agents(folder: Path, caches: tuple[str, str]) -> list[subprocess.Popen[str]]:
    """One of torchrun for each of two machines on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    torchrun = ("-m", "torch.distributed.run", "--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", port)
    return [mlim(folder, cache, before=(*torchrun, "--node-rank", str(node))) for node, cache in enumerate(caches)]


def test_a_machine_that_is_lost_ends_the_other_and_both_go_on(folder: Path, one: list[dict[str, Any]]) -> None:
    """Each has a cache of its own: both make the data, the checkpoints are the first one's."""
    first, second = agents(folder, ("first", "second"))
    until(lambda: saved(folder, "first"))
    for pid in (second.pid, *children(second.pid)):
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    _, err = ended(first, 1)
    assert time.monotonic() - begun < 60
    assert "error: rank 0: another process is gone; was it killed, or its machine? the same command goes on" in err
    ended(second, -signal.SIGKILL)
    for agent in agents(folder, ("first", "second")):
        ended(agent, 0)
    same_as_one(folder, "first", one)
    assert not list((folder / "second").glob("pretrain-*")) and list((folder / "second").glob("tokens-*"))
