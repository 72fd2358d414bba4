"""Where else a training's curves are drawn: TensorBoard, Weights & Biases, MLflow, each if its package is there.

A curve has the name of what is trained, so that a run that goes on draws on at the same curve, and steps that are done
again don't double its points.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from workbench.errors import RecipeError
from workbench.recipe.secrets import without_password

Values = Mapping[str, float]
_PATIENCE = 60.0  # seconds that the end of a training waits for what is still to be sent


@dataclass(frozen=True)
class Curve:
    """What is drawn."""

    key: str  # of the stage, and so the same for each run that goes on with it
    name: str  # for people
    config: Mapping[str, str | float]  # the recipe by dotted path, and the keys of the artifacts
    folder: Path  # for what stays on this machine


class Tracker(Protocol):
    """Made of a curve and the step after which it goes on; any error of its methods ends it, and nothing else."""

    def log(self, step: int, values: Values) -> None: ...

    def close(self, whole: bool) -> None:
        """`whole`: the training came to its end."""


class TensorBoard:
    """Event files in `<folder>/tensorboard/<key>`, for `tensorboard --logdir <folder>`."""

    def __init__(self, curve: Curve, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = curve.folder / "tensorboard" / curve.key
        self._writer: Any = SummaryWriter(str(folder), purge_step=start + 1)
        table = "\n".join(f"| {name} | {value} |" for name, value in curve.config.items())
        self._writer.add_text("recipe", f"| key | value |\n|---|---|\n{table}", start)

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, whole: bool) -> None:
        self._writer.close()


class Wandb:
    """The run of the key in the project "mlim", or that of WANDB_PROJECT; with WANDB_MODE=offline in `<folder>/wandb`,
    for `wandb sync`."""

    def __init__(self, curve: Curve, start: int) -> None:
        import wandb

        curve.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mlim"),
            id=curve.key,
            name=curve.name,
            config=dict(curve.config),
            dir=str(curve.folder),
            resume="allow",
            settings=wandb.Settings(console="off"),  # else it takes hold of what is printed
        )

    def log(self, step: int, values: Values) -> None:
        if step >= self._run.starting_step:  # else a run before this one sent it
            self._run.log(dict(values), step=step)

    def close(self, whole: bool) -> None:
        self._run.finish(exit_code=0 if whole else 1)


class Mlflow:
    """The run tagged with the key in the experiment "mlim", or that of MLFLOW_EXPERIMENT_NAME; where there is no
    MLFLOW_TRACKING_URI in `<folder>/mlruns`, for `mlflow ui`."""

    def __init__(self, curve: Curve, start: int) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        here = (curve.folder / "mlruns").resolve().as_uri()
        if "MLFLOW_TRACKING_URI" not in os.environ:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", here))
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mlim")
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        runs = client.search_runs([number], f"tags.`mlim.key` = '{curve.key}'", max_results=1)
        tags = {"mlim.key": curve.key}
        self._run = (runs[0] if runs else client.create_run(number, run_name=curve.name, tags=tags)).info.run_id
        self._last = max((self._last_step(name) for run in runs for name in run.data.metrics), default=0)
        if runs:
            client.update_run(self._run, status="RUNNING")
        else:
            parameters = [Param(name, str(value)[:500]) for name, value in curve.config.items()]
            for first in range(0, len(parameters), 100):  # as many as it takes at once
                client.log_batch(self._run, params=parameters[first : first + 100])

    def log(self, step: int, values: Values) -> None:
        import time

        from mlflow.entities import Metric

        if step > self._last:  # else a run before this one sent it
            now = int(time.time() * 1000)
            self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def close(self, whole: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if whole else "KILLED")

    def _last_step(self, name: str) -> int:
        return max(int(point.step) for point in self._client.get_metric_history(self._run, name))


_KINDS: Mapping[str, Callable[[Curve, int], Tracker]] = {"tensorboard": TensorBoard, "wandb": Wandb, "mlflow": Mlflow}


def check_installed(names: Sequence[str]) -> None:
    """Raises RecipeError for a tracker whose package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise RecipeError(f"runtime.trackers: {name} is not installed; pip install mlim[{name}], or leave it out")


def flat(tree: Any, path: str = "") -> Iterator[tuple[str, str | float]]:
    """Dotted path and value of every leaf."""
    if isinstance(tree, Mapping):
        for name, inner in tree.items():
            yield from flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, tree if isinstance(tree, (int, float)) else without_password(str(tree))


class Trackers:
    """All trackers of a training, in a thread of their own, so that no step waits for a network.

    One that fails is told of once and left out; the training goes on.
    """

    def __init__(self, names: Sequence[str], curve: Curve, start: int, say: Callable[[str], None]) -> None:
        """`start` is the step after which this run goes on; `say` tells the user a line."""
        self._queue: SimpleQueue[tuple[int, Values] | bool] = SimpleQueue()
        self._say = say
        self._thread = threading.Thread(target=self._work, args=(tuple(names), curve, start), daemon=True)
        if names:
            self._thread.start()

    def log(self, step: int, values: Values) -> None:
        self._queue.put((step, values))

    def close(self, whole: bool) -> None:
        """Wait for what is still to be sent, a minute at most. `whole`: the training came to its end."""
        if self._thread.ident is None:
            return
        self._queue.put(whole)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._say(f"trackers: not everything was sent within {_PATIENCE:.0f} s; left at that")

    def _work(self, names: Sequence[str], curve: Curve, start: int) -> None:
        there: dict[str, Tracker] = {}
        for name in names:
            self._try(there, name, lambda name: there.update({name: _KINDS[name](curve, start)}), name)
        while not isinstance(said := self._queue.get(), bool):
            for name, tracker in list(there.items()):
                self._try(there, name, tracker.log, *said)
        for name, tracker in list(there.items()):
            self._try(there, name, tracker.close, said)

    def _try(self, there: dict[str, Tracker], name: str, act: Callable[..., None], *what: Any) -> None:
        try:
            act(*what)
        except Exception as error:  # of whatever kind: a curve is not worth a training
            there.pop(name, None)
            self._say(f"warning: {name} failed and is left out ({type(error).__name__}: {error}); the training goes on")
