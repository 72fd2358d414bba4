"""Times go into the log outside the artifact, and into the bar where there is a terminal."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.tiny import SHAPE, batch
from workbench.artifacts.stage import Work
from workbench.recipe.schema import Runtime
from workbench.train.checkpoint import Position
from workbench.train.flops import flops_of
from workbench.train.loop import Progress
from workbench.train.meter import Meter
from workbench.train.peak import Peak
from workbench.train.span import Gauge
from workbench.train.task import Movable
from workbench.train.world import World

LOSSES = {"mlm": 2.0, "recon": 0.5}


def progress(
    step: int,
    seconds: float = 0.25,
    waited: float = 0.0,
    validated: float = 0.0,
    saved: float = 0.0,
    losses: dict[str, float] = LOSSES,
    bad: int = 0,
    batches: Sequence[Movable] = (),
) -> Progress:
    position = Position(step=step, steps=4, bad=bad, seconds=100.0 + step)
    valid = {"mlm": 1.5} if validated else {}
    return Progress(position, losses, 32, seconds, waited, validated, saved, 1e-3, 1.25, valid, batches)


def work(folder: Path, terminal: bool = False, world: World | None = None) -> tuple[Work, io.StringIO]:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=200)
    return Work(folder, {}, Runtime(reports=folder), console, folder / "log.jsonl", world=world), shown


def meter(
    folder: Path, steps: Sequence[Progress], terminal: bool = False, every: int = 2, gauge: Gauge | None = None
) -> tuple[str, list[dict[str, float]]]:
    of, shown = work(folder, terminal)
    with Meter(of, "pretrain", 4, every, gauge=gauge) as show:
        for step in steps:
            show(step)
    lines = [json.loads(line) for line in of.log.read_text().splitlines()]
    assert all(line.pop("resident") > 1e6 for line in lines)
    return shown.getvalue(), lines


def waiting(seconds: float = 0.25) -> list[Progress]:
    return [progress(step, seconds, seconds / 4 * (step > 2)) for step in (1, 2, 3, 4)]


def test_each_line_of_the_log_sums_the_steps_since_the_last(tmp_path: Path) -> None:
    shown, lines = meter(tmp_path, waiting())
    assert lines == [
        {"step": 2, "samples": 64, "seconds": 0.5, "waited": 0.0},
        {"step": 4, "samples": 64, "seconds": 0.5, "waited": 0.125},
    ]
    assert shown == "pretrain  128/s, data wait 16.7% of 1 s; `mlim bench loader RECIPE` says what bounds the loader\n"


def test_without_a_terminal_there_is_a_line_every_30_seconds_and_one_at_the_end(tmp_path: Path) -> None:
    shown, _ = meter(tmp_path, waiting(16))
    assert shown.splitlines() == [
        "pretrain  2/4 steps  2/s  mlm 2.000  recon 0.500  data wait 0%  norm 1.2  lr 1.0e-03  0:32 left",
        "pretrain  4/4 steps  2/s  mlm 2.000  recon 0.500  data wait 12%  norm 1.2  lr 1.0e-03  in 1:04",
        "pretrain  2/s, data wait 16.7% of 48 s; `mlim bench loader RECIPE` says what bounds the loader",
    ]


def test_the_wait_for_the_very_first_batch_is_no_reason_for_a_hint(tmp_path: Path) -> None:
    steps = [progress(step, 4.0, 3.0 if step == 1 else 0.125) for step in (1, 2, 3)]
    assert meter(tmp_path, steps)[0] == "pretrain  8/s, data wait 3.1% of 8 s\n"


def test_the_last_steps_are_logged_too(tmp_path: Path) -> None:
    _, lines = meter(tmp_path, waiting(), every=3)
    assert lines == [
        {"step": 3, "samples": 96, "seconds": 0.75, "waited": 0.0625},
        {"step": 4, "samples": 32, "seconds": 0.25, "waited": 0.0625},
    ]


def test_the_bar_shows_speed_data_wait_losses_and_validation(tmp_path: Path) -> None:
    shown, _ = meter(tmp_path, [*waiting()[:3], progress(4, 0.35, validated=0.1)], terminal=True)
    for part in ("pretrain", "4/4", "128/s", "data wait 6%", "mlm 2.000", "recon 0.500", "valid mlm 1.500", "norm 1.2"):
        assert part in shown


def test_a_narrow_terminal_keeps_the_bar_and_what_matters_most(tmp_path: Path) -> None:
    of, shown = work(tmp_path, terminal=True)
    of.console.width = 80
    with Meter(of, "pretrain", 120_000, 2) as show:
        for step in waiting():
            show(step)
    line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue()).splitlines()[-2].split("\r")[-1]
    assert re.fullmatch(r"pretrain \S{16} 4/120,000 steps  128/s  mlm 2.000  8:19:59 left *", line)


def test_validations_and_checkpoints_are_no_part_of_the_speed(tmp_path: Path) -> None:
    steps = [progress(1), progress(2), progress(3, 2.25, validated=2.0), progress(4, 2.25, saved=2.0)]
    shown, lines = meter(tmp_path, steps, every=4)
    assert shown == (
        "pretrain  128/s, data wait 0.0% of 5 s; checkpoints 42.1% of the time; validation 42.1% of the time\n"
    )
    # A validation ends a line of the log, too, since trackers are told of it.
    assert [line.get("validated") for line in lines] == [2.0, None]
    assert [line["seconds"] for line in lines] == [2.75, 2.25]


def test_a_resumed_run_begins_where_it_goes_on_and_says_what_its_totals_are_of(tmp_path: Path) -> None:
    of, shown = work(tmp_path, terminal=True)
    with Meter(of, "pretrain", 4, 2) as show:
        show.begin(2)
        assert "2/4" in shown.getvalue()
        show(progress(3))
        show(progress(4))
    of, shown = work(tmp_path)
    with Meter(of, "pretrain", 4, 2) as show:
        show(progress(3))
        show(progress(4))
    assert shown.getvalue() == "pretrain  128/s, data wait 0.0% of 0 s; steps 3 to 4 in this run, 104 s in all\n"


def test_the_share_of_the_peak_is_that_of_the_formula_over_all_devices(tmp_path: Path) -> None:
    needed, made = flops_of(SHAPE, ("mlm",)), batch([4, 6])
    peak = Peak(needed(made) * 100, True, "a device")  # a step of these takes 10 ms at best
    gauge = Gauge(needed, torch.device("cpu"), devices=2, peak=peak)
    # 32 listings a step over the ranks, of which 2 are this one's; two devices for a second.
    shown, lines = meter(tmp_path, [progress(step, 1.0, batches=[made]) for step in (1, 2, 3, 4)], gauge=gauge)
    assert "; MFU 8.0% of" in shown and "of a device, measured" in shown
    assert lines[0]["mfu"] == pytest.approx(0.08)
    assert lines[0]["flops"] == pytest.approx(2 * 16 * needed(made))
    assert (lines[0]["positions"], lines[0]["padding"]) == (2 * 16 * (6 + 8 + 32), 2 * 16 * 2)


def test_speeds_are_shown_when_the_device_was_waited_for(tmp_path: Path) -> None:
    of, shown = work(tmp_path)
    with Meter(of, "pretrain", 4, 2) as show:
        show(progress(1, 0.1, losses={}))
        show(progress(2, 59.9))
        assert shown.getvalue().startswith("pretrain  2/4 steps  1/s  mlm 2.000")


def test_skipped_steps_are_shown(tmp_path: Path) -> None:
    assert "2/4 steps  1/s  3 skipped  mlm" in meter(tmp_path, [progress(1, 31), progress(2, 31, bad=3)])[0]


def test_of_several_processes_the_first_alone_shows_anything(tmp_path: Path) -> None:
    of, shown = work(tmp_path, terminal=True, world=World(1, 2))
    with Meter(of, "pretrain", 4, 1) as show:
        show.begin(0)
        show(progress(1, 40))
    assert not of.log.exists()
    assert "pretrain" not in shown.getvalue()


def test_a_full_disk_costs_times_and_no_training(tmp_path: Path) -> None:
    of, shown = work(tmp_path)
    with Meter(replace(of, log=Path("/dev/full")), "pretrain", 4, 4) as show:
        for step in waiting():
            show(step)
    assert shown.getvalue().startswith("pretrain  warning: /dev/full: No space left on device; times of")
