"""Ids met in chunks, against a dictionary."""

import random

import numpy as np
import polars as pl

from workbench.catalog.seen import Seen


def test_as_a_dictionary_says() -> None:
    chance, met, first = random.Random(0), Seen(), dict[str, tuple[int, int]]()
    for size in [0, 1, 700, 3, 700, 1500, 0, 64, 2000]:
        ids = [f"id {chance.randrange(3000)}" for _ in range(size)]
        contents = [chance.randrange(2) for _ in range(size)]
        rows, same = met.meet(pl.Series(ids, dtype=pl.String), np.array(contents, np.uint64))
        for at, (name, content) in enumerate(zip(ids, contents, strict=True)):
            if name in first:
                assert (rows[at], same[at]) == (first[name][0], first[name][1] == content)
            else:
                assert rows[at] == -1
                first[name] = len(first), content
    assert met.rows == len(first) and len(met._runs) < 6


def test_one_hash_alone_makes_no_double() -> None:
    class Ids(list[str]):
        def hash(self, seed: int) -> pl.Series:
            return pl.Series([7 if seed == 1 else int(name) for name in self], dtype=pl.UInt64)

    met = Seen()
    assert met.meet(Ids(["1"]), np.array([5], np.uint64))[0].tolist() == [-1]  # type: ignore[arg-type]
    assert met.meet(Ids(["2"]), np.array([5], np.uint64))[0].tolist() == [-1]  # type: ignore[arg-type]
    assert met.meet(Ids(["1"]), np.array([6], np.uint64))[0].tolist() == [0]  # type: ignore[arg-type]
