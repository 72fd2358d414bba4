"""Averages of weights, early endings, half precision, bad steps: against numbers computed another way."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from tests.tiny import MARKER, SHAPE, batch, listings, network
from tests.train.toy import CPU, OPTIM, Curve, Every, Points, lines, points, state, steady, train, weights
from workbench.batch import Batch
from workbench.batches.order import Order, cut
from workbench.errors import MlimError
from workbench.recipe.schema import Itc, Itm, Objectives, Optim, Uniform
from workbench.tasks.objective import Pretraining
from workbench.train.checkpoint import METRICS
from workbench.train.loop import Plan, fit
from workbench.train.metrics_log import ending
from workbench.train.optim import adamw, rate
from workbench.train.step import Precision

PLAN = Plan(steps=10, optim=OPTIM, seed=3, precision="fp32", log_every=1)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Accumulation


def test_seven_micro_batches_by_four_are_two_steps_each_scaled_right(tmp_path: Path) -> None:
    """13 listings in micro-batches of 2, 8 a step: 4 micro-batches, then 3 of which the last has one listing."""
    words = [[MARKER, *range(7, 8 + n % 5)] for n in range(13)]
    made = listings(words, [n % 4 != 3 for n in range(13)], SHAPE.image_side, SHAPE.patch)
    order = Order(13, batch_size=8, epochs=1, seed=0)
    how = {"epoch": 1, "masking": Uniform(policy="uniform", text=0.5, image=0.5)}
    assert order.steps == 2
    steps = [[made.batch(rows, **how) for rows in cut(order.at(step)[1], 2, 0, 1)] for step in range(2)]
    assert [list(map(len, step)) for step in steps] == [[2, 2, 2, 2], [2, 2, 1]]
    task = Pretraining(network(), Objectives())
    plan = Plan(2, Optim(lr=1e-3, warmup=0, clip=1e9), seed=0, precision="fp32", log_every=1)
    fit(task, lambda start, size: steps, plan, tmp_path, Every(tmp_path / "checkpoints"), CPU)

    twin = Pretraining(network(), Objectives())  # each step's listings in one batch
    optimizer = adamw(twin.model, plan.optim)
    expected = []
    for step in range(2):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 1e-3 * rate(step, 2, plan.optim)
        whole = made.batch(order.at(step)[1], **how)
        means = {name: total / twin.counts(whole)[name] for name, total in twin.sums(whole).items()}
        torch.stack(list(means.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        expected.append({name: mean.item() for name, mean in means.items()})
    for line, losses in zip(lines(tmp_path), expected, strict=True):
        assert {name: line[name] for name in losses} == pytest.approx(losses, rel=1e-5)
    moments, _ = state(tmp_path, 2)  # means of both steps' gradients
    for name, parameter in twin.model.named_parameters():
        mean = optimizer.state[parameter]["exp_avg"]
        torch.testing.assert_close(moments[f"optimizer.exp_avg.{name}"], mean, rtol=1e-5, atol=1e-5, msg=name)


def test_the_gradient_is_clipped_by_the_norm_of_all_parameters_together(tmp_path: Path) -> None:
    """One weight and a bias, from 0: the error's gradient is (-2 y x, -2 y) = (-6, -8) / 10 of norm 1, clipped to 1/2;
    Adam's first moment is a tenth of it."""
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    plan = replace(PLAN, steps=1, optim=OPTIM.model_copy(update={"clip": 0.5}))
    batch = Points(torch.tensor([[0.75]]), torch.tensor([0.4]))
    train(tmp_path, plan, lambda step: [batch], task=Curve(model=model))
    assert lines(tmp_path)[0]["grad_norm"] == pytest.approx(1.0)
    moments = state(tmp_path, 1)[0]
    found = [moments[f"optimizer.exp_avg.{name}"].item() for name in ("weight", "bias")]
    assert found == pytest.approx([-0.03, -0.04], rel=1e-4)


# The average


def test_the_average_is_that_of_the_weights_after_each_step(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []
    task = Curve()
    expected = {name: weight.double() for name, weight in weights(task).items()}
    train(tmp_path / "plain", PLAN, task=task, progress=lambda progress: seen.append(weights(task)))
    for after, decay in zip(seen, [2 / 11, 3 / 12, 4 / 13, 5 / 14, *[0.4] * 6], strict=True):
        expected = {name: decay * mean + (1 - decay) * after[name] for name, mean in expected.items()}
    _, averaged = train(tmp_path / "average", replace(PLAN, average=0.4))
    for name, weight in weights(averaged).items():
        torch.testing.assert_close(weight.double(), expected[name], rtol=0, atol=1e-6)
        assert not torch.allclose(weight, seen[-1][name], rtol=0, atol=1e-5)


def test_the_average_is_validated_and_the_training_goes_on_from_the_weights(tmp_path: Path) -> None:
    held_out, plan = points(77), replace(PLAN, average=0.8)
    _, task = train(tmp_path / "run", plan, valid=lambda step: [held_out] if step == 10 else None)
    with torch.no_grad():
        error = task.sums(held_out)["error"].item() / 6  # `task` holds the average
    assert lines(tmp_path / "run")[-1] == {"step": 10, "valid_error": pytest.approx(error, rel=1e-6)}
    train(tmp_path / "never", plan)
    assert same(state(tmp_path / "run", 10)[0], state(tmp_path / "never", 10)[0])


@pytest.mark.parametrize("stop_at", [1, 5, 9])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_average_and_loss_scale_are_resumed_to_the_bit(stop_at: int, precision: Precision, tmp_path: Path) -> None:
    plan = replace(PLAN, average=0.8, precision=precision, layer_decay=0.7)
    _, whole = train(tmp_path / "whole", plan, task=Curve(dropout=0.3))
    outcome, _ = train(tmp_path / "parts", plan, task=Curve(dropout=0.3), stop_at=stop_at)
    assert outcome.stopped and outcome.position.step == stop_at
    _, resumed = train(tmp_path / "parts", plan, task=Curve(dropout=0.3))
    assert same(weights(whole), weights(resumed))
    (tensors, position), (others, other) = state(tmp_path / "whole", 10), state(tmp_path / "parts", 10)
    assert same(tensors, others) and replace(position, seconds=0) == replace(other, seconds=0)
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


# Rates


@pytest.mark.parametrize(
    ("how", "shares"),
    [
        ({"warmup": 0.2}, [0.5, 1, *(0.5 * (1 + math.cos(math.pi * n / 8)) for n in range(8))]),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, 1, *(0.5 * (1 + math.cos(math.pi * n / 6)) for n in range(6))]),
        ({"schedule": "constant", "warmup_steps": 2, "cooldown": 0.4}, [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "constant", "warmup": 0, "cooldown": 0.0}, [1] * 10),
        ({"schedule": "constant", "warmup": 0, "cooldown": 1.0}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
    ],
)
@pytest.mark.parametrize("stops", [(), (3, 7), (1, 2)])
def test_logged_rates_are_the_formulas_after_any_resume(
    how: dict[str, float], shares: list[float], stops: tuple[int, ...], tmp_path: Path
) -> None:
    plan = replace(PLAN, optim=Optim(lr=0.02, **how))
    for stop_at in (*stops, 0):
        train(tmp_path, plan, stop_at=stop_at)
    assert [line["lr"] for line in lines(tmp_path)] == pytest.approx([0.02 * share for share in shares])
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 11))


# Early ends, best weights


def scripted(losses: dict[int, float]) -> tuple[Curve, dict[str, object]]:
    """A task whose validations find these losses, whatever the weights."""
    task = Curve()
    learn = task.sums
    task.sums = lambda batch: {"error": batch.y_B[0]} if len(batch) == 1 else learn(batch)  # type: ignore[method-assign]
    return task, {
        "valid": lambda step: [Points(torch.zeros(1, 3), torch.tensor([losses[step]]))] if step in losses else None
    }


LOSSES = {2: 3.0, 4: 1.5, 6: 1.5, 8: float("nan"), 10: 1.0}  # as good is not better


@pytest.mark.parametrize(("patience", "end"), [(1, 6), (2, 8), (3, 10), (None, 10)])
@pytest.mark.parametrize("stop_at", [0, 5, 8])
def test_a_training_ends_after_so_many_validations_without_a_better_one(
    patience: int | None, end: int, stop_at: int, tmp_path: Path
) -> None:
    plan = replace(PLAN, patience=patience)
    for at in (stop_at, 0, 0):  # the last finds it finished
        task, how = scripted(LOSSES)
        outcome, _ = train(tmp_path, plan, task=task, stop_at=at, **how)
    assert (outcome.position.step, outcome.early) == (end, end < 10)
    best = 10 if end == 10 and patience != 2 else 4
    assert (outcome.position.best_step, outcome.position.best) == (best, LOSSES[best])
    assert [line["valid_error"] for line in lines(tmp_path) if "valid_error" in line] == [
        None if math.isnan(loss) else loss for step, loss in LOSSES.items() if step <= end
    ]


def test_the_log_tells_how_a_training_ended(tmp_path: Path) -> None:
    def told(folder: str, best: bool, **changes: object) -> dict[str, object]:
        task, how = scripted(LOSSES)
        train(tmp_path / folder, replace(PLAN, best=best, **changes), poisoned(1, 3), task=task, **how)
        return ending(tmp_path / folder / METRICS, task.weights, 10, best)

    valid = {"valid_error": 1.0}
    assert told("end", False) == {"done": 10, "early": False, "best_step": 10, "bad_steps": 2, "valid": valid}
    early = {"done": 8, "early": True, "best_step": 4, "bad_steps": 2}
    assert told("last", False, patience=2) == early | {"valid": {"valid_error": None}}
    assert told("best", True, patience=2) == early | {"valid": {"valid_error": 1.5}}
    (tmp_path / METRICS).write_text("")
    never = {"done": 0, "early": False, "best_step": None, "bad_steps": 0, "valid": {}}
    assert ending(tmp_path / METRICS, {"error": 1.0}, 0, True) == never


@pytest.mark.parametrize("average", [None, 0.8])
@pytest.mark.parametrize("stop_at", [0, 5, 9])
def test_the_best_validations_weights_stay(average: float | None, stop_at: int, tmp_path: Path) -> None:
    losses = {**LOSSES, 10: 2.0}
    for at in (stop_at, 0):
        task, how = scripted(losses)
        outcome, _ = train(tmp_path / "best", replace(PLAN, best=True, average=average), task=task, stop_at=at, **how)
    assert outcome.position.best_step == 4 and not outcome.early
    train(tmp_path / "four", replace(PLAN, average=average), stop_at=4)
    tensors, _ = state(tmp_path / "four", 4)
    assert same(
        weights(task), {n: tensors[f"{'optimizer.average' if average else 'model'}.{n}"] for n in weights(task)}
    )


def test_without_a_validation_the_last_weights_are_the_best(tmp_path: Path) -> None:
    _, best = train(tmp_path / "best", replace(PLAN, best=True))
    _, last = train(tmp_path / "last", PLAN)
    assert same(weights(best), weights(last))


# Steps that aren't finite


def poisoned(*at: int, value: float = float("nan")) -> Callable[[int], list[Points]]:
    """`steady`, but that at these steps, from 1, something isn't finite."""
    bad = [points(0), Points(torch.ones(2, 3), torch.full((2,), value))]
    return lambda step: bad if step + 1 in at else steady(step)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing(precision: Precision, value: float, tmp_path: Path) -> None:
    heard, shown = [], []
    plan = replace(PLAN, average=0.9, precision=precision)
    how = {"skipped": lambda found, position: heard.append(found), "progress": shown.append}
    outcome, _ = train(tmp_path, plan, poisoned(6, 9, value=value), **how)
    for before, after in ((5, 6), (8, 9)):
        (tensors, position), (others, other) = state(tmp_path, before), state(tmp_path, after)
        assert same(tensors, others) and position.scale[0] == other.scale[0]
    assert not same(state(tmp_path, 6)[0], state(tmp_path, 7)[0])
    assert outcome.position.bad == 2 and outcome.position.in_a_row == 0
    assert [found.step for found in heard if found.bad] == [6, 9]
    assert [progress.losses for progress in shown if progress.position.step == 6] == [{}]
    logged = lines(tmp_path)
    assert [line["step"] for line in logged] == list(range(1, 11))
    assert [line["skipped"] for line in logged if line["step"] in (6, 9)] == [["error", "grad_norm"]] * 2
    assert all(tensor.isfinite().all() for tensor in state(tmp_path, 10)[0].values())


def test_too_many_in_a_row_end_the_training_and_a_resumed_one_counts_on(tmp_path: Path) -> None:
    plan = replace(PLAN, optim=OPTIM.model_copy(update={"bad_steps": 2}))
    outcome, _ = train(tmp_path / "ends", plan, poisoned(3, 4, 6, 7))
    assert (outcome.position.step, outcome.position.bad) == (10, 4)
    train(tmp_path, plan, poisoned(4, 5, 6), stop_at=5)
    for _ in range(2):  # running it again helps nothing
        with pytest.raises(MlimError, match=r"step 6: error and grad_norm .* 3 bad steps in a row .*lower optim\.lr"):
            train(tmp_path, plan, poisoned(4, 5, 6))
    assert state(tmp_path, 5)[1].in_a_row == 2
    assert [line["step"] for line in lines(tmp_path) if "skipped" in line] == [4, 5, 6]


def test_no_bad_step_may_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(MlimError, match="step 2"):
        train(tmp_path, replace(PLAN, optim=OPTIM.model_copy(update={"bad_steps": 0})), poisoned(2))


# fp16


def test_overflows_halve_the_scale_and_are_no_bad_steps(tmp_path: Path) -> None:
    """Points so wide that the gradient of fp16 overflows until the factor is small."""
    plan = replace(PLAN, precision="fp16", optim=OPTIM.model_copy(update={"bad_steps": 0}))
    outcome, _ = train(tmp_path, plan, lambda step: [points(step, x=200.0)])
    assert ending(tmp_path / METRICS, {"error": 1.0}, 10, False)["bad_steps"] == 0
    skipped = [line for line in lines(tmp_path) if "skipped" in line]
    assert len(skipped) >= 2 and all(line["skipped"] == ["grad_norm"] for line in skipped)
    assert [line["scale"] for line in skipped] == [2.0 ** (16 - n) for n in range(len(skipped))]
    assert outcome.position.bad == 0
    assert state(tmp_path, 10)[1].scale == [2.0 ** (16 - len(skipped)), 10 - skipped[-1]["step"]]
    steps = {t.item() for n, t in state(tmp_path, 10)[0].items() if n.startswith("optimizer.step.")}
    assert steps == {10 - len(skipped)}


def test_the_scale_changes_no_number_of_a_step(tmp_path: Path) -> None:
    plan = replace(PLAN, precision="fp16")
    train(tmp_path / "half", plan)
    train(tmp_path / "whole", PLAN)
    half, whole = lines(tmp_path / "half"), lines(tmp_path / "whole")
    for one, other in zip(half, whole, strict=True):
        assert one == pytest.approx(other, rel=0.02)


# torch.compile


@pytest.mark.parametrize(("heads", "precision"), [(0.0, "fp32"), (1.0, "bf16")])
def test_varied_texts_pictures_and_last_batches_compile_nothing_again(
    heads: float, precision: Precision, tmp_path: Path
) -> None:
    """Among micro-batches of 4: small pictures first, a listing alone, as many patches as listings, no masked word."""
    torch._dynamo.reset()
    counter, after = CompileCounterWithBackend("eager"), list[int]()

    def micro_batches(step: int) -> list[Batch]:
        draws, sizes = np.random.default_rng(step), [4, 1 if step % 4 == 3 else 4]
        shape = replace(SHAPE, image_side=8) if step < 8 else SHAPE
        lengths = [draws.integers(1, 10, size).tolist() for size in sizes]
        return [batch(words, [n // 2 for n in words], shape, seed=step) for words in lengths]

    task = Pretraining(network(0.1), Objectives(itm=Itm(weight=heads), itc=Itc(weight=heads)))
    task.network.compile(backend=counter)
    plan = Plan(16, Optim(), seed=0, precision=precision, average=0.9)
    held_out = lambda step: [batch([3, 5, 2], [1, 2, 1]), batch([4], [2])] if step % 6 == 0 else None  # noqa: E731
    how = {"valid": held_out, "progress": lambda progress: after.append(counter.frame_count)}
    batches = lambda start, size: map(micro_batches, range(start, 16))  # noqa: E731
    fit(task, batches, plan, tmp_path, Every(tmp_path / "checkpoints", 99), CPU, **how)
    torch._dynamo.reset()
    assert after[0] == 3  # layer, embedder, language head
    assert after[-1] == 3
