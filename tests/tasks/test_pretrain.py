from pathlib import Path

import pytest

from tests.tasks import shop
from workbench.errors import DataError


def test_a_catalog_without_pictures_is_told_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    del tree["catalog"]["feeds"][0]["columns"]["picture"]
    monkeypatch.setattr(shop, "tree", lambda *_, **__: tree)
    with pytest.raises(DataError, match=r"no picture is named \(120\); name their column .* columns\.picture"):
        shop.make(tmp_path, tmp_path / "cache", "pretrain")
