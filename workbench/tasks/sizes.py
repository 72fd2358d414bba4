"""Numbers for `optim.batch_size: auto` and `optim.micro_batch: auto`, found before the order of a training is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from workbench.batch import Batch
from workbench.errors import RecipeError
from workbench.recipe.schema import AUTO, Optim, Pretrain
from workbench.tasks.catalog import Catalog
from workbench.tasks.course import largest_side
from workbench.tasks.objective import Pretraining
from workbench.train.checkpoint import Position
from workbench.train.checkpoints import Checkpoints
from workbench.train.fitting import largest
from workbench.train.loop import Plan
from workbench.train.world import World

STEPS = 20  # of an epoch, at least, where the batch is found
_EPOCHS, _LOOKED_AT = 8, 256  # of whose masks the heaviest is taken, for so many listings


def with_sizes(
    pretrain: Pretrain,
    plan: Plan,
    objective: Pretraining,
    catalog: Catalog,
    checkpoints: Checkpoints,
    device: torch.device,
    world: World,
    say: Callable[[str], None],
) -> Pretrain:
    """The section with numbers in place of `auto`, the same on every rank. Collective where there is one.

    Raises RecipeError where it can't be found, and MlimError where one listing is too much.
    """
    optim = pretrain.optim
    if AUTO not in (optim.batch_size, optim.micro_batch):
        return pretrain
    if world.size > 1 and plan.parallel == "shard":
        raise RecipeError(
            "pretrain.optim: auto is found by steps of one process, which may not hold a model that is spread over "
            "several (runtime.parallel: shard); give batch_size and micro_batch as numbers"
        )
    count = len(catalog.pictured("train"))
    heaviest = worst(catalog, pretrain)
    before = [checkpoint.position for checkpoint in checkpoints.all()] if world.chief else []

    def measured(most: int) -> int:
        return largest(objective, plan, heaviest, max(1, min(most, count)), device, world)

    return pretrain.model_copy(update={"optim": sized(optim, count, before, measured, world, say)})


def sized(
    optim: Optim,
    listings: int,
    before: Sequence[Position],
    measured: Callable[[int], int],
    world: World,
    say: Callable[[str], None],
) -> Optim:
    """The section with numbers in place of `auto`, the same on every rank. Collective.

    `before` are the positions of the checkpoints of this training, newest first, needed of the chief alone: what was
    found then is kept. `measured(most)` is the largest micro-batch of at most so many. A batch that is to be found is
    what fits on all ranks together, and leaves an epoch of so many `listings` 20 steps.
    """
    kept = world.heard({"batch": before[0].batch_size, "micro": before[0].micro_batch} if before else None)
    if kept:
        batch, micro = optim.batch_size or kept["batch"], kept["micro"]
    else:
        most = -(-optim.batch_size // world.size) or _power(listings // (STEPS * world.size))
        micro = measured(most)
        batch = optim.batch_size or micro * world.size
        if world.chief:
            say(_told(optim, batch, micro, world.size))
    return optim.model_copy(
        update={"batch_size": batch} | ({"micro_batch": micro} if optim.micro_batch == AUTO else {})
    )


def worst(catalog: Catalog, pretrain: Pretrain) -> Callable[[int], Batch]:
    """Of so many training listings, at most all: those with the longest texts, with pictures of the largest side, as
    masked in the one of some epochs in which most is."""
    train, lengths = catalog.pictured("train"), catalog.listings.tokens.lengths
    longest = train[np.argsort(-lengths[train], kind="stable")]
    side = largest_side(catalog.listings, pretrain.sampling)
    looked_at = longest[:_LOOKED_AT]
    both = np.ones(len(looked_at), bool)
    hide = partial(
        catalog.listings.hide, looked_at, both, both, seed=pretrain.seed, masking=pretrain.masking, side=side
    )
    heaviest = max(range(1, 1 + _EPOCHS), key=lambda epoch: int(hide(epoch=epoch).masks.text_BL.sum()))
    return lambda size: catalog.listings.batch(
        longest[:size],
        epoch=heaviest,
        seed=pretrain.seed,
        masking=pretrain.masking,
        side=side,
        augment=pretrain.augment,
        any_picture=True,
    )


def _power(number: int) -> int:
    """The largest power of two that isn't more, 1 at least."""
    return 1 << (max(1, number).bit_length() - 1)


def _told(optim: Optim, batch: int, micro: int, ranks: int) -> str:
    if optim.batch_size == AUTO:
        of = f" ({micro} on each of {ranks})" if ranks > 1 else ""
        return f"optim.batch_size: {batch}{of}, as found here; write it into the recipe to repeat this elsewhere"
    return f"optim.micro_batch: {micro}, as found here; the batch behind each step is {batch} as before"
