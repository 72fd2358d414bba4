"""What stages have to do, counted by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.artifacts.store import Artifact
from workbench.forecast.counts import Counts, counts
from workbench.forecast.load import Loads, busiest, forward_flops, labels_of, masked_shares, task_of
from workbench.forecast.machine import Machine, this_machine
from workbench.model.shape import Network
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Itc, Itm, Mam, Mlm, NoMasking, Objectives, Recon, Runtime, Uniform

FEED = {"path": "feed.csv", "columns": {"id": "id", "title": "title", "picture": "picture", "labels": {"kind": "k"}}}
MACHINE = Machine(cores=2, memory=None, disk=10**12)
COUNTS = Counts(1000, 1000, 1000, {"train": 650, "valid": 100, "test": 250}, 1.0, 10, 12, 600, {"kind": 0.5}, False)


def recipe(folder: Path, **sections):
    return recipe_from_tree({"name": "shop", "catalog": {"feeds": [FEED]}, **sections}, folder)


def made(stage: str, **summary) -> Artifact:
    return Artifact(Path("nowhere"), stage, "k", {}, summary, {})


def test_rows_are_guessed_from_the_head_of_a_feed(tmp_path):
    lines = ["id,title,picture", *(f"{i:06},a title of about this length {i:06},{i:06}.jpg" for i in range(20_000))]
    (tmp_path / "feed.csv").write_text("\n".join(lines) + "\n")
    found = counts(recipe(tmp_path), {"ingest": None})
    assert found.guessed
    assert found.rows == pytest.approx(20_001, rel=0.01)
    assert found.parts["train"] == pytest.approx(0.65 * 20_000, rel=0.01)


def test_rows_of_a_feed_whose_lines_grow(tmp_path):
    lines = [f"{i},{'word ' * (4 + i // 2000)}" for i in range(20_000)]
    (tmp_path / "feed.csv").write_text("\n".join(lines) + "\n")
    assert counts(recipe(tmp_path), {"ingest": None}).rows == pytest.approx(20_000, rel=0.1)


def test_the_gpu_is_what_the_driver_says(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559'\necho 'NVIDIA A100, 40000'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = this_machine(Runtime(cache=tmp_path / "not/there", threads=3))
    assert (found.gpu, found.gpu_memory, found.gpus) == ("NVIDIA H100 80GB HBM3", 81559 * 2**20, 2)
    assert found.cores == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert this_machine(Runtime(cache=tmp_path)).gpus == 1
    assert found.disk > 0
    assert this_machine(Runtime(cache=tmp_path, device="cpu")).gpu == ""
    program.write_text("#!/bin/sh\nexit 9\n")
    assert this_machine(Runtime(cache=tmp_path)).gpu == ""


def test_counts_become_exact_with_each_artifact(tmp_path):
    (tmp_path / "feed.csv").write_text("id,title\n1,a\n")
    artifacts = {
        "ingest": made("ingest", rows=120, listings=100, missing={"picture": 20, "label.kind": 50}),
        "images": made("images", present=70),
        "split": made("split", listings_by_part={"train": 60, "valid": 10, "test": 29}),
        "tokens": made("tokens", tokens=800, longest=40, vocabulary=512),
    }
    found = counts(recipe(tmp_path, tokens={"max_length": 16}), artifacts)
    assert (found.rows, found.listings, found.guessed) == (120, 100, False)
    assert found.pictured == pytest.approx(0.7)
    assert found.parts == {"train": 60, "valid": 10, "test": 29}
    assert (found.tokens, found.longest, found.vocabulary) == (
        10,
        16,
        512,
    )  # 8 words, [CLS], [SEP]; texts are cut at 16
    assert found.labelled == {"kind": 0.5}


def test_steps_and_operations_of_a_pre_training(tmp_path):
    model = {"size": "tiny", "image_side": 32, "patch": 8}
    training = {"epochs": 7, "validate_every": 3, "optim": {"batch_size": 100}}
    loads = Loads(recipe(tmp_path, model=model, pretrain=training), COUNTS, MACHINE)
    load = loads.of("pretrain")
    forward = forward_flops(loads.network, 12, 32, Mam(), Objectives())
    assert load.units["steps"] == 7 * 7  # 650 in batches of 100
    # validations after epochs 3, 6 and 7; three times the forward pass where it learns
    assert load.units["listings"] == 7 * 650 + 3 * 100
    assert load.units["gflops"] == pytest.approx((7 * 650 * 3 + 3 * 100) * forward / 1e9)
    dropped = recipe(tmp_path, model=model, pretrain=training | {"sampling": {"last": "drop"}})
    assert Loads(dropped, COUNTS, MACHINE).of("pretrain").units["steps"] == 7 * 6
    ranks = Loads(loads.recipe, COUNTS, replace(MACHINE, ranks=2)).of("pretrain")
    assert ranks.units["gflops"] == load.units["gflops"] / 2


def test_small_pictures_first_cost_less(tmp_path):
    model = {"size": "tiny", "image_side": 32, "patch": 8}
    whole = Loads(recipe(tmp_path, model=model), COUNTS, MACHINE).of("pretrain")
    halves = {"sampling": {"sides": [[0.5, 16]]}}
    half = Loads(recipe(tmp_path, model=model, pretrain=halves), COUNTS, MACHINE).of("pretrain")
    assert 0.5 < half.units["gflops"] / whole.units["gflops"] < 0.85


def test_operations_of_a_listing_by_hand():
    network, text, patches = Network(128, 4, 600, 24, 32, 8), 12, 16
    nothing = NoMasking(policy="none")
    layers = 4 * 28 * (24 * 128**2 + 4 * 128 * 28)
    words = forward_flops(
        network, text, 32, Uniform(policy="uniform", text=0.25, image=0), Objectives(recon=Recon(weight=0))
    )
    assert words == layers + network.embedder_flops(patches) + network.head_flops(3)
    drawn = forward_flops(network, text, 32, nothing, Objectives(mlm=Mlm(weight=0)))
    assert drawn == layers + network.embedder_flops(patches) + network.decoder_flops(patches)
    only = {"mlm": Mlm(weight=0), "recon": Recon(weight=0)}
    matched = forward_flops(network, text, 32, nothing, Objectives(**only, itm=Itm(weight=1)))
    assert matched == layers + network.embedder_flops(patches)
    apart = forward_flops(network, text, 32, nothing, Objectives(**only, itc=Itc(weight=1)))
    assert apart == 4 * (
        12 * (24 * 128**2 + 4 * 128 * 12) + 16 * (24 * 128**2 + 4 * 128 * 16)
    ) + network.embedder_flops(patches)
    assert masked_shares(Mam()) == pytest.approx(((0.8 + 0.15) / 3, (0.8 + 0.15) / 3))


def test_runs_of_a_fine_tuning_side_by_side(tmp_path):
    tuned = {
        "classify": {
            "label": "kind",
            "label_shares": [1, 0.25],
            "pretrained": {"epochs": 4, "optim": {"batch_size": 65}},
        }
    }
    tuned["classify"]["scratch"] = tuned["classify"]["pretrained"]
    model = {"size": "tiny", "image_side": 32, "patch": 8}
    loads = Loads(recipe(tmp_path, model=model, finetune=tuned), COUNTS, MACHINE)
    load = loads.of("classify")
    # half of the 650 listings have the label: 5 batches, 4 epochs; of a quarter of the labels half as many steps
    assert (load.lanes, load.threads) == (2, 1)
    assert load.units["steps"] == 20 + 10  # each process: a run on all labels, one on few
    assert load.units["runs"] == 2
    assert load.units["listings"] == pytest.approx(20 * 325 / 5 + 10 * 81.25 / 2)
    alone = Loads(loads.recipe, COUNTS, replace(MACHINE, gpu="NVIDIA A100-SXM4-80GB", gpu_memory=80 * 2**30, gpus=1))
    assert (alone.of("classify").lanes, alone.of("classify").units["runs"]) == (1, 4)


def test_pairs_are_counted_in_their_file(tmp_path):
    (tmp_path / "p.csv").write_text("left,right,match\n" + "a,b,1\n" * 400)
    model = {"size": "tiny", "image_side": 32, "patch": 8}
    arm = {"epochs": 3, "optim": {"batch_size": 26}}
    tuned = {"match": {"pairs": "p.csv", "pretrained": arm, "scratch": None}}
    load = Loads(recipe(tmp_path, model=model, finetune=tuned), COUNTS, MACHINE).of("match")
    assert load.units["steps"] == 3 * 10  # 65% of 400 pairs in batches of 26
    assert load.units["listings"] == 3 * 10 * 26 * 2


def test_labels_of_every_task(tmp_path):
    (tmp_path / "labels.csv").write_text("id,kind\n" + "a,b\n" * 200)
    arm = {"epochs": 2, "optim": {"batch_size": 50}}
    how = {"pretrained": arm, "scratch": None}
    tuned = {
        "match": {"mine": {"negatives": 1}, **how},
        "classify": {"label": "kind", "labels": "labels.csv", **how},
        "retrieve": how,
        "fill": {"attributes": ["kind", "colour"], **how},
        "together": True,
    }
    columns = FEED["columns"] | {"text": {"colour": "c"}, "group": "g"}
    feeds = {"feeds": [FEED | {"columns": columns}]}
    known = recipe_from_tree({"name": "shop", "catalog": feeds, "finetune": tuned}, tmp_path)
    counted = replace(COUNTS, labelled={"kind": 0.5, "colour": 0.1})
    labels = {stage: labels_of(known, stage, counted) for stage in known.finetune.tasks}
    assert labels == {"match": 650, "classify": 130, "retrieve": 650, "fill": pytest.approx(390)}
    together = Loads(known, counted, MACHINE).of("together")
    seen = 650 * 2 + 130 + 650 * 2 + 390  # listings, in batches of 50 labels of each of four tasks
    assert together.units["steps"] == 2 * 16
    assert together.units["listings"] == pytest.approx(2 * seen)
    assert task_of(known, "match")[1] == 2


def test_the_longest_runs_come_first_and_each_process_takes_the_next():
    runs = [
        {"gflops": 5.0, "runs": 1},
        {"gflops": 4.0, "runs": 1},
        {"gflops": 3.0, "runs": 1},
        {"gflops": 3.0, "runs": 1},
    ]
    assert busiest(runs, 2) == {"gflops": 8.0, "runs": 2}
    assert busiest(runs, 1) == {"gflops": 15.0, "runs": 4}
