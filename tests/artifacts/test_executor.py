"""The same of both executors: results in order, few of them ahead, errors where they are taken, lost pieces again."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster import Machines
from workbench.artifacts import ray as ray_module
from workbench.artifacts.executor import Executor, Threads
from workbench.artifacts.ray import Ray
from workbench.errors import ClusterError, DataError, RecipeError
from workbench.plan import executor_of
from workbench.recipe.schema import Runtime


@pytest.fixture(params=["threads", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return Threads(3) if request.param == "threads" else request.getfixturevalue("machines").executor()


def slower_first(piece: int) -> int:
    time.sleep(0.02 * (piece % 4 == 0))
    return piece**2


def test_results_come_in_order(executor: Executor) -> None:
    assert list(executor.in_order(slower_first, range(30))) == [piece**2 for piece in range(30)]
    assert list(executor.in_order(slower_first, ())) == []
    assert executor.workers == 3


@pytest.mark.parametrize("ahead", [1, 2, 5, 0])
def test_no_more_are_begun_than_asked(executor: Executor, ahead: int) -> None:
    begun = []

    def pieces() -> Iterator[int]:
        for piece in range(20):
            begun.append(piece)
            yield piece

    for taken, _ in enumerate(executor.in_order(abs, pieces(), ahead)):
        assert len(begun) - taken <= (ahead or 2 * executor.workers)


def third_fails(piece: int) -> int:
    if piece == 2:
        raise DataError("feed.csv: line 3: no title")
    return piece


def test_an_error_is_raised_where_its_result_is_taken(executor: Executor) -> None:
    taken = []
    with pytest.raises(DataError) as told:
        for piece in executor.in_order(third_fails, range(6)):
            taken.append(piece)
    assert taken == [0, 1] and str(told.value) == "feed.csv: line 3: no title"


def test_one_who_stops_leaves_the_rest_undone(executor: Executor, tmp_path: Path) -> None:
    def touch(piece: int) -> int:
        (tmp_path / str(piece)).touch()
        time.sleep(0.2)
        return piece

    with closing(executor.in_order(touch, range(100), 50)) as results:
        assert next(results) == 0
    assert len(list(tmp_path.iterdir())) < 20


class Counting:
    """Work that learns from one piece for the next, and knows nothing where it is unpickled."""

    def __init__(self) -> None:
        self.seen, self._lock = 0, threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Counting, ()

    def __call__(self, piece: int) -> int:
        with self._lock:
            self.seen += 1
            return self.seen


def test_work_is_unpacked_once_in_a_process(machines: Machines) -> None:
    assert max(machines.executor().in_order(Counting(), range(30))) >= 10


def test_a_piece_whose_process_is_lost_is_done_again(machines: Machines, tmp_path: Path) -> None:
    def lost(piece: int) -> int:
        if piece == 4 and len(tries := list(tmp_path.iterdir())) < 2:
            (tmp_path / str(len(tries))).touch()
            os._exit(1)
        return piece

    assert list(machines.executor().in_order(lost, range(9))) == [*range(9)]


def test_a_piece_that_is_lost_for_good_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_module, "RETRIES", 0)
    with pytest.raises(ClusterError, match=r"lost 1 times .* give machines more memory"):
        list(machines.executor().in_order(lambda _: os._exit(1), range(1)))


def test_a_machine_with_another_mlim_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_module, "__version__", "0.0.0")
    with pytest.raises(ClusterError, match=r"mlim .* is installed there, and 0\.0\.0 here"):
        list(machines.executor().in_order(abs, [1]))


def test_what_another_machine_does_not_find_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = machines.executor()
    assert executor.workers
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.9")  # as if this were another than theirs
    with pytest.raises(DataError, match=r"none\.csv.* a machine of the cluster; each must find"):
        list(executor.in_order(lambda path: open(path), ["none.csv"]))  # noqa: SIM115


def test_the_one_of_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executor_of(Runtime(threads=3)).workers == 3
    assert isinstance(executor_of(Runtime(executor="ray")), Ray)  # nothing is started before the first piece
    monkeypatch.setattr(ray_module, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"pip install mlim\[ray\]"):
        executor_of(Runtime(executor="ray"))


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nmore")

    ray = pytest.importorskip("ray", reason="pip install mlim[ray]")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(ClusterError, match=r"runtime\.cluster: auto: .*Could not find any running Ray instance\.\)"):
        _ = Ray("auto").workers
