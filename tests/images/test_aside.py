"""Pictures made in processes aside: the same bytes, whoever makes them, and no process outlives the one it serves."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.conftest import Shop, encoded, plaid
from workbench.images import store as store_module
from workbench.images.aside import Asides, is_small
from workbench.images.made import Source, made_of
from workbench.recipe.schema import Images

IMAGES = Images(side=16, shard_pictures=40)


def sources() -> list[Source]:
    data = [encoded(plaid(30 + i, 20, i)) for i in range(5)] + [b"nothing to see", encoded(plaid())[:90]]
    return [Source(each, hashlib.sha256(each).hexdigest()) for each in data]


def test_the_stage_writes_the_same_bytes(shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {f"{i:02}.png": encoded(plaid(20 + i, 30, i)) for i in range(90)}
    pictures |= {"a.png": b"", "b.png": encoded(plaid(700, 500)), "c.jpg": encoded(plaid(50, 50), "JPEG")[:200]}
    ours = shop(pictures, [*([name, "00.png"] for name in pictures), "none.png", None])
    folders = [ours.run(IMAGES, "one", threads=1)[0]]
    monkeypatch.setattr(store_module, "MANY", 1)
    folders.append(ours.run(IMAGES, "aside", threads=2)[0])
    one, aside = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == aside


def test_what_is_small() -> None:
    assert is_small(encoded(plaid(512, 512)))
    assert not is_small(encoded(plaid(513, 512))) and not is_small(b"no picture")


def test_an_ended_process_leaves_its_work_to_the_thread() -> None:
    expected = [made_of(source, IMAGES, "png") for source in sources()]
    asides = Asides(IMAGES, "png")
    assert asides.made(sources()) == expected
    [(_, process)] = asides._all
    process.kill()
    process.wait()
    assert asides.made(sources()) == expected
    asides.close()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_it_serves(by: signal.Signals, tmp_path: Path) -> None:
    code = """if True:
        import time
        from tests.images.test_aside import IMAGES, sources
        from workbench.images.aside import Asides
        asides = Asides(IMAGES, "png")
        asides.made(sources())
        print(asides._all[0][1].pid, flush=True)
        time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout
        served = int(run.stdout.readline())
        run.send_signal(by)
        run.wait()
    for _ in range(200):
        if not _is_running(served):
            return
        time.sleep(0.05)
    os.kill(served, signal.SIGKILL)
    raise AssertionError("it goes on")


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
