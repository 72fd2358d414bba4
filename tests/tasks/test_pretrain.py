import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.tasks import shop
from workbench.artifacts.stage import Work
from workbench.errors import DataError, Interrupted, RecipeError
from workbench.recipe.schema import Runtime
from workbench.tasks.catalog import choose_device
from workbench.tasks.objective import Pretraining
from workbench.train import loop


def test_a_catalog_without_pictures_is_told_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    del tree["catalog"]["feeds"][0]["columns"]["picture"]
    monkeypatch.setattr(shop, "tree", lambda *_, **__: tree)
    with pytest.raises(DataError, match=r"no picture is named \(120\); name their column .*columns\.picture"):
        shop.make(tmp_path, tmp_path / "cache", "pretrain")


SAMPLING = {"window": 2, "balance": {"label": "kind"}, "buckets": 2, "sides": [[0.3, 8]]}


def test_every_policy_at_once_resumed_in_mid_epoch_equals_a_run_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    seen: list[tuple[int, ...]] = []
    sums, fit = Pretraining.sums, loop.fit
    monkeypatch.setattr(
        Pretraining, "sums", lambda self, batch: seen.append(batch.pixels_BCHW.shape) or sums(self, batch)
    )

    def pretrained(cache: str) -> dict[str, str]:
        tree = shop.tree(tmp_path / cache)
        tree["images"]["shard_pictures"] = 16
        tree["pretrain"] |= {"epochs": 2, "sampling": SAMPLING, "optim": {"batch_size": 16, "micro_batch": 6}}
        with monkeypatch.context() as patch:
            patch.setattr(shop, "tree", lambda *_, **__: tree)
            return dict(shop.contents(shop.make(tmp_path, tmp_path / cache, "pretrain")[0]))

    whole = pretrained("whole")
    sides = [shape[-1] for shape in seen]
    assert sides == sorted(sides) and set(sides) == {8, 16}

    stops = iter([5, 2])

    def stopping_fit(*args, stop, **how):
        left = next(stops, 0)

        def wish() -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return stop()

        return fit(*args, stop=wish, **how)

    monkeypatch.setattr(loop, "fit", stopping_fit)
    for _ in range(2):
        with pytest.raises(Interrupted):
            pretrained("stopped")
    assert pretrained("stopped") == whole


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    work = Work(tmp_path, {}, Runtime(device="cuda"), Console(), tmp_path / "log")
    with pytest.raises(RecipeError, match=r"runtime\.device: found no GPU .* give auto or cpu"):
        choose_device(work)
