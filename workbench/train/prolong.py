"""A training of another length goes on from a checkpoint that it would have come by itself, or begins anew.

So what comes out, to the bit, is that of a training which had this length from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.train.checkpoint import Position
from workbench.train.optim import rate

if TYPE_CHECKING:
    from workbench.train.loop import Plan


def planned(plan: Plan, position: Position | None = None) -> Position:
    """A checkpoint's position, or the beginning, in a training of the plan's length."""
    position = position or Position(micro_batch=plan.optim.micro_batch or 0, batch_size=plan.optim.batch_size)
    return replace(position, steps=plan.steps, rates=str(plan.optim.cooldown))


def shared(plan: Plan, position: Position) -> int:
    """How many steps the plan has in common with the training of a checkpoint, which may have had another length."""
    if planned(plan, position) == position:
        return plan.steps
    was = plan.optim.model_copy(update={"cooldown": float(position.rates)})
    last = min(position.steps, plan.steps) - 1  # is logged and validated after, which others need not be
    for step in range(last):
        if rate(step, position.steps, was) != rate(step, plan.steps, plan.optim):
            return step
        if plan.side(step, position.steps) != plan.side(step, plan.steps):
            return step
    return last


def announcement(plan: Plan, found: Position | None, others: Sequence[Position]) -> str:
    """What a user hears when a training starts: found is where it goes on from, others are of all checkpoints."""
    if found and found.steps == plan.steps:
        return f"goes on from step {found.step} of {plan.steps}"
    if found:
        return f"goes on from step {found.step}, now to {plan.steps} in place of {found.steps}"
    if not others:
        return ""
    before = others[0]
    return (
        f"begins anew: it came to step {before.step} of {before.steps}; with {plan.steps} it has other rates or sides "
        f"of pictures from step {shared(plan, before) + 1} on. A training that is to be prolonged needs schedule: "
        "constant, warmup_steps and no sides"
    )
