"""Listings by which what is written is held against the model: made-up ones of every kind, and a catalog's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from workbench.answers.feeds import open_feed, parts_of
from workbench.answers.listing import Listing
from workbench.answers.preparation import Preparation
from workbench.recipe.schema import Feed

COUNT = 12


def probes(preparation: Preparation) -> list[Listing]:
    """The same each time; texts are of the model's own words, from none to more than it reads."""
    draws = np.random.default_rng(0)
    tokenizer = preparation.tokenizer
    made = []
    for i in range(COUNT):
        length = int(draws.integers(1, 2 * tokenizer.max_length))
        texts = {field: tokenizer.decode(draws.choice(tokenizer.ordinary, length)) for field in tokenizer.fields}
        coarse = draws.integers(0, 256, (4, 4 + i % 3, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((90 + 10 * (i % 3), 90), Image.Resampling.BICUBIC)
        made.append(Listing(str(i), texts if i % 4 != 1 else {}, picture if i % 4 < 2 else None))
    return made


def first_of(feeds: Sequence[Feed], preparation: Preparation) -> list[Listing]:
    """The first listings of each feed."""
    opened = (open_feed(feed, preparation.told["feeds"], preparation.fields) for feed in feeds)
    return [listing for each in opened for listing in next(parts_of(each)).listings[:COUNT]]
