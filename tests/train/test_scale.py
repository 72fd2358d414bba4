"""The factor on the loss: halved, doubled, kept within its bounds, saved."""

import torch

from workbench.train.scale import LossScale

CPU = torch.device("cpu")
NO, YES = torch.tensor(False), torch.tensor(True)


def test_it_is_halved_at_an_overflow_and_doubled_after_two_thousand_steps_without() -> None:
    scale = LossScale(True, CPU)
    scale.update(YES)
    assert scale.state() == [2.0**15, 0.0]
    for _ in range(1999):
        scale.update(NO)
    assert scale.state() == [2.0**15, 1999.0]
    scale.update(NO)
    assert scale.state() == [2.0**16, 0.0]
    scale.update(NO)
    scale.update(YES)
    assert scale.state() == [2.0**15, 0.0]


def test_it_stays_between_one_and_two_to_the_thirty_second() -> None:
    scale = LossScale(True, CPU)
    scale.restore([1.0, 0.0])
    scale.update(YES)
    assert scale.state() == [1.0, 0.0]
    scale.restore([2.0**32, 1999.0])
    scale.update(NO)
    assert scale.state() == [2.0**32, 0.0]


def test_without_fp16_it_is_one() -> None:
    scale = LossScale(False, CPU)
    scale.update(YES)
    assert scale.state() == [1.0, 0.0]
