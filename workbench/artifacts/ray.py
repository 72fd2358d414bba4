"""The pieces of a stage's work, done by the processes of a Ray cluster; `pip install mlim[ray]`.

Ray does a piece again whose process or machine is lost, and makes a result again that was lost with its machine.
Nothing else is asked of it: this process reads the pieces and writes the results, in order.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from importlib.util import find_spec
from traceback import format_exc
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import workbench.artifacts.frames  # noqa: F401  # what is sent there and back is full of them
from workbench import __version__
from workbench.errors import ArtifactError, ClusterError, DataError, RecipeError, Terminated

In = TypeVar("In")
Out = TypeVar("Out")

RETRIES = 5  # of a piece whose process was lost; one that kills its process each time must not go on for ever
KNOWN = 3  # works that a process holds unpacked
PATIENCE = 10  # seconds for the head of a cluster to answer
HOST = re.compile(r"(?:ray://)?([^:/]+):(\d+)")
ONE_CORE = dict.fromkeys(("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # a process has one
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what is to become the default; Ray warns of it otherwise
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # of a process that was lost it would tell between the lines of our own output
}


class Ray:
    """An `Executor`. It connects when the first piece is asked for: to train needs no cluster."""

    def __init__(self, address: str = "", threads: int = 0) -> None:
        """`address` as `runtime.cluster`; `threads` is the number of processes where that is empty, 0: all cores.

        Raises RecipeError where Ray isn't installed.
        """
        if find_spec("ray") is None:
            raise RecipeError("runtime.executor: ray needs Ray; pip install mlim[ray], here and on each machine of it")
        self._address, self._threads = address, threads

    @property
    def workers(self) -> int:
        """Cores of all machines that are there now."""
        return max(1, int(self._connected().cluster_resources().get("CPU", 1)))

    def in_order(self, work: Callable[[In], Out], pieces: Iterable[In], ahead: int = 0) -> Generator[Out]:
        """Raises ClusterError where the cluster can't be reached, or loses a piece more than RETRIES times."""
        ray = self._connected()
        # A process takes the work once, not with every piece: it may keep what it learns from one for the next. In a
        # list it isn't sent along; arrays in it are not copied, but read where their machine keeps them for all.
        key, kept = uuid4().hex, [ray.put(work)]
        remote = ray.remote(_done).options(num_cpus=1, max_retries=RETRIES)
        waiting = deque[Any]()
        try:
            for piece in pieces:
                waiting.append(remote.remote(__version__, key, kept, piece))
                if len(waiting) >= (ahead or 2 * self.workers):  # machines come and go
                    yield _taken(waiting.popleft())
            while waiting:
                yield _taken(waiting.popleft())
        finally:
            if ray.is_initialized():
                for one in waiting:
                    ray.cancel(one)

    def _connected(self) -> Any:
        """Ray, begun by a thread that lives as long as the run: with that one the processes of a local cluster end."""
        os.environ |= {name: value for name, value in QUIET.items() if name not in os.environ}
        import ray

        if not ray.is_initialized():
            ours = {"address": "local", "num_cpus": self._threads or len(os.sched_getaffinity(0))}
            where = {"address": self._address} if self._address else ours | {"include_dashboard": False}
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            main = threading.current_thread() is threading.main_thread()
            handler = signal.getsignal(signal.SIGTERM)
            try:
                if found := HOST.fullmatch(self._address):  # else Ray tries for minutes
                    socket.create_connection((found[1], int(found[2])), PATIENCE).close()
                ray.init(**where, **quiet, runtime_env={"env_vars": ONE_CORE})
            except (OSError, ValueError, RuntimeError) as error:
                told = (str(error) or type(error).__name__).splitlines()[0]
                raise ClusterError(
                    f"runtime.cluster: {self._address or 'of this machine'}: no Ray cluster can be used ({told}); give "
                    "the address that `ray start --head` told, and export RAY_AUTH_MODE=token if it wants a token "
                    "(docs/ray.md)"
                ) from error
            except SystemExit:  # what Ray makes of a signal
                raise Terminated from None
            finally:
                if main:
                    signal.signal(signal.SIGTERM, handler)
        return ray


class _Done(NamedTuple):
    value: Any = None
    error: Exception | None = None
    machine: str = ""  # its address, where there was an error


_unpacked: dict[str, Callable[[Any], Any]] = {}  # the last few, in a process of the cluster


def _done(version: str, key: str, kept: list[Any], piece: Any) -> _Done:
    import ray
    from ray.util import get_node_ip_address

    try:
        if version != __version__:
            raise ClusterError(f"mlim {__version__} is installed there, and {version} here; install the same")
        if key not in _unpacked:
            while len(_unpacked) >= KNOWN:
                del _unpacked[next(iter(_unpacked))]
            _unpacked[key] = ray.get(kept[0])
        return _Done(_unpacked[key](piece))
    except Exception as error:  # returned, since Ray prints what is raised
        error.add_note(f"in a process of the cluster:\n{format_exc()}")
        return _Done(error=error, machine=get_node_ip_address())


def _taken(result: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util import get_node_ip_address

    try:
        done = ray.get(result)
    except RayTaskError as error:
        raise ClusterError(
            f"a machine of the cluster can't import mlim or take a piece of its work ({error.cause}); "
            f"pip install mlim[ray]=={__version__} on each"
        ) from error
    except RayError as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise ClusterError(
            f"a piece of work was lost {RETRIES + 1} times with its process or machine ({told}); give machines more "
            "memory or fewer cores each (docs/ray.md) and run again"
        ) from error
    if isinstance(done.error, (ArtifactError, DataError, OSError)) and done.machine != get_node_ip_address():
        raise DataError(
            f"{done.error} (on {done.machine}, a machine of the cluster; each must find the recipe's files by the same "
            "paths, as in a shared folder: docs/ray.md)"
        ) from done.error
    if done.error:
        raise done.error
    return done.value
