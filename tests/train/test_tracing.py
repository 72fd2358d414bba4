"""A trace is of the steps that were asked for, and changes nothing."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from workbench.train.tracing import Trace


def train(trace: Trace, first: int = 0, last: int = 5) -> torch.Tensor:
    torch.manual_seed(0)
    weights = torch.randn(16, 16, requires_grad=True)
    trace.after(first)
    for step in range(first + 1, last + 1):
        torch.nn.functional.dropout(weights @ weights, 0.5).square().mean().backward()
        with torch.no_grad():
            weights -= 0.1 * weights.grad  # type: ignore[operator]
        trace.after(step)
    trace.close()
    return weights.detach()


def products(file: Path) -> int:
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    return sum(event.get("name") == "aten::matmul" for event in events)


@pytest.mark.parametrize(
    ("asked", "run", "traced"), [((2, 3), (0, 5), 2), ((1, 1), (0, 5), 1), ((2, 4), (2, 5), 2), ((2, 9), (0, 5), 4)]
)
def test_a_trace_is_of_those_steps_and_results_stay_the_same(
    tmp_path: Path, asked: tuple[int, int], run: tuple[int, int], traced: int
) -> None:
    said: list[str] = []
    file = tmp_path / "reports/trace.json.gz"
    assert torch.equal(train(Trace(asked, file, said.append), *run), train(Trace(None, file, said.append), *run))
    assert products(file) == traced
    assert str(file) in said[0]
    assert len(said) == 11
    assert sum(float(line.split("%")[0]) for line in said[1:]) == pytest.approx(100, abs=40)


@pytest.mark.parametrize("asked", [None, (7, 9)])
def test_without_steps_there_is_no_trace(tmp_path: Path, asked: tuple[int, int] | None) -> None:
    train(Trace(asked, tmp_path / "trace.json.gz", print))
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_behind_them_has_none(tmp_path: Path) -> None:
    train(Trace((1, 2), tmp_path / "trace.json.gz", print), 3, 5)
    assert not list(tmp_path.iterdir())


def test_a_trace_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "reports").write_text("a file, not a folder")
    train(Trace((1, 2), tmp_path / "reports/trace.json.gz", said.append))
    assert said[0].startswith("warning:") and len(said) == 11
