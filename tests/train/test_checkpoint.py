"""Checkpoints are whole or not there, kept by what they record, and no fault of a disk or a network ends a training."""

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.bucket import S3
from tests.tiny import SHAPE, network
from tests.train.toy import CPU, OPTIM, Curve, Points, lines, steady, train, weights
from workbench.artifacts import bucket as buckets
from workbench.artifacts.bucket import Bucket
from workbench.errors import ArtifactError
from workbench.recipe.schema import Checkpoints as When
from workbench.train import checkpoint
from workbench.train.checkpoint import METRICS, POSITION, STATE, Position, open_checkpoint
from workbench.train.checkpoints import Checkpoints, complete
from workbench.train.loop import Outcome, Plan, fit
from workbench.train.metrics_log import MetricsLog
from workbench.train.optim import adamw
from workbench.train.snapshot import Snapshot
from workbench.train.state import gathered, restore
from workbench.train.world import ALONE

OF = {"section": {"images": {"side": 64}}, "sources": {}}
PLAN = Plan(steps=8, optim=OPTIM, seed=1, log_every=1)


def tensors(step: int, size: int = 100) -> Snapshot:
    return Snapshot.of({"model.w": torch.full((size,), float(step)), "optimizer.step.w": torch.tensor(float(step))})


def save(kept: Checkpoints, *steps: int, of: int = 1000, seconds: float = 60.0, **more: Any) -> None:
    """Each after so many seconds a step."""
    for step in steps:
        position = Position(step, of, seconds=step * seconds, **more)
        kept.save(tensors(step), position, f"log {step}".encode())


def steps(folder: Path) -> list[int]:
    return sorted(c.position.step for c in complete(folder))


@pytest.fixture
def said() -> list[str]:
    return []


# What a checkpoint holds


def test_a_restored_state_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        sum(parameter.square().sum() for parameter in model.parameters()).backward()
        optimizer.step()
        optimizer.zero_grad()

    written, read = network(), network(seed=1)
    first, second = (adamw(model, OPTIM, average=0.9) for model in (written, read))
    step(written, first)
    with Checkpoints(tmp_path, OF) as kept:
        kept.save(gathered(written, first, ALONE), Position(1, 9), b"log")
        found = kept.newest()
    assert found and found.position == Position(1, 9) and found.metrics == b"log"
    restore(found.tensors, read, second, ALONE)
    step(written, first)
    step(read, second)
    for a, b in zip(written.parameters(), read.parameters(), strict=True):
        assert torch.equal(a, b)
        assert first.state[a].keys() == second.state[b].keys() == {"step", "exp_avg", "exp_avg_sq", "average"}
        assert all(torch.equal(first.state[a][slot], second.state[b][slot]) for slot in first.state[a])


def test_copies_are_made_where_the_last_ones_were(tmp_path: Path) -> None:
    model = network()
    optimizer = adamw(model, OPTIM)
    with Checkpoints(tmp_path, OF) as kept:
        before = gathered(model, optimizer, ALONE, kept.room())
        kept.save(before, Position(1, 9), b"")
        with torch.no_grad():
            next(model.parameters()).add_(1)
        after = gathered(model, optimizer, ALONE, kept.room())
    assert {n: t.data_ptr() for n, t in before.items()} == {n: t.data_ptr() for n, t in after.items()}
    name, parameter = next(iter(model.named_parameters()))
    assert torch.equal(after[f"model.{name}"], parameter) and after[f"model.{name}"] is not parameter


def test_a_snapshot_is_the_file_that_safetensors_reads(tmp_path: Path) -> None:
    made = {
        "a": torch.randn(3, 5),
        "b": torch.randn(7).bfloat16(),
        "c": torch.tensor(2.5),
        "d": torch.arange(4),
        "e": torch.randn(2, 2, dtype=torch.float64),
        "f": torch.randn(1).half(),
        "g": torch.zeros(0, 4),
        "h": torch.randn(70_000).view(700, 100),
    }
    Snapshot.of(made).write(tmp_path / "file")
    read = load_file(tmp_path / "file")
    assert read.keys() == made.keys()
    for name, tensor in made.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)
    assert (tmp_path / "file").stat().st_size == Snapshot.of(made).size


def test_a_disk_that_takes_no_unaligned_writes_is_written_to_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, asked = os.open, list[int]()

    def picky(path: Path, flags: int, mode: int = 0o777) -> int:
        asked.append(flags & os.O_DIRECT)
        if asked[-1]:
            raise OSError(errno.EINVAL, "Invalid argument")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", picky)
    tensors(1).write(tmp_path / "file")
    assert asked == [os.O_DIRECT, 0] and load_file(tmp_path / "file")["model.w"].sum() == 100


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    model, other = network(), network(shape=replace(SHAPE, vocabulary=41))
    state = gathered(model, adamw(model, OPTIM), ALONE)
    with pytest.raises(ArtifactError, match=r"another model's"):
        restore(state, other, adamw(other, OPTIM), ALONE)


def test_the_files_are_safetensors_and_json_and_the_same_each_time(tmp_path: Path) -> None:
    for name in "ab":
        with Checkpoints(tmp_path / name, OF, model=b"{}") as kept:
            save(kept, 3)
    (folder,) = (tmp_path / "a").iterdir()
    assert sorted(p.name for p in folder.iterdir()) == [METRICS, "model.json", POSITION, STATE]
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "b" / folder.name / file.name).read_bytes()
    assert json.loads((folder / POSITION).read_text())["of"] == OF


@pytest.mark.parametrize("shape", [replace(SHAPE, vocabulary=41), replace(SHAPE, patch=8)])
def test_weights_of_another_model_are_refused(tmp_path: Path, shape: Any) -> None:
    checkpoint.write(tmp_path / "weights", dict(network().named_parameters()))
    same = network(seed=1)
    checkpoint.read_weights(tmp_path / "weights", same)
    assert all(map(torch.equal, same.parameters(), network().parameters()))
    with pytest.raises(ArtifactError, match=r"weights: not the weights of this model"):
        checkpoint.read_weights(tmp_path / "weights", network(shape=shape))


# When, and which of them stay


def test_one_is_due_by_steps_and_by_time_trained(tmp_path: Path) -> None:
    by_steps = Checkpoints(tmp_path, OF, When(steps=3, minutes=None))
    assert [s for s in range(1, 10) if by_steps.due(s, 1e6 * s)] == [3, 6, 9]
    kept = Checkpoints(tmp_path, OF, When(minutes=2))
    assert not kept.due(41, 5000.0)  # a resumed run: its clock begins now
    assert not kept.due(42, 5119.0) and kept.due(43, 5120.0)
    save(kept, 43, seconds=5120 / 43)
    assert not kept.due(44, 5239.0) and kept.due(45, 5240.0)
    kept.all()


def test_the_last_ones_stay_by_step_and_not_by_time_of_file(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, OF, When(last=2)) as kept:
        save(kept, 5, 10)
        kept.all()
        for age, name in enumerate(sorted(p.name for p in tmp_path.iterdir())):
            os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
        save(kept, 15)
        assert [c.position.step for c in kept.all()] == [15, 10]


def test_the_best_validation_and_what_has_a_reason_stay(tmp_path: Path) -> None:
    for best, expected in ((True, [3, 4, 7, 8]), (False, [4, 7, 8])):
        folder = tmp_path / str(best)
        with Checkpoints(folder, OF, When(last=2), best=best) as kept:
            save(kept, 1, 2)
            save(kept, 3, best_step=3)
            kept.save(tensors(4), Position(4, 1000, best_step=3), b"", why="the cooldown begins")
            save(kept, 5, 6, 7, 8, best_step=3)
        assert steps(folder) == expected
        with Checkpoints(folder, OF, best=best) as kept:
            kept.finished(1000)
        assert steps(folder) == ([3, 4] if best else [4])


def test_one_of_every_two_hours_of_training_stays_for_good(tmp_path: Path) -> None:
    when = When(last=1, hours=2)
    with Checkpoints(tmp_path, OF, when) as kept:
        save(kept, *range(1, 14), seconds=1500.0)  # a checkpoint every 25 minutes: 2 h are passed at 5, 4 h at 10
        kept.finished(999)  # another length's end is nothing to these
    assert steps(tmp_path) == [5, 10, 13]
    with Checkpoints(tmp_path, OF, when) as kept:
        kept.finished(1000)
    assert steps(tmp_path) == [5, 10]


def test_checkpoints_of_a_training_of_another_length_are_left_alone(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, OF, When(last=2)) as kept:
        save(kept, 100, 200, 300, of=400)
        save(kept, 100, 200, of=900)
        kept.finished(900)
    assert [c.name for c in complete(tmp_path)] == ["step-00000200-of-00000400", "step-00000300-of-00000400"]


def test_what_killed_runs_left_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    """By minutes a resumed run saves at other steps: nobody would write over what was torn."""
    with Checkpoints(tmp_path, OF, When(last=2)) as kept:
        save(kept, 4, 5)
    (tmp_path / "step-00000004-of-00001000").rename(tmp_path / "step-00000004-of-00001000.tmp")  # all but renamed
    (tmp_path / "step-00000005-of-00001000.tmp").mkdir()  # half deleted
    with Checkpoints(tmp_path, OF, When(last=1)) as kept:
        save(kept, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000008-of-00001000"]


def test_where_nothing_stays_there_is_no_folder(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "run", OF) as kept:
        save(kept, 1, 2)
        kept.finished(1000)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_training_is_refused_with_what_differs(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, OF) as kept:
        save(kept, 1)
    other = Checkpoints(tmp_path, {}, differs=lambda of: ["images.side: 64 -> 48", "input tokens changed"])
    with pytest.raises(ArtifactError, match=r"another training.*: images\.side: 64 -> 48; input tokens changed; take"):
        other.all()


# Torn, damaged


def truncate(folder: Path) -> None:
    os.truncate(folder / STATE, (folder / STATE).stat().st_size - 1)


def flip(folder: Path) -> None:
    content = bytearray((folder / STATE).read_bytes())
    content[-30] ^= 1
    (folder / STATE).write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "a bit": flip,
    "garbage": lambda folder: (folder / STATE).write_bytes(b"\xff" * (folder / STATE).stat().st_size),
    "no state": lambda folder: (folder / STATE).unlink(),
    "empty position": lambda folder: (folder / POSITION).write_bytes(b""),
    "another position": lambda folder: (folder / POSITION).write_text('{"step": 4}'),
    "no position": lambda folder: (folder / POSITION).unlink(),
    "log": lambda folder: (folder / METRICS).write_text("x"),
    "torn": lambda folder: folder.rename(folder.with_suffix(".tmp")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_earlier_one_is_taken_where_the_last_is_damaged(name: str, tmp_path: Path, said: list[str]) -> None:
    with Checkpoints(tmp_path, OF) as kept:
        save(kept, 2, 4)
    DAMAGES[name](tmp_path / "step-00000004-of-00001000")
    with Checkpoints(tmp_path, OF, say=said.append) as kept:
        found = kept.newest()
        assert found and found.position.step == 2 and found.tensors["model.w"][0] == 2
        kept.all()
        (line,) = said
        assert "step-00000004" in line and "an earlier checkpoint is taken" in line
        save(kept, 3, 4)
        assert (found := kept.newest()) and found.position.step == 4


def test_a_training_goes_on_past_a_damaged_checkpoint_to_the_same_end(tmp_path: Path) -> None:
    _, whole = train(tmp_path / "whole", PLAN, every=2)
    train(tmp_path / "run", PLAN, every=2, stop_at=6)
    truncate(tmp_path / "run" / "checkpoints" / "step-00000006-of-00000008")
    outcome, task = train(tmp_path / "run", PLAN, every=2)
    assert outcome.position.step == 8 and lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert all(torch.equal(a, weights(whole)[name]) for name, a in weights(task).items())


# Written meanwhile


def test_training_goes_on_while_one_is_written_and_the_next_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, written = threading.Event(), Snapshot.write
    monkeypatch.setattr(Snapshot, "write", lambda *args: may_write.wait(10) and written(*args))
    with Checkpoints(tmp_path, OF) as kept:
        save(kept, 1)
        assert steps(tmp_path) == []
        second = threading.Thread(target=save, args=(kept, 2))
        second.start()
        second.join(0.2)
        assert second.is_alive()
        may_write.set()
        second.join()
        assert [c.position.step for c in kept.all()] == [2, 1]


def test_what_is_no_fault_of_the_disk_surfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Snapshot, "write", broken)
    kept = Checkpoints(tmp_path, OF)
    save(kept, 1)
    with pytest.raises(KeyError, match="a bug"):
        save(kept, 2)


# A disk that fills


class Disk:
    """Takes no more once `full`: a file that is being written stops halfway."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        whole_write = Snapshot.write

        def write(snapshot: Snapshot, path: Path) -> None:
            whole_write(snapshot, path)
            if self.full:
                os.truncate(path, path.stat().st_size // 2)
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Snapshot, "write", write)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_full_disk_costs_a_checkpoint_and_the_next_is_tried_again(
    tmp_path: Path, said: list[str], disk: Disk
) -> None:
    with Checkpoints(tmp_path, OF, say=said.append) as kept:
        save(kept, 1)
        kept.all()
        disk.full = True
        save(kept, 2)
        kept.all()
        assert [p.name for p in tmp_path.iterdir()] == ["step-00000001-of-00001000"]
        (line,) = said
        assert line.startswith("warning: ") and "step 2 could not be written" in line and "No space left" in line
        assert "needs 4,505 bytes, " in line and " are free" in line and "tries again" in line
        disk.full = False
        save(kept, 3)
        assert [c.position.step for c in kept.all()] == [3, 1]


def test_when_stopped_a_full_disk_is_an_error_that_names_the_earlier_one(tmp_path: Path, disk: Disk) -> None:
    with Checkpoints(tmp_path, OF) as kept:
        disk.full = True
        with pytest.raises(ArtifactError, match=r"at step 1 could not .* goes on from the beginning"):
            kept.save(tensors(1), Position(1, 9), b"", must=True)
        disk.full = False
        save(kept, 1)
        kept.all()
        disk.full = True
        with pytest.raises(
            ArtifactError, match=r"needs 4,500 bytes.* goes on from step 1 \(.*step-00000001-of-00001000\)"
        ):
            kept.save(tensors(2), Position(2, 9), b"", must=True)


def test_a_training_that_was_stopped_on_a_full_disk_comes_to_the_same_end(tmp_path: Path, disk: Disk) -> None:
    _, whole = train(tmp_path / "whole", PLAN)
    train(tmp_path / "run", PLAN, stop_at=3)

    def filling(step: int) -> list[Points]:
        disk.full = step >= 5
        return steady(step)

    with pytest.raises(ArtifactError, match=r"step 7 could not be written.* goes on from step [45] "):
        train(tmp_path / "run", PLAN, filling, stop_at=7)
    disk.full = False
    outcome, task = train(tmp_path / "run", PLAN)
    assert outcome.position.step == 8 and lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert all(torch.equal(a, weights(whole)[name]) for name, a in weights(task).items())


def test_a_full_disk_at_the_last_step_leaves_the_result_to_be_written(tmp_path: Path, disk: Disk) -> None:
    _, whole = train(tmp_path / "whole", PLAN)

    def filling(step: int) -> list[Points]:
        disk.full = step == 7
        return steady(step)

    outcome, task = train(tmp_path / "run", PLAN, filling)
    assert outcome.position.step == 8 and disk.full
    assert all(torch.equal(a, weights(whole)[name]) for name, a in weights(task).items())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_small_disk_fills_in_the_middle_of_a_checkpoint(small: Path, said: list[str]) -> None:
    """One of 600 kB fits, two don't."""
    with Checkpoints(small / "run", OF, When(last=2), say=said.append) as kept:
        for step in (1, 2):
            kept.save(tensors(step, 150_000), Position(step, 9), b"")
        kept.all()
        assert steps(small / "run") == [1] and not list(small.rglob("*.tmp"))
        assert "needs 604,100 bytes, 4" in said[0]
        with pytest.raises(ArtifactError, match=r"goes on from step 1"):
            kept.save(tensors(4, 150_000), Position(4, 9), b"", must=True)
    assert len(said) == 1
    with Checkpoints(small / "run", OF) as kept:
        assert (found := kept.newest()) and found.position.step == 1 and found.tensors["model.w"][-1] == 1


def test_on_a_full_disk_the_last_one_makes_room_for_the_next_but_one(small: Path, said: list[str]) -> None:
    """Two of 400 kB fit, three don't: at each moment there is a whole one."""
    with Checkpoints(small / "run", OF, When(last=2), say=said.append) as kept:
        for step in (1, 2, 3, 4):
            kept.save(tensors(step, 100_000), Position(step, 9), b"")
        kept.all()
        assert steps(small / "run") == [3, 4]
    assert len(said) == 2 and "1 earlier checkpoints are removed to make room" in said[0]


def test_a_log_on_a_full_disk_loses_no_line(small: Path, said: list[str]) -> None:
    log = MetricsLog(small / METRICS, b'{"step": 1}\n', said.append)
    with (small / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        while True:
            ballast.write(b"0" * 4096)
    for step in range(2, 900):  # the file's first page holds some of them
        log.write({"step": step})
    assert len(said) == 1 and "No space left" in said[0]
    with pytest.raises(ArtifactError, match="could not be written"):
        log.close()
    (small / "ballast").unlink()
    log.write({"step": 900})
    log.close()
    assert (small / METRICS).read_bytes() == log.content
    assert [json.loads(line)["step"] for line in log.content.splitlines()] == list(range(1, 901))


def test_a_log_that_cannot_be_written_is_told_once_and_kept(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MetricsLog(tmp_path / METRICS, b"", said.append)
    opened = Path.open

    def full(*args: Any, **how: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    log.write({"step": 1})
    log.write({"step": 2})
    assert len(said) == 1
    monkeypatch.setattr(Path, "open", opened)
    log.write({"step": 3})
    assert (tmp_path / METRICS).read_bytes() == log.content == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'


# Elsewhere


def go(folder: Path, kept: Checkpoints, stop_at: int = 0) -> tuple[Outcome, Curve]:
    folder.mkdir(exist_ok=True)
    task, asked = Curve(), list[int]()

    def batches(start: int, size: int) -> Iterator[Sequence[Points]]:
        for step in range(start, PLAN.steps):
            asked.extend([step] * (step + 1 == stop_at))
            yield steady(step)

    return fit(task, batches, PLAN, folder, kept, CPU, stop=lambda: bool(asked)), task


def test_what_is_kept_here_is_kept_there(tmp_path: Path) -> None:
    remote, when = tmp_path / "remote", When(last=1, hours=1, remote=str(tmp_path / "remote"))
    with Checkpoints(tmp_path / "run", OF, when) as kept:
        save(kept, 1, 2, 3, seconds=1800.0)
    assert steps(tmp_path / "run") == steps(remote / "run") == [2, 3]
    with Checkpoints(tmp_path / "run", OF, when) as kept:
        kept.finished(1000)
    assert steps(remote / "run") == [2]
    with Checkpoints(tmp_path / "run", OF, when) as kept:
        kept.remove()
    assert steps(remote / "run") == []


def test_a_machine_with_an_empty_disk_goes_on_from_there(s3: S3, tmp_path: Path, said: list[str]) -> None:
    when = When(steps=2, minutes=None, remote=s3.url)
    _, whole = train(tmp_path / "whole", PLAN)
    with Checkpoints(tmp_path / "a" / "line", {}, when) as kept:
        go(tmp_path / "a", kept, stop_at=5)
    with Checkpoints(tmp_path / "b" / "line", {}, when, say=said.append) as kept:
        outcome, task = go(tmp_path / "b", kept)
    assert said == [f"step-00000005-of-00000008 is taken from {s3.url}"]
    assert outcome.position.step == 8 and lines(tmp_path / "b") == lines(tmp_path / "whole")
    assert all(torch.equal(a, weights(whole)[name]) for name, a in weights(task).items())


def test_a_checkpoint_there_that_is_not_whole_is_none(tmp_path: Path) -> None:
    when = When(remote=str(tmp_path / "remote"))
    with Checkpoints(tmp_path / "run", OF, when) as kept:
        save(kept, 1, 2, 3)
    truncate(tmp_path / "remote" / "run" / "step-00000003-of-00001000")
    flip(tmp_path / "remote" / "run" / "step-00000002-of-00001000")
    subprocess.run(["rm", "-r", tmp_path / "run"], check=True)
    save_again: list[str] = []
    with Checkpoints(tmp_path / "run", OF, When(last=9, remote=when.remote), say=save_again.append) as kept:
        assert kept.newest() is None and "step-00000002" in save_again[-1]


def test_one_that_is_being_sent_stays_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sending, may_go_on, whole_send = threading.Event(), threading.Event(), Bucket.send

    def slow(bucket: Bucket, file: Path, name: str) -> None:
        sending.set()
        may_go_on.wait(10)
        whole_send(bucket, file, name)

    monkeypatch.setattr(Bucket, "send", slow)
    (tmp_path / "remote" / "run" / "step-00000001-of-00000900").mkdir(parents=True)
    (tmp_path / "remote" / "run" / "step-00000001-of-00000900" / STATE).write_text("of a run that was killed")
    with Checkpoints(tmp_path / "run", OF, When(last=1, remote=str(tmp_path / "remote"))) as kept:
        save(kept, 1)
        sending.wait(10)
        save(kept, 2, 3, 4)
        assert [c.position.step for c in kept.all()] == [4, 1]
        may_go_on.set()
    assert steps(tmp_path / "remote" / "run") == [4] == [int(p.name[5:13]) for p in (tmp_path / "remote/run").iterdir()]


def test_a_network_that_fails_is_told_and_tried_again(
    s3: S3, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "LATE", 0.3)
    with Checkpoints(tmp_path / "run", OF, When(remote=s3.url), say=said.append) as kept:
        assert kept.all() == []
        s3.stop()
        save(kept, 1)
        while not said:
            kept.all()
        assert "not copied" in said[0]
        s3.start()
        save(kept, 2)
    fresh = Checkpoints(tmp_path / "other" / "run", OF, When(remote=s3.url))
    assert sorted(c.position.step for c in fresh.all()) == [1, 2]


def test_where_nobody_knows_what_is_there_nothing_is_begun(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no such bucket"):
        Checkpoints(tmp_path, OF, When(remote="s3://nobody/here")).all()


def test_open_checkpoint_tells_sizes(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, OF) as kept:
        save(kept, 1)
    (folder,) = tmp_path.iterdir()
    assert open_checkpoint(folder).sizes[STATE] == (folder / STATE).stat().st_size
    truncate(folder)
    with pytest.raises(ValueError, match=r"state\.safetensors has \d+ bytes, expected \d+"):
        open_checkpoint(folder)
