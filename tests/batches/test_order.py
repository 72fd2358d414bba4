"""An order that a step alone tells."""

from workbench.batches.order import Order


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


def test_a_position_is_a_step_alone() -> None:
    order = Order(count=10, batch_size=4, epochs=3, seed=0)
    whole = [order.at(step)[1].tolist() for step in range(order.steps)]
    resumed = [Order(10, 4, 3, 0).at(step)[1].tolist() for step in range(4, order.steps)]
    assert resumed == whole[4:]
    assert order.at(7)[1].tolist() == whole[7]


def test_a_batch_larger_than_what_there_is() -> None:
    order = Order(count=3, batch_size=8, epochs=2, seed=0)
    assert order.steps == 2 and sorted(order.at(1)[1].tolist()) == [0, 1, 2]
