"""The loop: accumulation equals one big batch, a run that was stopped or killed equals one that was not."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import MARKER, SHAPE, batch, listings, network
from tests.train.toy import Every
from workbench.batch import Batch
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Mam, Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.train.checkpoint import METRICS, STATE, Saved
from workbench.train.loop import Outcome, Plan, Progress, fit
from workbench.train.optim import rate
from workbench.train.snapshot import Snapshot
from workbench.train.step import Precision

CPU = torch.device("cpu")
ADAM = Optim(lr=1e-3, weight_decay=0.1, warmup=0.3, clip=1e9)


def of(folder: Path) -> Every:
    return Every(folder / "checkpoints", 4, last=2)


def last(folder: Path) -> Saved:
    found = of(folder).newest()
    assert found
    return found


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def gradients(folder: Path) -> dict[str, torch.Tensor]:
    """Of the first step, from Adam's first moment: (1 - 0.9) * gradient."""
    moments = {n: t for n, t in last(folder).tensors.items() if n.startswith("optimizer.exp_avg.network.")}
    return {n.removeprefix("optimizer.exp_avg.network."): t / 0.1 for n, t in moments.items()}


def one_step(
    folder: Path,
    micro_batches: Sequence[Batch],
    optim: Optim = ADAM,
    precision: Precision = "fp32",
    layer_decay: float = 1.0,
) -> Mlim:
    folder.mkdir()
    model = network()
    plan = Plan(steps=1, optim=optim, seed=0, layer_decay=layer_decay, precision=precision)
    outcome = fit(Pretraining(model, Objectives()), lambda start, size: [micro_batches], plan, folder, of(folder), CPU)
    assert outcome.position.step == 1
    return model


# Accumulation


def part(whole: Batch, start: int, end: int) -> Batch:
    """Some listings of a batch, as the loader gives them: padded to the longest of these."""
    cut = Batch(*(getattr(whole, f.name)[start:end] for f in fields(Batch)))
    longest = int(cut.text_real_BL.sum(1).max())
    return replace(
        cut, **{f: getattr(cut, f)[:, :longest] for f in ("tokens_BL", "shown_BL", "text_real_BL", "text_masked_BL")}
    )


LENGTHS = [1, 3, 2, 4, *[10] * 10, 7, 5, 6, 6, 9]
MASKED = [1, 1, 1, 0, *[10] * 9, 7, 0, 0, 4, 6, 1]
CUTS = ((0, 4), (4, 14), (14, 16), (16, 19))


@pytest.fixture(scope="module")
def whole() -> Batch:
    made = batch(LENGTHS, MASKED)
    has_image_B = torch.ones(len(LENGTHS), dtype=torch.bool)
    has_image_B[[2, 15, 17]] = False
    return replace(made, has_image_B=has_image_B, image_masked_BP=made.image_masked_BP & has_image_B[:, None])


def test_accumulation_over_uneven_micro_batches_equals_one_big_batch(whole: Batch, tmp_path: Path) -> None:
    micro_batches = [part(whole, *cut) for cut in CUTS]
    assert [int(m.text_masked_BL.sum()) for m in micro_batches] == [3, 97, 0, 11]
    assert [m.tokens_BL.shape[1] for m in micro_batches] == [6, 12, 9, 11]
    one_step(tmp_path / "four", micro_batches)
    one_step(tmp_path / "one", [whole])
    four, one = gradients(tmp_path / "four"), gradients(tmp_path / "one")
    assert four.keys() == one.keys() == dict(network().named_parameters()).keys()
    for name in one:
        torch.testing.assert_close(four[name], one[name], rtol=1e-5, atol=1e-5, msg=name)
    (logged_four,), (logged_one,) = lines(tmp_path / "four"), lines(tmp_path / "one")
    assert logged_four == pytest.approx(logged_one, rel=1e-5)


def test_the_gradient_is_that_of_the_mean_over_tokens_plus_the_mean_over_pictures(whole: Batch, tmp_path: Path) -> None:
    one_step(tmp_path / "fit", [part(whole, *cut) for cut in CUTS])
    model = network()
    text_BLD, image_BPD = model.encode(whole)
    logits_MV = model.masked_token_logits(text_BLD, whole)
    mlm = torch.nn.functional.cross_entropy(logits_MV, whole.tokens_BL[whole.text_masked_BL])
    error_BCHW = (model.redraw(image_BPD) - whole.pixels_BCHW / 255)[whole.has_image_B] ** 2
    recon = error_BCHW.sum(1).mean()
    (mlm + recon).backward()
    found = gradients(tmp_path / "fit")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-5, atol=1e-5, msg=name)
    (logged,) = lines(tmp_path / "fit")
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    expected = {"step": 1, "mlm": mlm.item(), "recon": recon.item(), "grad_norm": norm.item(), "lr": 1e-3}
    assert logged == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_clipped_as_a_whole(whole: Batch, tmp_path: Path) -> None:
    one_step(tmp_path / "clipped", [whole], ADAM.model_copy(update={"clip": 0.25}))
    norm = torch.stack([g.norm() for g in gradients(tmp_path / "clipped").values()]).norm()
    assert norm.item() == pytest.approx(0.25, rel=1e-4)
    assert lines(tmp_path / "clipped")[0]["grad_norm"] > 1  # what it was before


# Stopped, killed, resumed


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Sums of other threads differ in the last digit, and earlier tests may have left two; a killed run has one."""
    torch.set_num_threads(1)


STEPS = 11
RESUMED = Plan(STEPS, Optim(lr=1e-3, warmup=0.3), seed=7, log_every=2, layer_decay=0.8, precision="fp32")


def micro_batches(step: int) -> list[Batch]:
    return [batch([1, 6, 3], [1, 2, 0], seed=2 * step), batch([4], [3], seed=2 * step + 1)]


def run(
    folder: Path,
    make: Callable[[int], list[Batch]] = micro_batches,
    plan: Plan = RESUMED,
    dropout: float = 0.3,
    seen: list[Progress] | None = None,
    **how: Any,
) -> Outcome:
    """Train a new network in `folder`, as a new process would."""
    folder.mkdir(exist_ok=True)
    model = network(dropout)
    model.eval()

    def valid(done: int) -> list[Batch] | None:
        torch.rand(done)  # what it draws must not matter
        return None if done % 3 else [batch([2, 5], [1, 2], seed=99), batch([3], [1], seed=98)]

    def batches(start: int, size: int) -> Iterator[list[Batch]]:
        return (make(step) for step in range(start, plan.steps))

    how = {"valid": valid, "progress": seen.append if seen is not None else lambda progress: None} | how
    return fit(Pretraining(model, Objectives()), batches, plan, folder, of(folder), CPU, **how)


def result(folder: Path) -> dict[str, bytes]:
    assert last(folder).position.step == STEPS
    (saved,) = (folder / "checkpoints").glob(f"step-{STEPS:08d}-*")
    return {STATE: (saved / STATE).read_bytes(), METRICS: (folder / METRICS).read_bytes()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("run")
    assert not run(folder).stopped
    assert [line["step"] for line in lines(folder) if "mlm" in line] == [2, 4, 6, 8, 10, 11]
    assert [line["step"] for line in lines(folder) if "valid_mlm" in line] == [3, 6, 9]
    assert len({line["mlm"] for line in lines(folder) if "mlm" in line}) == 6
    return result(folder)


def test_dropout_is_at_work(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    run(tmp_path, dropout=0.0)
    assert result(tmp_path)[STATE] != uninterrupted[STATE]
    run(tmp_path / "other", plan=replace(RESUMED, seed=8))
    assert result(tmp_path / "other")[STATE] != uninterrupted[STATE]


@pytest.mark.parametrize("stopped", [1, 4, 6, 10])
def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(
    stopped: int, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    seen: list[Progress] = []
    assert run(tmp_path, seen=seen, stop=lambda: len(seen) == stopped - 1).stopped
    assert [progress.step for progress in seen] == list(range(1, stopped + 1))
    assert not run(tmp_path, seen=(rest := [])).stopped
    assert [progress.step for progress in rest] == list(range(stopped + 1, STEPS + 1))
    assert result(tmp_path) == uninterrupted


def test_a_wish_to_stop_at_the_last_step_finds_it_finished(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    assert not run(tmp_path, seen=(seen := []), stop=lambda: len(seen) == STEPS - 1).stopped
    assert result(tmp_path) == uninterrupted


def test_a_finished_training_is_not_done_again(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, seen=(seen := []))
    assert seen == []
    assert result(tmp_path) == uninterrupted


@pytest.mark.parametrize("dead", [1, 3, 6, 7, 10])
def test_a_training_that_broke_between_checkpoints_goes_on_from_the_last(
    dead: int, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    def broken(step: int) -> list[Batch]:
        if step == dead:
            raise OSError("disk")
        return micro_batches(step)

    with pytest.raises(OSError, match="disk"):
        run(tmp_path, broken)
    run(tmp_path, seen=(seen := []))
    assert seen[0].step == dead // 4 * 4 + 1
    assert result(tmp_path) == uninterrupted


KILLED = """
import os, sys, time
from pathlib import Path
from tests.train.test_loop import micro_batches, run
folder = Path(sys.argv[1])
def killed(step):
    if step == 6:
        while not any(folder.glob("checkpoints/step-00000004-of-*[0-9]")):  # it's written meanwhile
            time.sleep(0.01)
        os.kill(os.getpid(), 9)
    return micro_batches(step)
run(folder, killed)
"""


def test_a_training_that_was_killed_goes_on_from_its_last_checkpoint(
    uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, timeout=120).returncode == -9
    run(tmp_path, seen=(seen := []))
    assert seen[0].step == 5
    assert result(tmp_path) == uninterrupted


def test_half_a_checkpoint_and_half_a_line_harm_nothing(
    uninterrupted: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_write, written = Snapshot.write, list[Path]()

    def torn(tensors: Snapshot, path: Path) -> None:
        whole_write(tensors, path)
        written.append(path)
        if len(written) == 2:  # at step 8
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            raise KeyboardInterrupt

    monkeypatch.setattr(Snapshot, "write", torn)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    with (tmp_path / METRICS).open("a") as log:
        log.write('{"step": 4, "ml')
    run(tmp_path, seen=(seen := []))
    assert seen[0].step == 5
    assert result(tmp_path) == uninterrupted


# What the steps do


class Drawing(Pretraining):
    """Notes the number that dropout would draw next in each micro-batch."""

    def __init__(self) -> None:
        super().__init__(network(), Objectives())
        self.drawn: list[float] = []

    def sums(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        self.drawn.append(torch.rand(()).item())
        return super().sums(batch)


def test_dropout_differs_by_step_and_micro_batch_and_seed(tmp_path: Path) -> None:
    drawn = []
    for seed in (7, 8):
        task, folder = Drawing(), tmp_path / str(seed)
        folder.mkdir()
        plan = replace(RESUMED, seed=seed)
        fit(task, lambda start, size: map(micro_batches, range(STEPS)), plan, folder, of(folder), CPU)
        drawn += task.drawn
    assert len(drawn) == len(set(drawn)) == 2 * 2 * STEPS


def test_the_rate_of_each_step_is_the_formulas(tmp_path: Path) -> None:
    plan = replace(RESUMED, log_every=1)
    run(tmp_path, plan=plan)
    rates = [line["lr"] for line in lines(tmp_path) if "lr" in line]
    assert rates == pytest.approx([1e-3 * rate(step, STEPS, plan.optim) for step in range(STEPS)])
    assert rates[:4] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])


def test_the_first_step_moves_by_the_layers_rate_and_decays_matrices_only(whole: Batch, tmp_path: Path) -> None:
    """AdamW's first update is the rate times the gradient's sign, after a decay by rate * weight_decay."""
    before = dict(network().named_parameters())
    folder, optim = tmp_path / "step", ADAM.model_copy(update={"lr": 0.01})
    after = dict(one_step(folder, [whole], optim, layer_decay=0.5).named_parameters())
    found = gradients(folder)
    for name, lr, decay in (
        ("image_decoder.layers.0.bias", 0.01, 0.0),
        ("encoder.layers.1.up.weight", 0.005, 0.1),
        ("encoder.layers.0.up.weight", 0.0025, 0.1),
        ("encoder.layers.0.up.bias", 0.0025, 0.0),
        ("words.weight", 0.00125, 0.1),
    ):
        steep = found[name].abs() > 1e-4  # far above AdamW's eps
        expected = before[name] * (1 - lr * decay) - lr * found[name].sign()
        assert steep.float().mean() > 0.5, name
        torch.testing.assert_close(after[name][steep], expected[steep], rtol=0, atol=1e-5, msg=name)


def test_progress_tells_samples_and_seconds(tmp_path: Path) -> None:
    run(tmp_path, seen=(seen := []))
    assert [progress.samples for progress in seen] == [4] * STEPS  # listings, not masked tokens
    assert all(progress.seconds >= progress.waited >= 0 for progress in seen)
    assert seen[0].losses.keys() == {"mlm", "recon"}


def test_validation_changes_nothing_of_the_training(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    """Without train() after it, dropout would be off from step 4 on."""
    run(tmp_path, valid=lambda done: None)
    assert result(tmp_path)[STATE] == uninterrupted[STATE]


def test_validation_averages_over_what_is_masked_in_all_batches_without_dropout(tmp_path: Path) -> None:
    held_out = [batch([2, 5], [1, 2], seed=99), batch([3], [1], seed=98)]
    run(tmp_path, plan=replace(RESUMED, optim=RESUMED.optim.model_copy(update={"lr": 1e-30})))
    with torch.no_grad():  # of weights that hardly moved
        sums = [Pretraining(network(), Objectives()).sums(each) for each in held_out]
    mlm, recon = (float(sum(s[name] for s in sums)) for name in ("mlm", "recon"))
    assert next(line for line in lines(tmp_path) if "valid_mlm" in line) == pytest.approx(
        {"step": 3, "valid_mlm": mlm / (1 + 2 + 1), "valid_recon": recon / 3}, rel=1e-6
    )


# Degenerate batches


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_masked_token_and_no_picture_is_a_loss_of_zero_and_no_nan(precision: Precision, tmp_path: Path) -> None:
    made = batch([3, 1])
    made = replace(
        made,
        has_image_B=torch.zeros(2, dtype=torch.bool),
        image_masked_BP=torch.zeros_like(made.image_masked_BP),
        pixels_BCHW=torch.zeros_like(made.pixels_BCHW),
    )
    model = one_step(tmp_path / "step", [made], precision=precision)
    assert lines(tmp_path / "step") == [{"step": 1, "lr": 1e-3, "mlm": 0, "recon": 0, "grad_norm": 0}]
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_one_word_title_never_gives_nan(precision: Precision, tmp_path: Path) -> None:
    made = listings([[MARKER, 7], [8], [MARKER, 9], []], [True, True, False, True], SHAPE.image_side, SHAPE.patch)
    model, masked = network(0.1), set()

    def batches(start: int, size: int) -> Iterator[list[Batch]]:
        for step in range(start, 24):
            rows = [np.array([step % 4]), np.array([0, 1, 2, 3])][step % 2 :]  # alone and together
            micro = [
                made.batch(r, epoch=step, seed=0, masking=Mam(heavy_text=1, light_text=0.5, light_image=0.5))
                for r in rows
            ]
            masked.update(int(m.text_masked_BL.sum()) for m in micro)
            yield micro

    plan = Plan(steps=24, optim=Optim(lr=1e-3, clip=1.0), seed=0, precision=precision, log_every=1)
    fit(Pretraining(model, Objectives()), batches, plan, tmp_path, of(tmp_path), CPU)
    assert {0, 1, 2} <= masked
    assert len(lines(tmp_path)) == 24
    trained = [list(line.values()) for line in lines(tmp_path) if "skipped" not in line]
    assert len(trained) == 24 if precision != "fp16" else len(trained) > 18
    assert np.isfinite(trained).all()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
