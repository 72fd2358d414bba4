"""Processes that train together: several of them begin a group on this machine and sum a tensor."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workbench.doctor.child import Died, in_child
from workbench.doctor.finding import Finding

SECONDS = 40.0  # with the start of torch; beginning a group takes a tenth of one
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"}
MANY = 1 << 16  # numbers to be summed


def gloo() -> list[Finding]:
    """Two processes on the CPU; where they don't find each other, also by the loopback interface alone."""
    try:
        _talk("gloo", (0, 1), {})
    except Died as error:
        mend = "see to this machine's own name (/etc/hosts), VPN and firewall; several processes on the CPU need it"
        if "GLOO_SOCKET_IFNAME" not in os.environ and _works(LOOPBACK):
            mend = "export GLOO_SOCKET_IFNAME=lo, with which it works (several machines: the interface between them)"
        return [Finding("gloo", "broken", str(error), mend)]
    return [Finding("gloo", "ok", "2 processes of this machine sum")]


def nccl(gpus: Sequence[int]) -> list[Finding]:
    """A process for each of these GPUs."""
    try:
        version = _talk("nccl", gpus, {})
    except Died as error:
        more = (
            ""
            if len(gpus) == 1
            else "; NCCL_P2P_DISABLE=1 or NCCL_SHM_DISABLE=1 tell whether it is the link or /dev/shm"
        )
        return [Finding("NCCL", "broken", str(error), f"NCCL_DEBUG=INFO says more{more}")]
    return [Finding("NCCL", "ok", f"{version}, {len(gpus)} GPU{'s sum' if len(gpus) > 1 else ' sums'}")]


def _works(environment: dict[str, str]) -> bool:
    try:
        _talk("gloo", (0, 1), environment)
    except Died:
        return False
    return True


def _talk(backend: str, gpus: Sequence[int], environment: dict[str, str]) -> str:
    """Raises Died where any of them fails, and says what the first one found."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with ThreadPoolExecutor(len(gpus)) as pool:
        each = [(backend, gpus, rank, port) for rank in range(len(gpus))]
        asked = [pool.submit(in_child, one, arguments, SECONDS, environment) for arguments in each]
    answers = [one.result() for one in asked]
    return answers[0][0].found


def one(backend: str, gpus: list[int], rank: int, port: int) -> list[Finding]:
    """In a child: one of the processes."""
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    device, size = "cpu", len(gpus)
    if backend == "nccl":
        torch.cuda.set_device(gpus[rank])
        device = f"cuda:{gpus[rank]}"
    limit = timedelta(seconds=SECONDS / 2)
    dist.init_process_group(backend, f"tcp://localhost:{port}", limit, size, rank)
    sums = torch.full((MANY,), rank + 1.0, device=device)
    dist.all_reduce(sums)
    if not bool((sums == size * (size + 1) / 2).all()):
        raise RuntimeError("the sum is wrong")
    return [Finding(backend, "ok", _version(torch.cuda.nccl) if backend == "nccl" else "")]


def _version(nccl: Any) -> str:
    return ".".join(map(str, nccl.version()))
