"""A Ray cluster of three machines of one core each, played by processes of this one."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

from workbench.artifacts.ray import QUIET, Ray

MACHINE = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_log_monitor": False}


class Machines:
    def __init__(self, count: int = 3) -> None:
        os.environ |= QUIET
        from ray.cluster_utils import Cluster

        head = MACHINE | {"include_dashboard": False}  # where this process is: it has no cores, as is usual
        self._cluster = Cluster(initialize_head=True, head_node_args=head | {"num_cpus": 0})
        self._others: list[Any] = []
        self.address = self._cluster.address
        self.start(count)

    def executor(self) -> Ray:
        return Ray(self.address)

    def start(self, count: int) -> None:
        """Have so many machines beside the first."""
        while len(self._others) < count:
            self._others.append(self._cluster.add_node(wait=False, **MACHINE))
        self._cluster.wait_for_nodes()

    def processes(self) -> list[int]:
        """Of the machines beside the first, but for the one that is each machine."""
        return [pid for machine in self._others for pid in _below(machine)]

    def kill(self) -> None:
        """One of them and whatever runs on it."""
        machine = self._others.pop()
        processes = _below(machine)
        self._cluster.remove_node(machine, allow_graceful=False)
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def _below(machine: Any) -> list[int]:
    pids = [str(raylet.process.pid) for raylet in machine.all_processes.get("raylet", ())]  # none once it is down
    listed = subprocess.run(["pgrep", "-P", ",".join(pids)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]
