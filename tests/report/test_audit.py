"""The audit: fits against a slow twin, planted misfits found, and a file in which every listing is accounted for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console

from tests.report.shop import make, recipe_of, write_shop
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.errors import DataError
from workbench.model.heads import Heads
from workbench.model.reading import Reading
from workbench.recipe.schema import Audit, Objectives, Recon
from workbench.report import misfit as room
from workbench.report.asked import NEEDS
from workbench.report.audit import check, stage, told
from workbench.report.crossmodal import partners
from workbench.report.misfit import costs, judge, misfit, pair_losses
from workbench.report.trained import Trained, open_trained
from workbench.tasks.objective import MlmLoss, ReconLoss

STRANGERS = 5
QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, 40, ["B1,H1,a mug without a picture,mug,none.png", "B2,H2,,mug,3.png"])
    return make(recipe_of(folder))


def work(made: dict[str, Artifact], folder: Path) -> Work:
    folder.mkdir(exist_ok=True)
    inputs = {name: made[name] for name in (*NEEDS, "pretrain")}
    return Work(folder, inputs, recipe_of(folder).runtime, QUIET, folder / "log")


@pytest.fixture
def trained(made: dict[str, Artifact], tmp_path: Path) -> Trained:
    found = open_trained(work(made, tmp_path), None, recipe_of(tmp_path).pretrain)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in found.network.parameters():  # so wide that each pair's loss is its own
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return found


def usable(trained: Trained) -> np.ndarray:
    return np.flatnonzero(trained.catalog.shards.usable & (trained.catalog.listings.tokens.lengths > 0))


def test_losses_are_those_of_a_slow_loop(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", 7)
    rows = usable(trained)
    stranger_Sn = np.stack([partners(trained.catalog.items["group"].gather(rows).to_list(), s) for s in range(2)])
    found = pair_losses(trained, rows, stranger_Sn, QUIET)
    assert MlmLoss.name in found and ReconLoss(Recon()).name in found
    network, words = trained.network, trained.catalog.listings.tokens
    for i in (0, 5, 17):
        for s, other in enumerate([i, *stranger_Sn[:, i]]):
            ids = torch.from_numpy(words.ids(int(rows[i])).astype(np.int64))
            tokens_BL = torch.cat([torch.tensor([words.tokenizer.cls]), ids, torch.tensor([words.tokenizer.sep])])[None]
            batch = trained.catalog.listings.batch(rows[[other]])
            word_BL = ~torch.isin(tokens_BL, torch.tensor(sorted(words.tokenizer.special_ids)))
            shared: dict[str, Any] = {"tokens_BL": tokens_BL, "text_real_BL": torch.ones_like(word_BL)}
            asked = room.replace(
                batch, shown_BL=tokens_BL.masked_fill(word_BL, words.tokenizer.mask), text_masked_BL=word_BL, **shared
            )
            with torch.no_grad():
                logits = network.masked_token_logits(network.encode(asked)[0], asked)
                nats = float(torch.nn.functional.cross_entropy(logits, tokens_BL[word_BL], reduction="sum"))
                told = room.replace(batch, shown_BL=tokens_BL, text_masked_BL=word_BL & False, **shared)
                drawn = network.redraw(
                    network.encode(room.replace(told, image_masked_BP=told.image_masked_BP | True))[1]
                )
            error = float((drawn - batch.pixels_BCHW / 255).square().sum(1).mean())
            assert found["mlm"][s, i] == pytest.approx(nats, rel=1e-4)
            assert found["recon"][s, i] == pytest.approx(error, rel=1e-4)


def test_heads_are_asked_as_in_training(trained: Trained) -> None:
    torch.manual_seed(2)
    both = Objectives.model_validate({"itm": {"weight": 1}, "itc": {"weight": 1, "width": 8}})
    heads = Heads(both, trained.network.shape.size.width).eval()
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    assert heads.itc and heads.itm
    rows = usable(trained)
    stranger_Sn = np.stack([partners(trained.catalog.items["group"].gather(rows).to_list(), s) for s in range(2)])
    found = pair_losses(room.replace(trained, objectives={}, heads=heads), rows, stranger_Sn, QUIET)
    assert found.keys() == {"itc", "itm"}
    for i in (0, 9):
        for s, other in enumerate([i, *stranger_Sn[:, i]]):
            batch = trained.catalog.listings.batch(rows[[i]])
            batch = room.replace(batch, pixels_BCHW=trained.catalog.listings.batch(rows[[other]]).pixels_BCHW)
            reading = Reading(trained.network, batch)
            with torch.no_grad():
                cosine, odds = heads.itc(*reading.apart), heads.itm(trained.network.encode(batch)[0])
            assert found["itc"][s, i] == pytest.approx(-float((cosine * heads.itc.scale).detach()), rel=1e-4)
            assert found["itm"][s, i] == pytest.approx(-float(odds), rel=1e-4)


def test_costs_are_those_of_least_squares() -> None:
    n = 12
    stranger_Sn = np.stack([partners([str(i) for i in range(n)], s) for s in range(STRANGERS)])
    loss_Sn = np.random.default_rng(0).normal(size=(1 + STRANGERS, n)) * 5
    texts, pictures = np.tile(np.arange(n), STRANGERS), stranger_Sn.ravel()
    design = np.zeros((n * STRANGERS, 2 * n))
    design[np.arange(n * STRANGERS), texts] = design[np.arange(n * STRANGERS), n + pictures] = 1
    losses = loss_Sn[1:].ravel()
    least = np.linalg.lstsq(design, losses, rcond=None)[0]
    text_Sn, picture_Sn = costs(loss_Sn, stranger_Sn)
    assert (text_Sn + picture_Sn)[0] == pytest.approx(least[:n] + least[n:], abs=1e-3)
    kept = design @ least - 2 * (losses - design @ least) / (STRANGERS - 1)
    assert (text_Sn + picture_Sn)[1:].ravel() == pytest.approx(kept, abs=1e-3)


def test_a_stranger_is_left_out_of_its_own_costs() -> None:
    n, strangers = 4000, 8
    stranger_Sn = np.stack([partners([str(i) for i in range(n)], s) for s in range(strangers)])
    losses = np.random.default_rng(0).normal(size=(1 + strangers, n))  # own pairs are as good as strangers'
    fits = sum(costs(losses, stranger_Sn)) - losses
    assert fits[0].mean() == pytest.approx(0, abs=0.05)
    assert fits[1:].std() == pytest.approx(fits[0].std(), rel=0.05)
    assert np.abs(judge({"mlm": losses}, stranger_Sn, np.ones(n, bool))).max() < 0.5  # nothing tells them apart


def test_an_objective_counts_as_much_as_it_tells() -> None:
    draws = np.random.default_rng(0)
    stranger_Sn = np.stack([partners([str(i) for i in range(4000)], s) for s in range(4)])
    strong, noise = draws.normal(size=(2, 5, 4000))
    strong[0] -= 3
    odds = judge({"mlm": strong, "recon": noise}, stranger_Sn, np.ones(4000, bool))
    assert odds[0].mean() == pytest.approx(-4.5, abs=0.3)  # of normals 3 apart: -d^2 / 2
    assert np.corrcoef(odds[0], strong[0])[0, 1] > 0.99
    assert odds[1:].mean() == pytest.approx(4.5, abs=0.3)
    seen = np.arange(4000) < 1000
    strong[0, 1000:] += 2  # of what it never saw the network is less sure
    assert judge({"mlm": strong}, stranger_Sn, seen)[0, 1000:].mean() == pytest.approx(-0.5, abs=0.1)
    few = np.arange(4000) < room.FEWEST - 1
    together = judge({"mlm": strong}, stranger_Sn, few)
    assert (together == judge({"mlm": strong}, stranger_Sn, ~few)).all()


def test_planted_misfits_are_found_whatever_their_texts_and_pictures_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, n = np.random.default_rng(0), 600
    topic, wrong = draws.integers(0, 20, n), np.arange(n) < 12
    shown = np.where(wrong, (topic + 7) % 20, topic)  # the topic of the picture
    text_cost, picture_cost = draws.normal(0, 20, n), draws.normal(0, 20, n)

    def losses(_: Any, rows: np.ndarray, stranger_Sn: np.ndarray, __: Console) -> dict[str, np.ndarray]:
        pictures = np.vstack([np.arange(n), stranger_Sn])
        same = shown[pictures] == topic
        return {"mlm": text_cost + picture_cost[pictures] - 8 * same + draws.normal(0, 1, pictures.shape)}

    monkeypatch.setattr(room, "pair_losses", losses)
    items = pl.DataFrame({"group": [str(i) for i in range(n)], "part": ["train"] * n})
    catalog = type("Catalog", (), {"items": items})()
    found = misfit(type("Trained", (), {"catalog": catalog})(), np.arange(n), 16, QUIET)
    assert set(np.argsort(-found.score_n)[:12]) == set(range(12))
    assert (found.score_n[:12] > 1).all() and (found.score_n[12:] < 0).mean() > 0.98
    assert found.beaten_n[:12].mean() > 0.3 > 0.1 > found.beaten_n[12:].mean()
    better = np.flatnonzero((found.best_n >= 0) & wrong)
    assert len(better) and (shown[found.best_n[better]] == topic[better]).mean() > 0.2  # of chance 0.05


def test_every_listing_is_in_the_file_once(made: dict[str, Artifact], tmp_path: Path) -> None:
    audit = Audit(strangers=STRANGERS, shown=5)
    pretrain = recipe_of(tmp_path).pretrain
    summaries = [stage("shop", audit, pretrain, {}).run(work(made, tmp_path / name)) for name in ("one", "two")]
    assert summaries[0] == summaries[1]
    for name in ("audit.csv", "audit.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    lines = pl.read_csv(tmp_path / "one" / "audit.csv", infer_schema_length=None)
    assert lines.columns == [
        "rank",
        "id",
        "row",
        "title",
        "picture",
        "part",
        "score",
        "mlm_own",
        "mlm_strangers",
        "mlm_fit",
        "recon_own",
        "recon_strangers",
        "recon_fit",
        "beaten",
        "best_stranger",
        "reason",
    ]
    items = pl.read_parquet(made["ingest"].path("items.parquet"))
    assert sorted(lines["row"]) == items["row"].to_list()
    ranked, others = lines.filter(pl.col("reason").is_null()), lines.filter(pl.col("reason").is_not_null())
    assert ranked["rank"].to_list() == list(range(1, 41)) and ranked["score"].is_sorted(descending=True)
    assert others.select("id", "reason").rows() == [("B1", "picture absent")] and others["rank"].to_list() == [None]
    summary = summaries[0]
    assert (summary["listings"], summary["audited"], summary["left_out"]) == (41, 40, {"picture absent": 1})
    assert set(ranked["part"].drop_nulls()) >= {"train", "test"}
    page = (tmp_path / "one" / "audit.html").read_text()
    assert all(page.count(f'class="id">{line}<') == 1 for line in ranked["id"][:5])
    assert page.count("redrawn from its text alone") == 5 and "5 of 40 listings" in page
    shown = told([{name: str(value) for name, value in line.items()} for line in ranked[:1].iter_rows(named=True)])
    assert shown[0][:3] == ("1", ranked["id"][0], ranked["title"][0])


def test_what_cannot_be_audited_is_said(trained: Trained) -> None:
    rows = usable(trained)
    with pytest.raises(DataError, match="no listing has both a usable picture and a text"):
        check(trained, rows[:0])
    with pytest.raises(DataError, match="of one product group"):
        check(trained, rows[:2])
