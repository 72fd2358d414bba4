"""Steps that don't fit into memory are done in smaller parts, with the same result."""

import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ranks import ranks
from tests.tiny import batch, network
from workbench import linux
from workbench.batch import Batch
from workbench.errors import MlimError
from workbench.recipe.schema import Checkpoints as When
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.train import fitting, memory
from workbench.train.checkpoints import Checkpoints
from workbench.train.fitting import largest
from workbench.train.loop import Outcome, Plan, fit
from workbench.train.memory import halved, out_of_memory, peak, room
from workbench.train.world import World

CPU = torch.device("cpu")
PLAN = Plan(5, Optim(lr=1e-3), seed=7, precision="fp32", log_every=1)


class Greedy(Pretraining):
    """Runs out of memory above so many listings, in the forward pass or in the middle of the backward pass."""

    def __init__(self, holds: int, backward: bool = False) -> None:
        super().__init__(network(), Objectives())
        self.holds, self.backward = holds, backward
        self.seen: list[int] = []
        self.left: list[weakref.ref[torch.Tensor]] = []  # what failed tries computed

    def sums(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        self.seen.append(len(batch))
        assert not any(tensor() is not None for tensor in self.left), "it takes memory from the next try"
        sums = super().sums(batch)
        if len(batch) <= self.holds:
            return sums
        self.left += [weakref.ref(total) for total in sums.values()]
        if not self.backward:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        for total in sums.values():
            total.register_hook(_no_more)
        return sums


def _no_more(gradient: torch.Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def whole(step: int) -> Batch:
    return batch([1, 6, 3, 4, 5, 2, 2, 7], [1, 2, 0, 3, 1, 0, 2, 4], seed=step)


def cut(made: Batch, start: int, end: int) -> Batch:
    return Batch(**{name: getattr(made, name)[start:end] for name in made.__dataclass_fields__})


def trained(task: Greedy, folder: Path, micro: int | None = None, said: list[str] | None = None, **how: Any) -> Outcome:
    folder.mkdir(exist_ok=True)

    def batches(first: int, size: int) -> Iterator[list[Batch]]:
        for step in range(first, PLAN.steps):
            made = whole(step)
            yield [cut(made, start, start + (size or 8)) for start in range(0, 8, size or 8)]

    plan = replace(PLAN, optim=PLAN.optim.model_copy(update={"micro_batch": micro}))
    with Checkpoints(folder / "checkpoints", {}, When(steps=1)) as checkpoints:
        say = said.append if said is not None else print
        return fit(task, batches, plan, folder, checkpoints, CPU, say=say, **how)


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("backward", [False, True])
def test_a_step_that_does_not_fit_is_done_in_halves_with_the_same_result(backward: bool, tmp_path: Path) -> None:
    said: list[str] = []
    outcome = trained(task := Greedy(3, backward), tmp_path / "greedy", said=said)
    assert task.seen[:4] == [8, 4, 2, 2]
    assert set(task.seen[2:]) == {2}
    assert len(task.seen) == 2 + 4 * PLAN.steps
    assert outcome.position.micro_batch == 2
    assert [line.split(":")[0] for line in said] == [f"out of memory with {n} listings at once" for n in (8, 4)]

    trained(twos := Greedy(8), tmp_path / "twos", micro=2)
    for (name, one), other in zip(task.model.named_parameters(), twos.model.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert (tmp_path / "greedy" / "metrics.jsonl").read_bytes() == (tmp_path / "twos" / "metrics.jsonl").read_bytes()

    trained(Greedy(8), tmp_path / "once")
    for in_parts, at_once in zip(lines(tmp_path / "greedy"), lines(tmp_path / "once"), strict=True):
        assert in_parts == pytest.approx(at_once, rel=1e-4)


def test_what_fitted_is_known_after_a_resume(tmp_path: Path) -> None:
    trained(task := Greedy(3), tmp_path / "stopped", stop=lambda: len(task.seen) > 6)
    outcome = trained(again := Greedy(3), tmp_path / "stopped")
    assert outcome.position.micro_batch == 2
    assert set(again.seen) == {2}
    trained(uninterrupted := Greedy(3), tmp_path / "quiet")
    for one, other in zip(again.model.parameters(), uninterrupted.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_one_listing_that_does_not_fit_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MlimError, match=r"one listing at once: set runtime\.recompute: true"):
        trained(Greedy(0), tmp_path)


def test_of_several_ranks_each_says_what_to_set() -> None:
    with pytest.raises(
        MlimError, match=r"rank 2: out of memory with 8 listings at once; set .*micro_batch: 4, or auto"
    ):
        halved([whole(0)], World(2, 4), print)


def test_other_errors_are_not_taken_for_it() -> None:
    assert out_of_memory(torch.OutOfMemoryError("x"))
    assert out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"))
    assert not out_of_memory(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))


# What there is


def test_the_peak_is_what_was_held_at_once_and_not_what_is_left() -> None:
    before = room(CPU), memory.held(CPU)
    assert before[0] > before[1]
    high = peak(CPU, lambda: [torch.ones(25_000_000) for _ in range(3)] and None)
    assert 295e6 < high - before[1] < 340e6
    low = peak(CPU, lambda: None)
    assert low - before[1] < 40e6


def test_what_is_free_is_the_least_of_machine_and_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < linux.available() <= linux.numbers(Path("/proc/meminfo"))["MemTotal"]
    (tmp_path / "a/b").mkdir(parents=True)
    for folder, limit, use in ((tmp_path / "a/b", "max", 5), (tmp_path / "a", "3000", 1900)):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(use))
        (folder / "memory.stat").write_text("anon 700\ninactive_file 400\n")
    monkeypatch.setattr(linux, "CGROUP", tmp_path)
    monkeypatch.setattr(linux, "PROC", tmp_path)
    (tmp_path / "meminfo").write_text("MemAvailable: 8000 kB\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("1:cpu:/x\n0::/a/b\n")
    assert linux.available() == 3000 - 1900 + 400


# How many listings fit


@dataclass
class Metered:
    """A device of which a listing takes 10 bytes, beside 100 of the model."""

    holds: int
    tried: list[int] = field(default_factory=list)

    def peak(self, device: torch.device, work: Callable[[], None]) -> int:
        work()
        return 100 + 10 * self.tried[-1]


@pytest.mark.parametrize(
    ("holds", "most", "found", "tried"),
    [
        (1000, 8, 8, [1, 2, 4, 8]),
        (179, 8, 4, [1, 2, 4]),  # 8 would take 180, which is known from 4
        (180, 8, 8, [1, 2, 4, 8]),
        (1000, 6, 6, [1, 2, 4, 6]),
        (1000, 1, 1, [1]),
        (111, 8, 1, [1, 2]),  # what two take is not known from one, in whose memory the gradients are too
        (159, 6, 4, [1, 2, 4]),
        (160, 6, 6, [1, 2, 4, 6]),
    ],
)
def test_the_largest_that_fits_is_found_without_trying_what_does_not(
    holds: int, most: int, found: int, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Metered(holds)
    monkeypatch.setattr(fitting, "room", lambda *_: holds)
    monkeypatch.setattr(fitting, "peak", device.peak)

    def worst(size: int) -> Batch:
        device.tried.append(size)
        return cut(whole(0), 0, size)

    assert largest(Greedy(8), PLAN, worst, most, CPU) == found
    assert device.tried == tried


def test_what_raises_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert largest(Greedy(3), PLAN, lambda size: cut(whole(0), 0, size), 8, CPU) == 2
    with pytest.raises(MlimError, match=r"one listing is too much for .*runtime\.recompute"):
        largest(Greedy(0), PLAN, lambda size: cut(whole(0), 0, size), 8, CPU)


def found_on(world: World) -> int:
    return largest(Greedy(8 - 5 * world.rank), PLAN, lambda size: cut(whole(0), 0, size), 8, CPU, world)


def test_of_all_ranks_the_least_counts() -> None:
    assert ranks(2, found_on) == [2, 2]


def test_trying_leaves_no_trace(tmp_path: Path) -> None:
    task = Greedy(8)
    before = {name: p.detach().clone() for name, p in task.model.named_parameters()}
    drawn = torch.get_rng_state()
    assert largest(task, PLAN, lambda size: cut(whole(0), 0, size), 8, CPU) == 8
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, parameter in task.model.named_parameters():
        assert torch.equal(parameter, before[name]), name
        assert parameter.grad is None
    trained(task, tmp_path / "after")
    trained(fresh := Greedy(8), tmp_path / "fresh")
    for one, other in zip(task.model.parameters(), fresh.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_measured_peak_of_a_step_grows_with_its_listings() -> None:
    """On a CPU it is the process's own memory: twice the listings, about twice the growth."""

    def taken(count: int) -> float:
        made = batch([10] * count, [4] * count)
        task = Greedy(10**6)
        updates = fitting.updates_of(task, PLAN, CPU)
        room(CPU)
        idle = memory.held(CPU)
        return fitting._taken(updates, made, CPU) - idle

    taken(50)
    assert taken(400) / taken(200) == pytest.approx(2, rel=0.3)
