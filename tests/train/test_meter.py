"""Times go into the log outside the artifact, and into the bar where there is a terminal."""

import io
import json
from pathlib import Path

from rich.console import Console

from workbench.artifacts.stage import Work
from workbench.recipe.schema import Runtime
from workbench.train.loop import Progress
from workbench.train.meter import Meter


def meter(folder: Path, terminal: bool, every: int = 2, seconds: float = 0.25) -> tuple[str, list[dict[str, float]]]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=150)
    log = folder / "log.jsonl"
    with Meter(Work(folder, {}, Runtime(), console, log), "pretrain", steps=4, every=every) as show:
        for step in (1, 2, 3, 4):
            show(
                Progress(step, {"mlm": 2.0, "recon": 0.5}, samples=32, seconds=seconds, waited=seconds / 4 * (step > 2))
            )
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), [json.loads(line) for line in log.read_text().splitlines()]


def test_each_line_of_the_log_sums_the_steps_since_the_last(tmp_path: Path) -> None:
    shown, lines = meter(tmp_path, terminal=False)
    assert lines == [
        {"step": 2, "samples": 64, "seconds": 0.5, "waited": 0.0},
        {"step": 4, "samples": 64, "seconds": 0.5, "waited": 0.125},
    ]
    assert shown == "pretrain  128/s, data wait 16.7% of 1 s; `mlim bench loader RECIPE` says what bounds the loader\n"


def test_without_a_terminal_there_is_a_line_every_30_seconds_and_one_at_the_end(tmp_path: Path) -> None:
    shown, _ = meter(tmp_path, terminal=False, seconds=16)
    assert shown.splitlines() == [
        "pretrain  2/4  2/s  data wait 0%  mlm 2.000  recon 0.500",
        "pretrain  4/4  2/s  data wait 25%  mlm 2.000  recon 0.500",
        "pretrain  2/s, data wait 16.7% of 48 s; `mlim bench loader RECIPE` says what bounds the loader",
    ]


def test_the_wait_for_the_very_first_batch_is_no_reason_for_a_hint(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=150)
    with Meter(Work(tmp_path, {}, Runtime(), console, tmp_path / "log"), "pretrain", steps=3, every=2) as show:
        for step in (1, 2, 3):
            show(Progress(step, {"mlm": 2.0}, samples=32, seconds=4.0, waited=3.0 if step == 1 else 0.125))
    assert console.file.getvalue() == "pretrain  8/s, data wait 3.1% of 8 s\n"


def test_the_last_steps_are_logged_too(tmp_path: Path) -> None:
    _, lines = meter(tmp_path, terminal=False, every=3)
    assert lines == [
        {"step": 3, "samples": 96, "seconds": 0.75, "waited": 0.0625},
        {"step": 4, "samples": 32, "seconds": 0.25, "waited": 0.0625},
    ]


def test_the_bar_shows_speed_data_wait_and_losses(tmp_path: Path) -> None:
    shown, _ = meter(tmp_path, terminal=True)
    for part in ("pretrain", "4/4", "128/s", "data wait 25%", "mlm 2.000", "recon 0.500"):
        assert part in shown
