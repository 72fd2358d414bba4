"""Whatever differs is found and told."""

import json
from pathlib import Path

import pytest

from workbench.chaos.compare import difference, left_behind

METRICS = '{"step": 20, "mlm": 3.25}\n{"step": 40, "mlm": 3.125}\n'


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    return folder(tmp_path / "quiet")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    return folder(tmp_path / "killed")


def folder(path: Path) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "metrics.jsonl").write_text(METRICS)
    (path / "deep" / "weights").write_bytes(bytes(1000))
    return path


def test_the_same_bytes_are_equal(quiet: Path, killed: Path) -> None:
    assert difference(quiet, killed) == ""


def test_a_flipped_byte(quiet: Path, killed: Path) -> None:
    data = bytearray(1000)
    data[777] = 1
    (killed / "deep" / "weights").write_bytes(data)
    assert difference(quiet, killed) == "deep/weights, byte 777 of 1,000"


def test_a_file_cut_off(quiet: Path, killed: Path) -> None:
    (killed / "deep" / "weights").write_bytes(bytes(900))
    assert difference(quiet, killed) == "deep/weights: 900 bytes instead of 1,000"


def test_a_missing_file_and_one_too_many(quiet: Path, killed: Path) -> None:
    (killed / "deep" / "weights").unlink()
    assert difference(quiet, killed) == "deep/weights is missing"
    assert difference(killed, quiet) == "deep/weights is there after kills only"


def test_another_loss(quiet: Path, killed: Path) -> None:
    (killed / "metrics.jsonl").write_text(METRICS.replace("3.125", "3.126"))
    assert difference(quiet, killed) == (
        'metrics.jsonl, line 2: {"step": 40, "mlm": 3.126} instead of {"step": 40, "mlm": 3.125}'
    )


def test_a_loss_curve_that_ends_early(quiet: Path, killed: Path) -> None:
    (killed / "metrics.jsonl").write_text(METRICS[: METRICS.index("\n") + 1])
    assert difference(quiet, killed) == 'metrics.jsonl, line 2: nothing instead of {"step": 40, "mlm": 3.125}'


def test_a_report_may_tell_other_times_and_nothing_else(quiet: Path, killed: Path) -> None:
    def write(path: Path, seconds: float, auc: float) -> None:
        path = path / "deep"  # as in the reports' folder
        report = {"about": {"stages": [{"name": "ingest", "seconds": seconds}]}, "match": {"auc": auc}}
        (path / "report.json").write_text(json.dumps(report))
        (path / "report.html").write_text(f"{seconds} s")

    write(quiet, 1.5, 0.75)
    write(killed, 2.5, 0.75)
    assert difference(quiet, killed, timed=True) == ""
    assert difference(quiet, killed) == "deep/report.html, byte 0 of 5"
    write(killed, 2.5, 0.5)
    assert difference(quiet, killed, timed=True) == "deep/report.json, times left out"


def test_what_a_kill_leaves_in_the_cache_is_told_but_not_logs(quiet: Path, killed: Path) -> None:
    (killed / "logs").mkdir()
    (killed / "digests.json").touch()
    assert left_behind(quiet, killed) == []
    (killed / "split-0123.partial").mkdir()
    (killed / "digests.4711").touch()
    (killed / "checkpoints" / "step-1.tmp").mkdir(parents=True)
    assert left_behind(quiet, killed) == ["checkpoints/step-1.tmp", "digests.4711", "split-0123.partial"]
