"""Three epochs in three runs: each ends at an epoch's border, and the next goes on from there."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.tasks import shop
from tests.tasks.stops import stop_after
from tests.tasks.test_pretrain import pretrained
from workbench.batch import Batch
from workbench.errors import Interrupted
from workbench.tasks.objective import Pretraining
from workbench.train import loop


@pytest.mark.parametrize("sampling", [{}, {"buckets": 2, "window": 2}])
def test_three_epochs_with_two_resumes_at_the_borders_read_each_row_three_times(
    sampling: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    runs: list[list[int]] = [[]]
    sums = Pretraining.sums

    def noted(self: Pretraining, batch: Batch) -> dict[str, torch.Tensor]:
        if torch.is_grad_enabled():  # else it's a validation
            runs[-1].extend(batch.rows_B.tolist())
        return dict(sums(self, batch))

    monkeypatch.setattr(Pretraining, "sums", noted)
    how = {"optim": {"batch_size": 16, "micro_batch": 6}, "sampling": sampling, "validate_every": 1}
    made, _ = pretrained(tmp_path, "whole", epochs=3, how=how)
    steps, whole = made.summary["steps"], runs.pop()
    assert set(Counter(whole).values()) == {3} and len(set(whole)) == made.summary["listings"]

    stop_after(monkeypatch, loop, steps // 3, steps // 3)
    for _ in range(2):
        runs.append([])
        with pytest.raises(Interrupted):
            pretrained(tmp_path, "parts", epochs=3, how=how)
    runs.append([])
    parts, said = pretrained(tmp_path, "parts", epochs=3, how=how)
    assert f"goes on from step {2 * steps // 3} of {steps}" in said
    assert [Counter(rows) for rows in runs] == [Counter(set(whole))] * 3
    assert [row for rows in runs for row in rows] == whole
    assert dict(shop.contents(parts)) == dict(shop.contents(made))
