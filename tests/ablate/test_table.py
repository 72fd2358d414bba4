"""Values of the table by hand: means over seeds, quantiles of resamples, paired differences, and what is said."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from workbench.ablate.measure import Measured, _of_classes
from workbench.ablate.show import markdown, rows
from workbench.ablate.table import Trained, table
from workbench.evaluate.binary import average_precision

ITEMS = pl.DataFrame({"left": ["a"], "right": ["b"], "match": [1]})


def trained(name: str, *seeds: list[float], items: pl.DataFrame = ITEMS, **more: Any) -> Trained:
    measured = [{"PR AUC": Measured("PR AUC", "1 test pairs", items, np.array(values))} for values in seeds]
    losses = [{"mlm": 2.0 + i} for i in range(len(seeds))]
    return Trained(name, (), measured, losses, [{"pretrain": 10.0 + i, "match": None} for i in range(len(seeds))])


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return table(
        [
            trained("base", [0.5, 0.4, 0.6], [0.7, 0.6, 0.8]),
            trained("better", [0.6, 0.5, 0.7], [0.8, 0.7, 0.9]),
            trained("either", [0.6, 0.3, 0.7], [0.6, 0.6, 0.8]),
            trained("elsewhere", [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], items=ITEMS.with_columns(left=pl.lit("z"))),
        ],
        [0, 1],
    )


def test_means_and_intervals(content):
    base = content["variants"][0]["measures"]["PR AUC"]
    # over the seeds: 0.6 on the items as they are, 0.5 and 0.7 on the two resamples
    assert base["mean"] == pytest.approx(0.6)
    assert (base["low"], base["high"]) == (pytest.approx(0.505), pytest.approx(0.695))
    assert base["by_seed"] == [0.5, 0.7]
    assert base["difference"] is None
    assert content["variants"][0]["losses"] == {"mlm": 2.5}
    assert content["variants"][0]["seconds"] == {"pretrain": 10.5, "match": None}


def test_paired_differences(content):
    better, either, elsewhere = (v["measures"]["PR AUC"]["difference"] for v in content["variants"][1:])
    # by as much on every resample: proven, though the intervals of the two overlap
    assert (better["mean"], better["low"], better["high"]) == (pytest.approx(0.1),) * 3
    assert (better["sign"], better["by_seed"]) == (1, pytest.approx([0.1, 0.1]))
    # 0.6 - 0.6; 0.45 - 0.5 and 0.75 - 0.7 on the resamples
    assert (either["mean"], either["low"], either["high"]) == (
        pytest.approx(0),
        pytest.approx(-0.0475),
        pytest.approx(0.0475),
    )
    assert either["sign"] == 0
    assert elsewhere is None  # measured on other pairs


def test_in_words(content):
    first, better, either, elsewhere = content["verdict"]
    assert first == "PR AUC (1 test pairs): base has 0.600 [0.505, 0.695]."
    assert better == "  better: proven better, +0.100 [+0.100, +0.100], the same way in 2 of 2 seeds."
    assert either.startswith("  either: no proven difference, ")
    assert elsewhere == "  elsewhere: not measured on the same, so not compared."


def test_as_markdown(content):
    lines = markdown(content).splitlines()
    assert lines[0] == "| variant | PR AUC | held-out mlm | pretrain, s | match, s |"
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    assert lines[2] == "| base | 0.600 [0.505, 0.695]<br>seeds 0.500 0.700 | 2.5000 | 10 | – |"
    assert "+0.100 [+0.100, +0.100] better<br>seeds 0.600 0.800" in lines[3]
    assert {len(row) for row in rows(content)} == {5}


def test_measures_of_pairs_and_classes():
    # sorted: match, not, match: precision 1 at recall 1/2, 2/3 at recall 1
    match, scores = np.array([True, False, True]), np.array([0.9, 0.8, 0.7])
    assert average_precision(match, scores, np.ones((1, 3)))[0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    truth = pl.DataFrame({"row": [0, 1, 2, 3], "class": ["mug", "mug", "lamp", "lamp"]})
    found = _of_classes("macro-F1", truth, pl.Series(["mug", "mug", "mug", "lamp"]), np.array(["a", "b", "c", "d"]))
    # mug: 2 hits of 2 and 3 named, F1 4/5; lamp: 1 hit of 2 and 1 named, F1 2/3
    assert found.values_R[0] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert found.of == "4 test listings, 2 classes"
