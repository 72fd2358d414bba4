"""Several processes of one command on this machine, by torch's elastic launcher: where one dies, all end."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import Interrupted, MlimError, Told

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_LAUNCHED = "MLIM_LAUNCHED"  # in the environment of processes started here
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # the launcher's name for where a process writes its error
_TO_SAVE = 120  # seconds that a process has to save its state and end, when the user asks for it


def of_a_world() -> bool:
    """Whether this process is one of several that torchrun or `launch` started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launched() -> bool:
    """Whether `launch` started this process, and tells of those that were killed."""
    return _LAUNCHED in os.environ


def launch(arguments: Sequence[str], processes: int) -> None:
    """Run `mlim ARGUMENTS` in so many processes that know each other, and wait for them.

    Raises Told where one of them told the user why it ended, MlimError where one was killed. Ctrl-C and SIGTERM go to
    all of them, which then save their state.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="mlim-ranks-") as folder, _environment(processes):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="mlim",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        logging.disable()  # of the launcher itself, which would tell it all again
        try:
            elastic_launch(config, sys.executable)("-m", "workbench", *arguments)
        except SignalException as error:
            _raise_told(Path(folder))
            ended = Interrupted(f"stopped by {error.sigval.name}; run the same command again: it continues")
            ended.exit_code = 128 + signal.SIGINT if error.sigval == signal.SIGINT else 1
            raise ended from None
        except ChildFailedError as error:
            _raise_told(Path(folder))
            raise _killed(error.failures) from None
        finally:
            logging.disable(logging.NOTSET)


def record(words: str, exit_code: int) -> None:
    """Note for the launcher, if there is one, that this process told the user why it ends."""
    if file := os.environ.get(_ERROR_FILE):
        extra = {"timestamp": str(int(time.time())), "nanoseconds": time.time_ns(), "exit_code": exit_code}
        Path(file).write_text(json.dumps({"message": {"message": words, "extraInfo": extra}}))


def _raise_told(folder: Path) -> None:
    """By the first that ended: the launcher's SIGTERM then ends the others, which may tell of that."""
    told = [json.loads(file.read_text())["message"] for file in folder.rglob("error.json")]
    if told:
        first = min(told, key=lambda each: each["extraInfo"]["nanoseconds"])
        raise Told(first["extraInfo"]["exit_code"], first["message"].removeprefix("error: "))


def _killed(failures: Mapping[int, ProcessFailure]) -> MlimError:
    # Signals are negative; SIGTERM is what the launcher sends to the others.
    rank, failure = min(failures.items(), key=lambda item: (item[1].exitcode == -signal.SIGTERM, item[1].exitcode))
    how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with code {failure.exitcode}"
    memory = " (was the memory full?)" if failure.exitcode == -signal.SIGKILL else ""
    said = MlimError(f"rank {rank} {how}{memory}; run the same command again: it goes on from the last checkpoint")
    said.exit_code = max(failure.exitcode, 1)
    return said


@contextmanager
def _environment(processes: int) -> Iterator[None]:
    """What the processes inherit; the launcher also takes over signals, which are given back."""
    before, handlers = dict(os.environ), {n: signal.getsignal(n) for n in _SIGNALS}
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_TO_SAVE))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.update({_LAUNCHED: "1", "OMP_NUM_THREADS": str(max(1, cores // processes))})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


_SIGNALS: Any = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
