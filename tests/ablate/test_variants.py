"""A recipe's `ablate` section becomes full recipes, or an error that names the variant and the key."""

from pathlib import Path
from typing import Any

import pytest

from tests.tasks import shop
from workbench.ablate.variants import read_variants
from workbench.errors import RecipeError
from workbench.recipe.load import to_yaml


def write(folder: Path, **ablate: Any) -> Path:
    tree = shop.tree(folder / "cache", match=shop.match(scratch=None)) | {"ablate": ablate}
    path = folder / "shop.yaml"
    path.write_text(to_yaml(tree))
    return path


def test_every_combination_then_the_named_ones_each_with_every_seed(tmp_path):
    axes = {
        "masking": {"MAM": [], "uniform": ["pretrain.masking={policy: uniform}"]},
        "MDO": {"MDO": [], "none": ["finetune.match.mdo.text=0", "finetune.match.mdo.image=0"]},
    }
    path = write(tmp_path, axes=axes, variants={"long": ["pretrain.epochs=9"]}, seeds=[3, 5])
    base, variants = read_variants(path, ["model.dropout=0.2"])
    assert base.model.dropout == 0.2
    assert [v.name for v in variants] == ["MAM, MDO", "MAM, none", "uniform, MDO", "uniform, none", "long"]
    crossed = variants[3].recipes[1]
    assert (crossed.pretrain.masking.policy, crossed.finetune.match.mdo.text) == ("uniform", 0)
    assert (crossed.pretrain.seed, crossed.finetune.match.seeds, crossed.model.dropout) == (5, (5,), 0.2)
    assert [r.pretrain.epochs for r in variants[4].recipes] == [9, 9]
    assert variants[0].goals == ("pretrain", "match")


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["pretrain.epoch=2"], "unknown key pretrain.epoch; did you mean `pretrain.epochs`"),
        (["pretrain.epochs"], "expected a.b=value"),
        (["pretrain.epochs=-1"], "pretrain.epochs: input should be greater than or equal to 0"),
    ],
)
def test_an_error_names_the_variant_and_the_key(tmp_path, sets, told):
    path = write(tmp_path, variants={"as it is": [], "longer": sets})
    with pytest.raises(RecipeError, match=r"variant 'longer': --set pretrain.epoch") as error:
        read_variants(path)
    assert told in str(error.value)


def test_no_variants_and_two_of_one_name(tmp_path):
    with pytest.raises(RecipeError, match="ablate names no variant; add some"):
        read_variants(write(tmp_path))
    axes = {"a": {"same": []}}
    with pytest.raises(RecipeError, match="two variants are called 'same'"):
        read_variants(write(tmp_path, axes=axes, variants={"same": []}))
