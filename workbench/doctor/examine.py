"""The checks, in the order in which they are told, and their run: side by side, each within its time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.doctor import compiling, folder, gpu, links, machine, numbers, packages, pictures
from workbench.doctor.asked import Asked
from workbench.doctor.child import STOP, Died, in_child, told
from workbench.doctor.finding import Finding

if TYPE_CHECKING:
    from workbench.recipe.schema import Recipe

BESIDE = 4  # checks at once, at most
DRIVER = "`nvidia-smi` and `dmesg` tell more of the driver; restart the machine"
TORCH = "pip install --force-reinstall torch"


@dataclass(frozen=True)
class Check:
    """A function that gives findings, and what is to be said where it gives none."""

    name: str
    run: Callable[..., Sequence[Finding]]
    arguments: tuple[Any, ...] = ()
    seconds: float = 0.0  # of a process of its own; 0: in this one
    mend: str = "report it, with what this command prints"
    needed: bool = True
    packages: tuple[str, ...] = ()  # without which it isn't tried


def examine(asked: Asked, recipe: Recipe | None = None) -> Iterator[Finding]:
    """Every finding, each as soon as those before it are there."""
    first, own = list(of_machine(asked)), list(of_recipe(asked, recipe) if recipe else ())
    yield from (finding for check in first for finding in outcome(check))
    with _pool() as pool:
        seen = outcome(torch_check(asked))
        gpus = [int(f.name.removeprefix("GPU ")) for f in seen if f.name.startswith("GPU ") and not f.stops]
        rest = [*of_work(asked, gpus), *own]
        begun: dict[int, Future[list[Finding]]] = {}
        for number in sorted(range(len(rest)), key=lambda n: rest[n].seconds, reverse=True):  # the longest first
            begun[number] = pool.submit(outcome, rest[number])
        yield from seen
        for number in range(len(rest)):
            yield from begun[number].result()


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Where the user stops the doctor, no check is waited for."""
    pool = ThreadPoolExecutor(min(BESIDE, len(os.sched_getaffinity(0))))
    try:
        yield pool
    except BaseException:
        STOP.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        STOP.clear()


def of_machine(asked: Asked) -> Iterator[Check]:
    """What is installed, and what the system gives; quick, and the disk is measured while nothing else runs."""
    yield Check("python", packages.python)
    yield Check("packages", packages.packages)
    yield Check("cores", machine.cores, (asked.threads,))
    yield Check("threads", machine.threads, (asked.threads,))
    yield Check("memory", machine.memory)
    yield Check("shared memory", machine.shared_memory)
    yield Check("open files", machine.open_files)
    yield Check("processes", machine.tasks)
    yield Check("clocks", machine.clocks)
    yield Check("runtime.cache", folder.folder, (asked.cache, "runtime.cache"))


def torch_check(asked: Asked) -> Check:
    return Check("torch", gpu.torch_and_gpus, (asked.device,), 60, f"{TORCH}; {DRIVER}", packages=("torch",))


def of_work(asked: Asked, gpus: Sequence[int]) -> Iterator[Check]:
    """What training is made of, on the CPU and on each GPU."""
    devices = ["cpu", *(f"cuda:{number}" for number in gpus)]
    models = devices[1:] or devices  # where the model is computed
    yield Check("libraries", packages.imports, (), 90, "install the package named last again", packages=("packaging",))
    for device in devices:
        name, asks = f"bf16 on {device}", (device, asked.precision)
        yield Check(name, numbers.halves, asks, 60, DRIVER, device in models, ("torch",))
    for device in models[:1]:
        mend = f"see that the compilers work, {compiling.WITHOUT}"
        name = f"{compiling.NAME} on {device}"
        yield Check(name, compiling.compiling, (device,), 120, mend, asked.compile, ("torch",))
    yield Check("gloo", links.gloo, needed=False, packages=("torch",))
    if gpus:
        yield Check("NCCL", links.nccl, (gpus,), needed=len(gpus) > 1, packages=("torch",))
    stored, mend = pictures.PACKAGES, "a library is for another CPU: install it again"
    yield Check("pictures on cpu", pictures.on_cpu, (), 60, mend, packages=stored)
    for device in devices:
        needed = asked.decoder == "dali" and device in models
        mend = f"{DRIVER}; or set runtime.decoder: cpu"
        yield Check(f"DALI on {device}", pictures.by_dali, (device,), 60, mend, needed, stored)


def of_recipe(asked: Asked, recipe: Recipe) -> Iterator[Check]:
    """What only a recipe can be asked."""
    from workbench.doctor import recipe as own
    from workbench.recipe.places import WRITTEN, url_of

    yield Check("runtime.reports", folder.folder, (asked.reports, "runtime.reports", False))
    for key, url, writes in (
        (own.CACHE, url_of(asked.cache, WRITTEN), True),
        ("runtime.remote", asked.remote, False),
        ("runtime.checkpoints.remote", asked.checkpoints, True),
    ):
        if url:
            yield Check(key, own.reachable, (key, url, writes), 60, "see to the network and the address")
    content = recipe.model_dump_json()
    yield Check("sources", own.files, (content,), 60)
    yield Check("training", own.fits, (content,), 60)


def outcome(check: Check) -> list[Finding]:
    """What a check finds; where it hangs, crashes or fails, that."""
    if packages.missing(check.packages):
        return []  # which is a finding already
    try:
        found = in_child(check.run, check.arguments, check.seconds) if check.seconds else check.run(*check.arguments)
    except Died as error:
        found = [Finding(check.name, "broken", str(error), check.mend)]
    except Exception as error:  # a finding, never a traceback
        found = [Finding(check.name, "broken", told(error), check.mend)]
    return [replace(finding, needed=finding.needed and check.needed) for finding in found]
