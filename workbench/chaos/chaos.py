"""`mlim chaos`: a chain run quietly, the same chain killed again and again, and whether both came to the same."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.mirror import bring
from workbench.artifacts.store import Artifact
from workbench.chaos.chain import Chain
from workbench.chaos.compare import difference, held, left_behind
from workbench.chaos.killing import Killing, between_saves
from workbench.errors import MlimError
from workbench.recipe.load import load_recipe
from workbench.recipe.places import WRITTEN, url_of, usual_scratch
from workbench.report.times import read_log, stage_seconds

OWN = ("runtime.trackers=[]", "runtime.profile=null", "runtime.checkpoints.remote=null")  # nobody else's are touched


@dataclass(frozen=True)
class Row:
    """A line of the table: an artifact, or what else a chain leaves."""

    name: str
    differs: str  # "" when all is equal
    seconds: float | None = None  # that it took quietly
    kills: Sequence[str] = ()  # that hit it

    def told(self) -> list[str]:
        seconds = "" if self.seconds is None else f"{self.seconds:.1f}"
        kills = str(len(self.kills)) if self.seconds is not None else ""
        return [self.name, seconds, kills, ", ".join(self.kills), self.differs or "equal"]


def chaos(
    path: Path, sets: Sequence[str], goal: str, count: int, seed: int, say: Callable[[str], None]
) -> tuple[list[Row], str]:
    """Run `mlim GOAL` on a recipe twice, quietly and killed `count` times; what differs, and a line on both.

    Nothing is left of them where they are equal, or when the user ends it; else they stay to be looked at. Raises
    MlimError where a run fails, or doesn't die as it should.
    """
    runtime = load_recipe(path, sets, bring).runtime
    url = url_of(runtime.cache, WRITTEN)
    home = (runtime.scratch or usual_scratch()) if url else runtime.cache
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=home))
    there = Bucket(f"{url}/{folder.name}") if url else None
    options = [word for setting in (*sets, *OWN) for word in ("--set", setting)]
    try:
        rows, line = _both(folder, (goal, str(path), *options), count, Random(seed), say, there)
    except MlimError as error:
        raise MlimError(f"{error}; {folder} stays to be looked at") from None
    except BaseException:  # Ctrl-C
        _remove(folder, there)
        raise
    if any(row.differs for row in rows):
        return rows, f"{line}; kept to be looked at: {folder}"
    _remove(folder, there)
    return rows, line


def _remove(folder: Path, there: Bucket | None) -> None:
    shutil.rmtree(folder)
    if there:
        for name in there.sizes(""):
            there.delete(name)


def _both(
    folder: Path,
    command: Sequence[str],
    count: int,
    random: Random,
    say: Callable[[str], None],
    there: Bucket | None,
) -> tuple[list[Row], str]:
    quiet = Chain(folder / "quiet", command)
    begun = time.monotonic()
    quiet.run()
    artifacts = quiet.artifacts()
    took = time.monotonic() - begun
    say(f"quiet: {', '.join(artifact.stage for artifact in artifacts)} in {took:.0f} s")

    (steps,) = (artifact.summary["done"] for artifact in artifacts if artifact.stage == "pretrain")
    url = there.url if there else ""
    often = f"runtime.checkpoints.steps={between_saves(steps)}"
    killed = Chain(folder / "killed", (*command, "--set", often, "--set", "runtime.checkpoints.minutes=null"), url)
    begun = time.monotonic()
    hits = Killing(killed, artifacts, [_seconds(artifact, quiet) for artifact in artifacts], random, say).run(count)
    line = f"quiet {took:.0f} s, killed {sum(map(len, hits.values()))} times {time.monotonic() - begun:.0f} s"

    cache = _copied(there, folder / "there") if there else killed.cache
    rows = [Row(a.stage, _differs(a, cache), _seconds(a, quiet), hits[a.stage]) for a in artifacts]
    if quiet.reports.exists():
        rows.append(Row("reports", difference(quiet.reports, killed.reports, timed=True)))
    left = left_behind(quiet.cache, cache) + (held(cache) if there else [])
    return [*rows, Row("other files", ", ".join(left))], line


def _seconds(artifact: Artifact, chain: Chain) -> float:
    return stage_seconds(read_log(artifact, chain.cache / "logs")) or 0.0


def _copied(there: Bucket, folder: Path) -> Path:
    """All that the killed chain left in the object store."""
    for name in there.sizes(""):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(there.read(name))
    return folder


def _differs(artifact: Artifact, cache: Path) -> str:
    folder = cache / artifact.folder.name
    return difference(artifact.folder, folder, timed=artifact.stage == "report") if folder.exists() else "was not made"
