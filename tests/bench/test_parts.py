"""The parts of a batch, with a clock that only the fakes turn: each listing costs what the test says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.tiny import Pictures, Texts
from workbench.batches.loader import Listings
from workbench.bench.loader import bare_rate, loader_rate, read_cold
from workbench.bench.parts import PARTS, measure_parts
from workbench.recipe.schema import Pretrain

STORED, MODEL, LISTINGS = 8, 4, 6
BATCHES = [np.arange(3), np.arange(3, 6)]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Costly(Pictures):
    """A decoder whose listings cost seconds: to read and decode, to resize, to colour."""

    clock: Any = None
    costs: tuple[float, float, float] = (0, 0, 0)

    def start(self, rows: Any, augmentation: Any, picks: Any = None, side: Any = None) -> Callable[[], np.ndarray]:
        decode, resize, colour = self.costs
        cost = decode + resize * (side != STORED) + colour * (not augmentation.keeps_colours.all())

        def finish() -> np.ndarray:
            self.clock.now += cost * len(rows)
            return np.zeros((len(rows), 3, side or MODEL, side or MODEL), np.uint8)

        return finish


@dataclass
class Read:
    clock: Clock
    seconds: float

    def bytes(self, row: int, k: int = 0) -> bytes:
        self.clock.now += self.seconds
        return b""

    def sides(self, rows: np.ndarray, picks: Any = None) -> np.ndarray:
        return np.full(len(rows), STORED)


def costly(clock: Clock, costs: tuple[float, float, float], text: float) -> Listings:
    class CostlyTexts(Texts):
        def ids(self, row: int) -> np.ndarray:
            clock.now += text
            return super().ids(row)

    pixels = np.zeros((LISTINGS, 3, MODEL, MODEL), np.uint8)
    pictures = Costly(pixels, np.ones(LISTINGS, bool), clock=clock, costs=costs)
    return Listings(CostlyTexts([[7, 8]] * LISTINGS), pictures, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "seconds",
    [(1, 8, 2, 3, 4), (1, 0.5, 2, 30, 4), (5, 0, 0, 0, 1)],
)
def test_each_part_is_what_it_costs_and_they_sum_up_to_the_whole(seconds: tuple[float, ...]) -> None:
    reading, decoding, resize, colours, texts = seconds
    clock = Clock()
    listings = costly(clock, (reading + decoding, resize, colours), texts)
    parts = measure_parts(listings, Read(clock, reading), BATCHES, Pretrain(), 0.7, clock)  # type: ignore[arg-type]
    assert parts == pytest.approx(dict(zip(PARTS, (*seconds, 0), strict=True)))
    assert max(parts, key=parts.__getitem__) == PARTS[int(np.argmax(seconds))]
    before = clock.now
    listings.batch(BATCHES[0], epoch=1, augment=Pretrain().augment)
    assert sum(parts.values()) == pytest.approx((clock.now - before) / 3)


def test_a_part_less_than_the_noise_is_nothing_and_not_negative() -> None:
    clock = Clock()
    listings = costly(clock, (2, 1, -1.5), 1)
    parts = measure_parts(listings, Read(clock, 1), BATCHES, Pretrain(), 0.7, clock)  # type: ignore[arg-type]
    assert parts["colours"] == 0 and min(parts.values()) >= 0


def test_rates_are_listings_a_second() -> None:
    clock = Clock()
    listings = costly(clock, (0.25, 0, 0.25), 0)
    assert loader_rate(listings, BATCHES, Pretrain(), 9, clock) == pytest.approx(2)
    assert bare_rate(listings.pictures, BATCHES, Pretrain(), 9, clock) == pytest.approx(2)
    assert read_cold(Read(clock, 0.125), [], np.arange(4), clock) == 0.125  # type: ignore[arg-type]
