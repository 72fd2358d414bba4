import sys

import pytest

from workbench.export.code import modeling_mlim
from workbench.export.inline import inlined


@pytest.fixture
def text():
    return inlined(__import__("pathlib").Path(modeling_mlim.__file__))


def test_nothing_of_workbench_is_left_to_import(text):
    assert "from workbench" not in text and "import workbench" not in text
    compile(text, "modeling_mlim.py", "exec")


def test_the_heads_are_those_of_mlim_with_all_that_they_use(text):
    for name in ("class MatchHead(", "class ClassHead(", "class RetrieveHead(", "def head_of(", "def mean_of_tokens("):
        assert text.count(name) == 1
    assert text.index("class MatchHead(") < text.index("def head_of(")
    assert "class PairLoss" not in text and "class Mlim(" not in text


def test_constants_functions_and_imports_of_a_file(tmp_path, monkeypatch):
    (tmp_path / "workbench_like.py").write_text(
        "import math as m\nfrom dataclasses import dataclass, field\n\nLIMIT = 3\n\n\n"
        "@dataclass\nclass One:\n    at: int = LIMIT\n\n\ndef twice(x: One) -> float:\n    return m.pi * x.at * LIMIT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "template.py").write_text("import os\nfrom workbench_like import twice\n\nprint(twice)\n")
    said = inlined(tmp_path / "template.py")
    sys.modules.pop("workbench_like")
    assert said.splitlines()[:2] == ["import os", "import math as m"]
    assert "LIMIT = 3" in said and said.count("LIMIT = 3") == 1 and "def twice" in said
    assert "class One" not in said, "annotations are left unread"
    assert said.endswith("print(twice)\n")
