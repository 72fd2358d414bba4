import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.export.conftest import ANSWERS, photo, portable, shelf
from workbench.answers.answers import Answers
from workbench.errors import MlimError
from workbench.export import onnx
from workbench.export.export import export
from workbench.export.onnx import inputs_of

DOC = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    said = list(export(portable(folder / "model"), folder / "out", onnx=True))
    assert said[1].startswith("ONNX (opset 18) says the same: ")
    return folder / "out"


def test_onnx_is_torch_for_any_number_of_listings_and_length_of_texts(folder):
    answers = Answers.open(folder, "cpu", 1)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    assert [each.name for each in session.get_outputs()] == ["embeddings", *ANSWERS]
    kinds = [shelf(), shelf()[:1], shelf()[6:7], shelf()[3:4], shelf()[2:3] * 3]
    for batch in (answers.preparation.prepare(listings).batch for listings in kinds):
        embeddings, classes, match, retrieve, fill = session.run(None, inputs_of(batch))
        np.testing.assert_allclose(embeddings, answers.points(batch), atol=1e-5)
        np.testing.assert_allclose(classes, answers.outputs("classify", batch), atol=1e-5)
        np.testing.assert_allclose(match, answers.outputs("match", batch), atol=1e-5)
        np.testing.assert_allclose(retrieve, embeddings, atol=1e-5)
        assert fill.shape == (len(batch), 5)


def test_it_names_no_file_of_this_machine(folder):
    content = (folder / "onnx" / "model.onnx").read_bytes()
    assert b".py" not in content and str(folder).encode() not in content


def test_the_documented_example_runs(folder, tmp_path):
    example = re.search(r"```python\n(import numpy as np\nimport onnxruntime.*?)```", DOC.read_text("utf-8"), re.S)
    assert example
    (tmp_path / "model").symlink_to(folder)
    photo(0, 50, 40).save(tmp_path / "mug.jpg")
    said = subprocess.run([sys.executable, "-c", example[1]], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    name, probability = said.stdout.split()
    assert name in ("hat", "lamp", "mug") and 1 / 3 < float(probability) < 1


def test_a_difference_to_torch_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(onnx, "CLOSE", -1)
    answers = Answers.open(folder, "cpu", 1)
    batches = {"two listings": answers.preparation.prepare(shelf()[:2]).batch}
    with pytest.raises(MlimError, match=r"ONNX: embeddings differs from torch by .* on two listings"):
        onnx.compared(folder / onnx.MODEL, onnx.Asked(answers.tuned), batches)
