"""What the launcher says of processes that end, and what it refuses to start."""

from pathlib import Path

import pytest
import torch

from workbench.errors import MlimError, RecipeError, Told
from workbench.tasks.catalog import check_gpus
from workbench.train import launch as launching
from workbench.train.launch import launch, launched, of_a_world


def test_a_wrong_recipe_is_told_once_started_and_2_stays_2(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Told) as found:
        launch(["pretrain", "missing.yaml"], 2)
    assert found.value.exit_code == 2
    assert "missing.yaml" in capfd.readouterr().err
    assert not launched() and not of_a_world()  # the environment is as it was


def test_a_process_that_ends_without_a_word_is_told_by_its_code() -> None:
    with pytest.raises(MlimError, match=r"rank [01] ended with code 2; run the same command again") as found:
        launch(["pretrain", "--no-such-flag"], 2)
    assert found.value.exit_code == 2


@pytest.mark.parametrize(("gpus", "processes", "refused"), [(0, 8, False), (2, 2, False), (2, 3, True), (1, 2, True)])
def test_more_processes_than_gpus_are_refused(
    gpus: int, processes: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    check_gpus(processes, "cpu")
    if not refused:
        check_gpus(processes, "auto")
        return
    with pytest.raises(
        RecipeError, match=rf"{processes} processes on this machine, and {gpus} GPU.*start {gpus}, or set"
    ):
        check_gpus(processes, "cuda")


def test_the_first_that_ended_counts_and_not_who_was_ended_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in (("b", 2), ("a", 1)):
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / name / "error.json"))
        (tmp_path / name).mkdir()
        launching.record("why", code)
    with pytest.raises(Told) as found:
        launching._raise_told(tmp_path)
    assert found.value.exit_code == 2
