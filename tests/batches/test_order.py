"""An order that a step alone tells, for every policy and any number of ranks."""

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.batches.order import AGAIN, Order, share
from workbench.batches.weights import balanced
from workbench.draws import ORDER, stream
from workbench.errors import DataError
from workbench.recipe.schema import Sampling

POLICIES = [
    {},
    {"window": 2},
    {"last": "drop"},
    {"buckets": 1},
    {"buckets": 3},
    {"window": 2, "buckets": 3, "last": "drop"},
]


def made(count: int, batch_size: int, epochs: int = 3, seed: int = 0, even: bool = False, **sampling: Any) -> Order:
    """An order over shards of 5 things, texts of some lengths, and, if `even`, classes drawn alike."""
    things = np.arange(count)
    often = balanced(np.minimum(things, 3), 1.0, seed) if even and count else None
    lengths = things * 7 % 13
    return Order(count, batch_size, epochs, seed, Sampling(**sampling), things // 5, lengths, often)


def sequence(order: Order, first: int = 0) -> list[list[int]]:
    return [order.at(step)[1].tolist() for step in range(first, order.steps)]


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    order = Order(count=23, batch_size=5, epochs=4, seed=1)
    assert (order.steps_per_epoch, order.steps) == (5, 20)
    epochs: dict[int, list[int]] = {}
    for step in range(order.steps):
        epoch, chosen = order.at(step)
        assert epoch == step // 5 + 1
        assert len(chosen) == (3 if step % 5 == 4 else 5)
        epochs.setdefault(epoch, []).extend(chosen.tolist())
    assert all(sorted(visited) == list(range(23)) for visited in epochs.values())
    assert len({tuple(visited) for visited in epochs.values()} | {tuple(range(23))}) == 5
    assert Order(23, 5, 4, seed=2).at(0)[1].tolist() != order.at(0)[1].tolist()


def test_by_default_an_epoch_is_numpys_permutation_of_its_stream() -> None:
    """The order of every training so far, to be kept."""
    order = Order(count=1000, batch_size=1000, epochs=3, seed=5)
    assert order.at(2)[1].tolist() == stream(5, ORDER, 3).permutation(1000).tolist()
    assert order.at(2)[1].dtype == np.int64 and set(order.clock(2)) == {3}


def test_a_batch_larger_than_what_there_is() -> None:
    order = Order(count=3, batch_size=8, epochs=2, seed=0)
    assert order.steps == 2 and sorted(order.at(1)[1].tolist()) == [0, 1, 2]


def test_nothing_to_draw_has_no_steps() -> None:
    assert Order(count=0, batch_size=8, epochs=2, seed=0).steps == 0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 20), st.integers(1, 5), st.sampled_from(POLICIES), st.booleans(), st.integers()
)
def test_the_sequence_is_one_whatever_the_ranks_and_where_it_is_resumed(
    count: int, batch_size: int, world: int, policy: dict[str, Any], even: bool, where: int
) -> None:
    if policy.get("last") == "drop":
        batch_size = min(batch_size, count)
    whole = sequence(order := made(count, batch_size, even=even, **policy))
    assert len(whole) == order.steps
    for step, batch in enumerate(whole):  # each rank has every step; together they have the batch, once
        shares = [share(order.at(step)[1], rank, world).tolist() for rank in range(world)]
        assert sorted(chain(*shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    first = where % order.steps  # another process, which has seen no step before
    assert sequence(made(count, batch_size, even=even, **policy), first) == whole[first:]
    for epoch in range(3):
        seen = [*chain(*whole[epoch * order.steps_per_epoch : (epoch + 1) * order.steps_per_epoch])]
        assert len(seen) == (count if order.sampling.last == "keep" else count // batch_size * batch_size)
        assert even or len(set(seen)) == len(seen)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ten_things_on_some_ranks(world: int) -> None:
    order = Order(10, 4, epochs=1, seed=0)
    ranks = [[share(order.at(step)[1], rank, world).tolist() for step in range(order.steps)] for rank in range(world)]
    assert [len(steps) for steps in ranks] == [3] * world  # the last batch has 2: of 3 or 4 ranks some get none
    assert sorted(thing for steps in ranks for batch in steps for thing in batch) == list(range(10))


def test_a_rank_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="rank 2 of 2: expected 0 to 1"):
        share(np.arange(4), 2, 2)


def test_drop_leaves_out_others_each_epoch_and_says_where_nothing_is_left() -> None:
    order = made(11, 4, epochs=2, last="drop")
    seen = [[*chain(*sequence(order)[:2])], [*chain(*sequence(order)[2:])]]
    assert order.steps == 4 and len(seen[0]) == len(seen[1]) == 8 and set(seen[0]) != set(seen[1])
    with pytest.raises(DataError, match=r"sampling\.last: drop leaves no batch of 3 listings.* is 4; .* at most 3"):
        made(3, 4, last="drop")


@pytest.mark.parametrize("sampling", [{}, {"window": 16}, {"window": 16, "buckets": 8}], ids=["all", "windows", "both"])
def test_a_catalog_sorted_by_class_is_well_mixed(sampling: dict[str, Any]) -> None:
    """20 classes, one after another, in 53, 50, 40 and 20 shards."""
    things = np.arange(20 * 160)
    lengths = things % 17
    for seed, shard in ((0, 61), (1, 64), (2, 80), (3, 160)):
        order = Order(len(things), 64, 3, seed, Sampling(**sampling), shards=things // shard, lengths=lengths)
        assert min(len({thing // 160 for thing in order.at(step)[1]}) for step in range(order.steps)) >= 12


def test_a_window_is_of_some_shards_from_all_over_the_catalog() -> None:
    order = Order(
        1000, 100, 2, 0, Sampling(window=3), shards=np.arange(1000) // 100
    )  # 10 shards: windows of 3, 3 and 4
    windows = [
        {thing // 100 for step in steps for thing in order.at(step)[1].tolist()} for steps in ((0, 1, 2), (4, 5))
    ]
    assert all(len(shards) <= 4 and max(shards) - min(shards) >= 5 for shards in windows)
    assert order.at(0)[1].tolist() != order.at(10)[1].tolist()


def test_what_is_read_soon_is_the_window_at_hand_and_then_the_next() -> None:
    shards = np.delete(np.arange(1000) // 100, np.arange(300, 400))  # the fourth has nothing to train on
    order = Order(900, 50, 2, 0, Sampling(window=3), shards)
    for step in range(order.steps):
        said = shards[order.soon(step)].tolist()
        assert set(shards[order.at(step)[1]].tolist()) <= set(said[:4]) and 3 not in said and len(said) <= 7
        later = {int(s) for after in range(step, min(step + 5, order.steps)) for s in shards[order.at(after)[1]]}
        assert later <= set(said)  # the shortest window has two shards, and so four steps
    assert Order(9, 4, 1, 0).soon(1).tolist() == [*Order(9, 4, 1, 0).at(1)[1], *Order(9, 4, 1, 0).at(2)[1]]


def test_batches_of_like_lengths_come_in_random_order_and_the_smaller_stays_last() -> None:
    order = made(130, 10, epochs=1, buckets=4)
    order.lengths = np.arange(130)
    batches = sequence(order)
    pools = [batches[0:4], batches[4:8], batches[8:12], batches[12:13]]
    shuffled = sequence(made(130, 10, epochs=1))
    for start, pool in zip((0, 4, 8, 12), pools, strict=True):
        assert [*chain(*sorted(pool))] == sorted(chain(*shuffled[start : start + 4]))  # cut from what would have come
    assert any(pool != sorted(pool) for pool in pools)
    assert len(sequence(made(133, 10, epochs=1, buckets=4))[-1]) == 3


def test_one_bucket_changes_the_order_within_a_step_only() -> None:
    plain, sorted_ = made(33, 8), made(33, 8, buckets=1)
    for step in range(plain.steps):
        there, here = plain.at(step)[1], sorted_.at(step)[1]
        assert sorted(there) == sorted(here) and (np.diff(here * 7 % 13) >= 0).all()


def test_a_further_visit_within_an_epoch_has_a_clock_of_its_own() -> None:
    order = made(30, 8, epochs=2, even=True)  # things 0, 1, 2 are classes of their own, the others the fourth
    for epoch in (1, 2):
        visits = Counter[tuple[int, int]]()
        for step in range((epoch - 1) * 4, epoch * 4):
            visits.update(zip(order.at(step)[1].tolist(), order.clock(step).tolist(), strict=True))
        assert set(visits.values()) == {1}
        assert {clock % AGAIN for _, clock in visits} == {epoch}
        assert sorted(clock // AGAIN for thing, clock in visits if thing == 0)[:7] == list(range(7))


def test_small_pictures_come_first_for_their_share_of_the_steps() -> None:
    order = made(100, 10, epochs=2, sides=((0.25, 32), (0.1, 48)))
    assert [order.side(step) for step in range(20)] == [32] * 5 + [48] * 2 + [None] * 13
    assert made(100, 10).side(0) is None
