"""The processes of one training: which of them this is, and what all of them say together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class World:
    """`size` processes train one model; rank 0, the chief, alone writes files and speaks to the user.

    Its calls are collective: every rank makes the same ones in the same order.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine: the number of its GPU

    @property
    def chief(self) -> bool:
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over all ranks, in float64."""
        sums = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(sums)
        return list(sums.tolist())

    def heard(self, said: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What the chief says, on every rank."""
        if self.size == 1:
            return None if said is None else dict(said)
        letters = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
        length = int(self.total([len(letters) if self.chief else 0])[0])
        message = letters if self.chief else torch.empty(length, dtype=torch.uint8)
        dist.broadcast(message, 0)
        heard: dict[str, Any] | None = json.loads(message.numpy().tobytes())
        return heard


ALONE = World()
