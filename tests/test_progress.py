"""One look for every long step: a bar on a terminal, a line now and then in a pipe, nothing with --quiet."""

import io
import re

import pytest
from rich.console import Console

from workbench.progress import QUIET, WARNING, Hushed, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(total: float | None = 1000, terminal: bool = False, width: int = 80, **how: object) -> tuple:
    shown, clock = io.StringIO(), Clock()
    console = Console(file=shown, force_terminal=terminal, width=width, color_system=None)
    return Progress(console, "images", total, "pictures", clock=clock, **how), shown, clock


def test_in_a_pipe_there_is_a_line_every_half_a_minute_without_control_characters():
    of, shown, clock = progress(10_000)
    with of as bar:
        for _ in range(100):
            clock.now += 1
            bar.advance(50, broken=1, not_there=0)
    assert shown.getvalue().splitlines() == [
        "images  1,500/10,000 pictures  50/s  30 broken  2:50 left",
        "images  3,000/10,000 pictures  50/s  60 broken  2:20 left",
        "images  4,500/10,000 pictures  50/s  90 broken  1:50 left",
    ]


def test_what_was_done_before_is_no_part_of_the_speed():
    of, shown, clock = progress(1000, done=900)
    clock.now += 40
    of.advance(20)
    clock.now += 40
    of.advance(80)
    assert shown.getvalue().splitlines() == [
        "images  920/1,000 pictures  0.5/s  2:40 left",
        "images  1,000/1,000 pictures  1.2/s  in 1:20",
    ]


def test_the_speed_is_that_of_the_last_half_minute():
    of, shown, clock = progress()
    for count in [1] * 60 + [10] * 40:
        clock.now += 1
        of.advance(count)
    assert shown.getvalue().splitlines()[-1] == "images  360/1,000 pictures  10/s  1:04 left"


@pytest.mark.parametrize(("seconds", "told"), [(0.001, "1,000/s"), (0.25, "4.0/s"), (12, "12 s each")])
def test_speeds_have_as_many_digits_as_they_are_worth(seconds, told):
    of, _, clock = progress()
    clock.now += seconds
    of.advance(1)
    assert told in of._words()[1]


def test_where_nobody_knows_how_much_there_is_the_time_that_passed_is_told():
    of, shown, clock = progress(None)
    clock.now += 3700
    of.advance(37_000, dropped=2)
    assert shown.getvalue() == "images  37,000 pictures  10/s  2 dropped  in 1:01:40\n"


def test_words_of_the_step_itself_take_the_place_of_the_speed():
    of, shown, clock = progress(4)
    clock.now += 60
    of.advance(2, "128/s", "loss 2.0")
    assert shown.getvalue() == "images  2/4 pictures  128/s  loss 2.0  1:00 left\n"


@pytest.mark.parametrize(
    ("width", "words"), [(100, "50/s  20 broken  0:10 left"), (66, "50/s  0:10 left"), (54, "0:10 left"), (50, "")]
)
def test_a_bar_has_the_words_that_the_terminal_has_room_for(width, words):
    of, shown, clock = progress(terminal=True, width=width)
    with of as bar:
        clock.now += 10
        bar.advance(500, broken=20)
    line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue()).splitlines()[-1].split("\r")[-1]
    assert re.fullmatch(rf"images [━╸ ]{{16}} 500/1,000 pictures  {words} *", line)


def test_a_line_above_the_bar():
    of, shown, _ = progress(terminal=True)
    with of as bar:
        bar.say("24 [of] them are here")
    assert "images  24 [of] them are here" in shown.getvalue()


def test_quiet_shows_warnings_alone(capsys):
    console = Hushed()
    clock = Clock()
    with Progress(console, "images", 9, clock=clock) as bar:
        clock.now += 99
        bar.advance(5)
        console.print("done")
        console.print("warning: no picture", style=WARNING)
    assert capsys.readouterr() == ("", "warning: no picture\n")


def test_quiet_holds_for_every_console_of_the_command_and_its_processes(monkeypatch):
    monkeypatch.setenv(QUIET, "1")
    of, shown, clock = progress(terminal=True)
    with of as bar:
        clock.now += 99
        bar.advance(5)
    assert "images" not in shown.getvalue()


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    of, shown, clock = progress(terminal=True)
    with of as bar:
        clock.now += 50
        bar.advance(500)
    assert shown.getvalue() == "images  500/1,000 pictures  10/s  0:50 left\n"
