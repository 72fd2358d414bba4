"""The split is a pure function of the group's name."""

import pytest

from workbench.catalog.split import part_of
from workbench.recipe.schema import Split

GROUPS = [f"group {i}" for i in range(20_000)]


def test_known_parts_never_change() -> None:
    # Frozen: another hash would move listings between parts of every cached split.
    assert [part_of(g, Split()) for g in ("1F469", "mug", "", "000123")] == ["train", "train", "test", "train"]


def test_shares_are_met() -> None:
    parts = [part_of(g, Split(train=0.5, valid=0.2, test=0.3)) for g in GROUPS]
    # three standard deviations of a binomial share over 20,000 groups: 0.011
    assert [parts.count(p) / len(parts) for p in ("train", "valid", "test")] == pytest.approx(
        [0.5, 0.2, 0.3], abs=0.011
    )


@pytest.mark.parametrize("only", ["train", "valid", "test"])
def test_a_share_of_one_takes_all(only: str) -> None:
    split = Split(**{part: float(part == only) for part in ("train", "valid", "test")}, seed=3)
    assert {part_of(g, split) for g in GROUPS} == {only}


def test_a_share_of_zero_takes_none() -> None:
    assert {part_of(g, Split(train=0.9, valid=0.1, test=0)) for g in GROUPS} == {"train", "valid"}
    assert {part_of(g, Split(train=0, valid=0.5, test=0.5)) for g in GROUPS} == {"valid", "test"}
    assert {part_of(g, Split(train=0.7, valid=0, test=0.3)) for g in GROUPS} == {"train", "test"}


def test_another_seed_gives_another_split() -> None:
    moved = sum(part_of(g, Split(seed=0)) != part_of(g, Split(seed=1)) for g in GROUPS) / len(GROUPS)
    assert moved == pytest.approx(1 - (0.65**2 + 0.1**2 + 0.25**2), abs=0.02)
