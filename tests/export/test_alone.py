"""The exported folder in a Python that has transformers, torch, Pillow and what these need, and nothing else."""

import os
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from tests.export.conftest import photo
from workbench.answers.listing import Listing

LOADS = """
import sys
import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor, AutoTokenizer, BertModel

folder, pictures, out = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
read = processor([{"title": "Big red mug"}, "small hat", None], [Image.open(pictures), None, Image.open(pictures)])
tokenizer, bert = AutoTokenizer.from_pretrained(folder + "/bert"), AutoModel.from_pretrained(folder + "/bert")
assert type(bert) is BertModel
with torch.inference_mode():
    said = AutoModel.from_pretrained(folder, trust_remote_code=True)(**read)
    named = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    logits = named(**read).logits
    texts = bert(**tokenizer("[title] small hat", return_tensors="pt")).last_hidden_state
left_out = {"workbench", "polars", "pyarrow", "cv2", "imagecodecs", "sklearn", "scipy", "torchvision", "pydantic"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)
classes = [named.config.id2label[i] for i in logits.argmax(1).tolist()]
np.savez(out, points=said.embeddings, probabilities=logits.softmax(1), classes=classes, texts=texts)
"""


def needed(*names: str) -> dict[str, Distribution]:
    """What pip would install of these, extras left out."""
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        found[name] = distribution(name)
        wanted = map(Requirement, found[name].requires or ())
        todo += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def fresh(folder: Path, *names: str) -> Path:
    """Links to the packages, as they would lie in a new environment."""
    folder.mkdir()
    for each in needed(*names).values():
        for top in {file.parts[0] for file in each.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(each.locate_file(top))
    return folder


def test_it_loads_where_there_is_transformers_alone(out, answers, tmp_path):
    photo(0, 64, 48).save(tmp_path / "mug.png")
    packages = fresh(tmp_path / "packages", "transformers", "torch", "pillow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    subprocess.run(
        [sys.executable, "-S", "-c", LOADS, str(out), str(tmp_path / "mug.png"), str(tmp_path / "said.npz")],
        check=True,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(packages), "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    said, mug = np.load(tmp_path / "said.npz"), tmp_path / "mug.png"
    listings = [
        Listing("0", {"title": "Big red mug"}, mug),
        Listing("1", {"title": "small hat"}),
        Listing("2", {}, mug),
    ]
    batch = answers.preparation.prepare(listings).batch
    np.testing.assert_allclose(said["points"], answers.points(batch), atol=2e-3)  # of pixels that differ by 1 or 2
    np.testing.assert_allclose(said["points"][1], answers.points(batch)[1], atol=2e-6)
    table = answers.table("classify", batch)
    assert said["classes"].tolist() == table["kind"].to_list()
    np.testing.assert_allclose(said["probabilities"].max(1), table["kind.probability"], atol=2e-3)
