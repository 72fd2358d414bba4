"""What a training needs to know of its objective: an object with a model, counts and sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn


class Movable(Protocol):
    """A micro-batch: anything that can go to a device and tells how many listings or pairs it holds."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Movable: ...


M_contra = TypeVar("M_contra", bound=Movable, contravariant=True)


class Task(Protocol, Generic[M_contra]):
    """The objective of a training: loss = sum over names of weight * (sum over a batch) / (count over the batch).

    `counts` are known without the model, so that micro-batches can be weighted by what they hold (masked tokens,
    pictures, pairs) and accumulation equals the gradient of the whole batch.
    """

    @property
    def model(self) -> nn.Module: ...

    @property
    def weights(self) -> Mapping[str, float]: ...

    def counts(self, batch: M_contra) -> Mapping[str, int]:
        """What each loss is averaged over."""

    def sums(self, batch: M_contra) -> Mapping[str, Tensor]:
        """Each loss summed over what it counts."""
