"""The call behind which every decoder of training pictures stands: rows + augmentation -> pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.images.augment import Augmentation


class Decoder(Protocol):
    """Reads a shard artifact; the CPU's (decode_cpu.py) is the reference that DALI's (decode_dali.py) is held to."""

    name: str  # for people: "cpu, 2 threads", "dali on NVIDIA H100"
    side: int  # pixels: of what is handed out
    usable: NDArray[np.bool_]  # (N,)

    @property
    def counts(self) -> NDArray[np.integer]:
        """(N,) usable pictures of each row."""

    def start(
        self,
        rows: NDArray[np.integer],
        augmentation: Augmentation,
        picks: NDArray[np.integer] | None = None,
        side: int | None = None,
    ) -> Callable[[], Any]:
        """Begin to decode; the pixels when called: crop to whole pixels, resize antialiased, flip, colour.

        uint8 (B, 3, side, side) in the memory of the CPU or of a GPU, as any array that DLPack hands on without a copy.
        Zeros where a row has no usable picture. `picks` (B,) says which of a row's usable pictures (without it the
        first), `side` another side than the decoder's. Several batches may be under way; they are called for in the
        order in which they were started. Raises ArtifactError for a picture whose bytes changed.
        """

    def close(self) -> None:
        """Stop threads and free what it holds."""
