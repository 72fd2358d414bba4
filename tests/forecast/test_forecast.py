"""The forecast of a recipe: sums, ranges, what earlier runs teach, warnings, words."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.forecast.test_load import COUNTS, MACHINE, recipe
from workbench.forecast import forecast as room_of
from workbench.forecast.forecast import Estimate, Forecast, disk_needed, forecast, shown
from workbench.forecast.history import correction, past
from workbench.forecast.load import Load, Loads
from workbench.forecast.memory import Room, room, state_bytes
from workbench.forecast.table import UNSURE, gflops_per_second, seconds
from workbench.forecast.truth import judge
from workbench.forecast.words import exact, money, size, span
from workbench.recipe.schema import Runtime
from workbench.tasks.line import checkpoints_folder, steps_done

ROOT = Path(__file__).parents[2]
LOAD = Load({"rows": 1000.0}, "cpu", 2)


def logged(logs: Path, key: str, load: Load, took: float) -> None:
    """A stage's log as a run leaves it."""
    logs.mkdir(exist_ok=True)
    line = {"load": load.as_json(), "took": took, "memory": 2e9, "disk": 0, "formula": {"memory": 1e9, "disk": 1}}
    (logs / f"split-{key * 16}.jsonl").write_text('{"stage_seconds": 1}\n{"torn\n' + json.dumps(line) + "\n")


def test_without_logs_the_table_speaks_and_may_be_off_by_its_factor(tmp_path):
    found = correction(past(tmp_path, "split", "cpu"), LOAD, 1.0, "seconds")
    assert (found.factor, found.unsure, found.runs) == (1.0, pytest.approx(UNSURE), 0)


def test_a_run_of_the_same_work_is_what_the_next_is_told_to_take(tmp_path):
    told = seconds("split", LOAD)
    logged(tmp_path, "a", LOAD, 3 * told)
    found = correction(past(tmp_path, "split", "cpu"), LOAD, told, "seconds")
    assert found.factor == pytest.approx(3, rel=0.01)
    assert found.unsure < 1.2
    assert found.runs == 1
    memory = correction(past(tmp_path, "split", "cpu"), LOAD, told, "memory")
    assert memory.factor == pytest.approx(2, rel=0.01)
    assert past(tmp_path, "split", "NVIDIA A100") == []


def test_logs_of_another_version_teach_nothing(tmp_path):
    (tmp_path / f"split-{'a' * 16}.jsonl").write_text('{"load": {"rows": 3}, "took": 1}\n{"load": 3}\n[1]\n')
    assert past(tmp_path, "split", "cpu") == []


def test_starting_and_compiling_on_a_gpu_take_their_time(tmp_path):
    load = Loads(recipe(tmp_path), COUNTS, MACHINE).of("pretrain")
    compiled = replace(load, compiles=True)
    assert seconds("pretrain", compiled) - seconds("pretrain", load) == pytest.approx(7)
    there, there_compiled = (replace(x, device="NVIDIA H100 80GB HBM3") for x in (load, compiled))
    assert seconds("pretrain", there_compiled) - seconds("pretrain", there) == pytest.approx(30)
    assert seconds("match", compiled) == seconds("match", load)
    nothing = replace(there, units=dict.fromkeys(load.units, 0.0))
    assert seconds("pretrain", nothing) == pytest.approx(2.5 + 8)


def test_the_nearest_run_counts_most_and_distance_makes_unsure(tmp_path):
    near, far = LOAD, replace(LOAD, units={"rows": 1e8})
    logged(tmp_path, "a", near, 2 * seconds("split", near))
    logged(tmp_path, "b", far, 5 * seconds("split", far))
    runs = past(tmp_path, "split", "cpu")
    assert correction(runs, near, seconds("split", near), "seconds").factor == pytest.approx(2, rel=0.02)
    assert correction(runs, far, seconds("split", far), "seconds").factor == pytest.approx(5, rel=0.02)
    between = replace(LOAD, units={"rows": 3e5})
    found = correction(runs, between, seconds("split", between), "seconds")
    assert 1 < found.factor < 5  # the table counts, too
    assert found.unsure > correction(runs, near, seconds("split", near), "seconds").unsure


def estimate(
    stage: str, took: float, disk: float = 0, passing: float = 0, memory: float = 1e9, gpu: float = 0
) -> Estimate:
    return Estimate(stage, LOAD, took, 1.5, 0, Room(memory, gpu, disk, passing))


def told(tmp_path: Path, *estimates: Estimate, machine=MACHINE, **runtime) -> Forecast:
    made = recipe(tmp_path)
    made = made.model_copy(update={"runtime": Runtime(**runtime)})
    return Forecast(made, machine, COUNTS, estimates, tmp_path)


def test_sums_and_cost(tmp_path):
    found = told(
        tmp_path, estimate("images", 600, disk=5e9), estimate("pretrain", 6600, disk=1e9, passing=9e9), price=2.5
    )
    assert found.seconds == 7200
    assert found.range == (4800, 10800)
    rows, lines = shown(found)
    assert rows[0] == ("stage", "takes", "memory", "disk", "by")
    assert rows[1] == ("images", "7 to 15 min", "1 GB", "5 GB", "table")
    assert rows[2] == ("pretrain", "1 to 3 h", "1 GB", "1 GB (+ 9 GB meanwhile)", "table")
    # 80 to 180 minutes
    assert lines == ["forecast: 1 to 3 h, 1 GB of memory, 15 GB of disk; cost 3.33 to 7.50"]


def test_what_stays_adds_up_and_what_passes_does_not():
    assert disk_needed((estimate("a", 1, 10, 100), estimate("b", 1, 20, 5), estimate("c", 1, 90, 0))) == 120
    assert disk_needed((estimate("a", 1, 10, 200),)) == 210


def test_what_does_not_fit_is_warned_of(tmp_path):
    small = replace(MACHINE, memory=2 * 10**9, disk=10**6, gpu="NVIDIA T4", gpu_memory=16 * 10**9, gpus=1)
    lines = shown(told(tmp_path, estimate("pretrain", 9, 1e9, 1e9, memory=3e9, gpu=20e9), machine=small))[1]
    assert lines[1].startswith(
        "warning: pretrain takes about 3 GB of memory, and there are 2 GB: a smaller optim.micro"
    )
    assert lines[2].startswith("warning: pretrain takes about 20 GB of the memory of NVIDIA T4, and there are 16 GB")
    assert lines[3].startswith("warning: the run takes about 2 GB of disk, and there are 1 MB: free some")


def test_the_end_of_a_run_tells_the_error_of_its_forecast(tmp_path):
    found = told(tmp_path, estimate("images", 5), estimate("pretrain", 600), estimate("match", 50))
    assert judge(found) == ""
    found.took.update(images=4.0, pretrain=558.0)
    assert judge(found) == "took 9 min 22 s; forecast 10 min 5 s (8% too long); dearest error: pretrain +42 s"
    found.took.update(pretrain=801.0)
    assert judge(found) == "took 13 min 25 s; forecast 10 min 5 s (25% too short); dearest error: pretrain -3 min 21 s"
    assert judge(replace(found, recipe=told(tmp_path, executor="ray").recipe)) == ""


def test_a_training_takes_weights_gradients_moments_and_what_is_kept_for_the_way_back(tmp_path):
    model = {"size": "base", "image_side": 224, "patch": 32}
    small = Loads(recipe(tmp_path, model=model, pretrain={"optim": {"batch_size": 8}}), COUNTS, MACHINE)
    large = Loads(recipe(tmp_path, model=model, pretrain={"optim": {"batch_size": 64}}), COUNTS, MACHINE)
    cut = recipe(tmp_path, model=model, pretrain={"optim": {"batch_size": 64, "micro_batch": 8}, "average": 0.999})
    parts = Loads(cut, COUNTS, MACHINE)
    few, many, less = (room("pretrain", x.of("pretrain"), x) for x in (small, large, parts))
    assert many.memory > few.memory
    assert few.memory > 16 * small.network.parameters
    saved = state_bytes(small.network.parameters, False)
    assert saved == 12 * small.network.parameters
    assert few.passing == 3 * saved  # two are kept, one is being written
    assert less.passing == 3 * 16 * parts.network.parameters  # the average, too
    again = Loads(recipe(tmp_path, model=model, runtime={"recompute": True}), COUNTS, MACHINE)
    never = Loads(recipe(tmp_path, model=model), COUNTS, MACHINE)
    assert (
        room("pretrain", again.of("pretrain"), again).memory
        < room("pretrain", never.of("pretrain"), never).memory / 1.5
    )
    gpu = replace(MACHINE, gpu="NVIDIA H100 80GB HBM3", gpu_memory=80 * 2**30, gpus=1)
    there = Loads(large.recipe, COUNTS, gpu)
    assert 3e9 < room("pretrain", there.of("pretrain"), there).gpu < 12e9
    assert gflops_per_second(there.of("pretrain")) > 100 * gflops_per_second(large.of("pretrain"))


def test_words():
    assert [span(*r) for r in ((0.2, 0.9), (4, 11), (40, 42), (5.6 * 60, 9.4 * 60), (3600, 3 * 3600))] == [
        "under 1 s",
        "4 to 11 s",
        "40 to 42 s",
        "6 to 9 min",
        "1 to 3 h",
    ]
    assert span(25.2, 25.4) == "about 25 s"
    assert span(86400, 5 * 86400) == "1 to 5 days"
    assert [exact(s) for s in (0.04, 9.25, 59.6, 562, 7260)] == [
        "0.0 s",
        "9.2 s",
        "1 min 0 s",
        "9 min 22 s",
        "2 h 1 min",
    ]
    assert [size(n) for n in (12, 4567, 123e6, 2.44e9, 996e9)] == ["12 B", "4.6 kB", "120 MB", "2.4 GB", "1 TB"]
    assert money(0.333, 0.5) == "0.33 to 0.50"
    assert money(12.2, 12.4) == "about 12"


def test_memory_of_a_training_on_the_cpu_is_about_what_it_takes(tmp_path):
    """A tiny network, 12 steps on texts of other lengths each: forecast against the process's own peak."""
    code = (
        "import numpy, torch\n"
        "from pathlib import Path\n"
        "from tests.tiny import batch\n"
        "from workbench.model.mlim import SIZES, Mlim, Shape\n"
        "from workbench.recipe.schema import Objectives, Optim\n"
        "from workbench.tasks.objective import Pretraining\n"
        "from workbench.train.loop import Plan, updates_of\n"
        "shape = Shape(SIZES['tiny'], 600, 4, 24, 32, 8)\n"
        "draws = numpy.random.default_rng(0)\n"
        "updates = updates_of(Pretraining(Mlim(shape), Objectives()), Plan(12, Optim(), 0), torch.device('cpu'))\n"
        "for step in range(12):\n"
        "    lengths = draws.integers(5, 22, 32).tolist()\n"
        "    updates.step([batch(lengths, [int(draws.integers(n)) for n in lengths], shape, step)])\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    training = {"epochs": 1, "optim": {"batch_size": 32}}
    made = recipe(
        tmp_path, model={"size": "tiny", "image_side": 32, "patch": 8}, pretrain=training, images={"side": 32}
    )
    loads = Loads(made, replace(COUNTS, parts={"train": 12 * 32, "valid": 0, "test": 0}, longest=24), MACHINE)
    load = loads.of("pretrain")
    assert load.units["steps"] == 12
    assert 1 / 1.5 < room("pretrain", load, loads).memory / int(out) < 1.5


def test_a_plan_says_it_within_a_second_without_torch(tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from workbench.recipe.load import load_recipe\n"
        "from workbench.plan import foresee, plan_recipe\n"
        "from workbench.forecast.forecast import shown\n"
        f"recipe = load_recipe(Path({str(ROOT / 'recipes/quickstart.yaml')!r}), ['runtime.cache={tmp_path}'])\n"
        "steps = plan_recipe(recipe)\n"
        "begun = time.process_time()\n"
        "rows, lines = shown(foresee(recipe, steps))\n"
        "print(len(rows), 'torch' in sys.modules, time.process_time() - begun)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    rows, torch, taken = out.split()
    assert (rows, torch) == ("11", "False")  # a header and ten stages
    assert float(taken) < 0.5
    assert room_of.forecast is forecast


def test_what_a_checkpoint_holds_is_taken_off(tmp_path):
    (tmp_path / "feed.csv").write_text("id,title\n" + "1,a\n" * 990)
    made = recipe(tmp_path, pretrain={"epochs": 2, "optim": {"batch_size": 65}})
    whole = forecast(made, {"pretrain": None}, tmp_path).estimates[0]
    half = forecast(made, {"pretrain": None}, tmp_path, {20: 10, 40: 1}).estimates[0]
    assert whole.load.units["steps"] == 20
    assert (half.done, half.load.units["steps"]) == (0.5, 10)
    ingredients = {"section": {"pretrain": {"epochs": 2, "optim": {"cooldown": 0.2}}}}
    for name in ("step-00000005-of-00000020", "step-00000010-of-00000020", "step-00000015-of-00000020.tmp"):
        (checkpoints_folder(ingredients, tmp_path) / name).mkdir(parents=True)
    assert steps_done(ingredients, tmp_path) == {20: 10}
