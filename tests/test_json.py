"""--json on every command that tells something: one object that any program can read, and beside --quiet nothing else;
also where the command fails."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.tasks import shop
from workbench.bench import loader
from workbench.chaos import chaos
from workbench.chaos.chaos import Row
from workbench.cli import app


def say(*words: str, code: int = 0, quiet: bool = True) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "--json", *["--quiet"] * quiet])
    assert result.exit_code == code, result.output + repr(result.exception)
    said = json.loads(result.stdout, parse_constant=pytest.fail)  # NaN is no JSON
    assert isinstance(said, dict)
    assert bool(result.stderr) == (code != 0 or not quiet), result.stderr
    assert ("error" in said) == (code != 0)
    return said


@pytest.fixture(scope="module", autouse=True)
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose recipe has run."""
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tree = shop.tree(
            Path(".mlim"), match=shop.match(pretrained={"epochs": 1}, scratch=None, label_shares=[1], seeds=[0])
        )
        tree["finetune"]["baselines"] = {"plain": False, "trees": False}
        tree["runtime"]["reports"] = "reports"
        tree["ablate"] = {"variants": {"one": [], "two": ["pretrain.epochs=2"]}, "seeds": [0]}
        Path("shop.yaml").write_text(yaml.safe_dump(tree))
        assert set(say("run", "shop.yaml", quiet=False)) == {"stages", "report", "census"}
        assert say("export", "shop.yaml", "model")["model"] == "model"
        assert say("embed", "model", "feed.csv", "points.parquet", "--index")["answered"] == 2 * shop.PRODUCTS
    return folder


@pytest.fixture(autouse=True)
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setattr(loader, "bench", partial(loader.bench, seconds=0.02))
    monkeypatch.setattr(
        chaos, "chaos", lambda *given: given[-1]("a line") or ([Row("ingest", "", float("nan"))], "said")
    )


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("run shop.yaml", {"stages": list, "report": str, "census": str}),
        ("finetune shop.yaml", {"stages": list}),
        ("ablate shop.yaml", {"table": dict, "ablation": str}),
        ("preview shop.yaml", {"stages": list, "preview": str}),
        ("probes shop.yaml", {"stages": list, "probes": dict, "figures": str}),
        ("audit shop.yaml", {"stages": list, "worst": list, "listings": str, "audit": str}),
        ("predict model feed.csv said.csv --pairs pairs.csv", {"rows": int, "answers": str, "drops": str}),
        ("search model points.parquet.index --text mug", {"found": list}),
        ("shards shop.yaml shards --as webdataset", {"stages": list, "out": str}),
        ("samples shop.yaml samples --as webdataset", {"stages": list, "out": str}),
        ("push shop.yaml pushed", {"stages": list, "sent": dict, "url": str}),
        ("chaos shop.yaml", {"stages": list}),
        ("bench loader shop.yaml", {"stages": list, "loader": dict, "figures": str}),
        ("init feed.csv new.yaml", {"recipe": str}),
    ],
)
def test_what_is_told(line: str, fields: dict[str, type]) -> None:
    said = say(*line.split())
    assert {name: type(said.get(name)) for name in fields} == fields


@pytest.mark.parametrize(
    "line",
    [
        "run shop.yaml --set images.sied=3",
        "finetune shop.yaml --set finetune.match=null",
        "ablate shop.yaml --set ablate.seeds=[]",
        "preview no.yaml",
        "probes shop.yaml --checkpoint nowhere",
        "audit shop.yaml --set audit.checkpoint=nowhere",
        "embed model no.csv out.parquet",
        "predict model feed.csv feed.csv",
        "search model no.index --text mug",
        "export shop.yaml model",
        "shards shop.yaml model --as webdataset",
        "samples shop.yaml model --as webdataset",
        "push shop.yaml nothing://there",
        "replay nowhere",
        "bench loader no.yaml",
        "init feed.csv shop.yaml",
    ],
)
def test_what_is_told_of_an_error(line: str) -> None:
    assert say(*line.split(), code=2)["exit_code"] == 2


def test_a_step_that_ends_a_training_and_its_replay() -> None:
    sets = ("pretrain.optim.lr=1e9", "pretrain.optim.bad_steps=0", "pretrain.optim.warmup=0")
    said = say("pretrain", "shop.yaml", *(word for each in sets for word in ("--set", each)), code=1)
    assert "not finite" in said["error"]
    (step,) = Path(".mlim/bad-steps").glob("pretrain-*/step-*")
    said = say("replay", str(step))
    assert Path(said["listings"]).is_file() and said["found"]
