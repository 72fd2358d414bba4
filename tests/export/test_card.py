import json
from pathlib import Path

import yaml

from tests.export.conftest import ABOUT, portable
from workbench.export.card import write_card
from workbench.export.export import export


def head(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_says_what_the_model_is(out):
    card = (out / "README.md").read_text("utf-8")
    assert head(card) == {
        **{"library_name": "transformers", "license": "mit", "language": ["en"]},
        **{"pipeline_tag": "feature-extraction", "tags": ["mlim", "product-catalog", "text", "image"]},
    }
    for said in (
        *("c" * 64, "160 listings", "title, colour", "32 px", "12 tokens", "Pre-training pays."),
        "one of 3 classes, the probability that two are one product, search by text, picture or both",
        "missing attributes (brand, material)",
        "| pretrained | 100% | 1 | 0.954 [0.900, 0.970] |",
        "| text (pretrained, 100%) | 40 | 0.954 [0.900, 0.970] |",
        "```yaml\ntokens:\n  max_length: 12\n```",
        'AutoModel.from_pretrained("out", trust_remote_code=True)',
        "ingest `ffffffffffffffff`, match `eeeeeeeeeeeeeeee`.",
    ):
        assert said in card, said
    assert "\n\n\n" not in card and "onnx" not in card


def test_of_all_tasks_of_one_network_and_of_none(out, tmp_path):
    folder = portable(tmp_path / "model", tasks=())
    undefined = {"arm": "scratch", "share": 0.2, "seeds": 3, "pr_auc": None}
    results = {"match": ABOUT["results"] | {"arms": [undefined]}, "classify": {"reason": "nothing was measured"}}
    (folder / "about.json").write_text(json.dumps(ABOUT | {"task": "together", "results": results}))
    write_card(folder, "shop/model", onnx={"opset": 18, "off": "2e-07"})
    card = (folder / "README.md").read_text("utf-8")
    assert "| scratch | 20% | 3 | undefined |" in card and "### classify" not in card
    assert 'from_pretrained("shop/model", subfolder="bert")' in card and "opset 18; 2e-07 off torch" in card
    assert "license" not in head(card)
    (folder / "about.json").write_text(json.dumps(ABOUT | {"results": {}}))
    write_card(folder, "model")
    assert "tuned for no task" in (folder / "README.md").read_text("utf-8")


def test_no_file_names_this_machine(make, tmp_path):
    list(export(make(), tmp_path / "out"))
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(tmp_path).encode() not in content and str(Path.home()).encode() + b"/" not in content, path
