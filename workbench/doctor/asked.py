"""What a recipe asks of the machine, or what mlim does without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.recipe.schema import Recipe


@dataclass(frozen=True)
class Asked:
    """The recipe's lines that matter. The defaults are the schema's, whose libraries may be missing here."""

    cache: str = ".mlim"
    reports: str = "reports"
    device: str = "auto"
    threads: int = 0
    compile: bool = False
    decoder: str = "auto"
    precision: str = "bf16"
    remote: str | None = None
    checkpoints: str | None = None
    trackers: tuple[str, ...] = ()

    @classmethod
    def by(cls, recipe: Recipe) -> Asked:
        runtime = recipe.runtime
        return cls(
            str(runtime.cache.absolute()),
            str(runtime.reports.absolute()),
            runtime.device,
            runtime.threads,
            runtime.compile,
            runtime.decoder,
            recipe.model.precision,
            runtime.remote,
            runtime.checkpoints.remote,
            runtime.trackers,
        )
