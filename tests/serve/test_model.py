"""Over HTTP a model says what it says in the same process."""

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
from PIL import Image

from tests.answers.conftest import answers, sold  # noqa: F401
from tests.serve.fake import png, serving
from workbench.answers.embed import embedding
from workbench.answers.index import Index
from workbench.answers.listing import Listing
from workbench.serve.app import make_app
from workbench.serve.limits import Limits
from workbench.serve.service import Service


def test_labels_matches_points_and_neighbours(answers: Any, tmp_path: Path) -> None:  # noqa: F811
    some = [
        Listing("a", {"title": "red lamp"}, png("red", (40, 30))),
        Listing("b", {"title": "blue mug"}),
        Listing("c", {}, png("blue")),
    ]
    prepared = answers.preparation.prepare(some)
    how = embedding(answers, tmp_path / "index")
    table = pl.DataFrame({"id": ["a", "b", "c"], "title": ["red lamp", "blue mug", None], "picture": prepared.pictures})
    (written,) = how.then(lambda: iter([table.hstack(how.answer(prepared))]))
    assert written.columns == [*table.columns, "point"]
    asked = [
        {"id": s.id, "texts": s.texts, "picture": s.picture and base64.b64encode(s.picture).decode()} for s in some
    ]
    service = Service(answers, Index.open(tmp_path / "index", answers.key), Limits())
    with serving(make_app(service)) as url, httpx.Client(base_url=url, timeout=60) as client:
        points = client.post("/embed", json={"listings": asked}).json()["answers"]
        labels = client.post("/predict", json={"listings": asked}).json()["answers"]
        pairs = [{"left": asked[0], "right": asked[1]}, {"left": asked[1], "right": asked[0]}]
        matches = client.post("/match", json={"pairs": pairs}).json()["answers"]
        found = [client.post("/search", json={k: v for k, v in each.items() if v}).json()["results"] for each in asked]
        small = client.get(found[0][0]["picture"]).content
    np.testing.assert_allclose([p["embedding"] for p in points], answers.points(prepared.batch), atol=1e-6)
    assert [p["picture"] for p in points] == ["present", "absent", "present"]
    assert [each["tasks"]["classify"] for each in labels] == answers.table("classify", prepared.batch).to_dicts()
    expected = answers.match_read(prepared.batch, np.array([0, 1]), np.array([1, 0]))
    np.testing.assert_allclose([m["probability"] for m in matches], expected, atol=1e-6)
    assert [m["match"] for m in matches] == (expected >= answers.tasks["match"]["threshold"]).tolist()
    assert [each[0]["id"] for each in found] == ["a", "b", "c"]
    assert np.asarray(Image.open(io.BytesIO(small))).tobytes() == prepared.squares[0]
    assert found[0][[r["id"] for r in found[0]].index("b")]["picture"] is None
