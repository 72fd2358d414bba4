"""Where published weights lie, what their config says, and what is refused before anything runs."""

import json
from pathlib import Path

import pytest

from workbench.artifacts.key import Digests
from workbench.errors import RecipeError
from workbench.recipe.published import Published, check_fits, folder_of, no_weights, no_words, read_config
from workbench.recipe.schema import Model

CONFIG = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return published(tmp_path / "minilm")


def published(folder: Path, **other: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | other))
    return folder


def test_a_config_is_read(folder: Path) -> None:
    assert read_config(folder) == Published(384, 6, 12, 1e-12, 512, 0)
    published(folder, model_type="xlm-roberta", max_position_embeddings=514, layer_norm_eps=1e-5)
    assert read_config(folder) == Published(384, 6, 12, 1e-5, 512, 2)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model_type", "modernbert", "rotary positions, norms before its layers and gated units"),
        ("model_type", "distilbert", "other names"),
        ("model_type", "albert", "share one set of weights"),
        ("model_type", "electra", "replaced words"),
        ("model_type", "t5", "a decoder"),
        ("model_type", "vit", "expected one of bert, roberta"),
        ("model_type", None, "expected one of bert, roberta"),
        ("hidden_act", "relu", "hidden_act is 'relu'; expected 'gelu'"),
        ("position_embedding_type", "relative_key", "position_embedding_type is 'relative_key'; expected 'absolute'"),
        ("intermediate_size", 1024, "intermediate_size is 1024; expected 1536"),
        ("is_decoder", True, "is_decoder is True"),
        ("hidden_size", None, "hidden_size is None; expected a whole number"),
    ],
)
def test_another_architecture_is_refused_by_name(folder: Path, key: str, value: object, said: str) -> None:
    published(folder, **{key: value})
    with pytest.raises(RecipeError, match=rf"^model\.bert: .*minilm.*{said}"):
        read_config(folder)


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_text("{"), lambda f: f.write_text("[]")])
def test_a_folder_without_a_readable_config_is_refused(folder: Path, damage) -> None:
    damage(folder / "config.json")
    with pytest.raises(RecipeError, match=r"^model\.bert: .*config\.json can't be read"):
        read_config(folder)


def test_another_size_and_longer_texts_than_published_are_refused(folder: Path) -> None:
    check_fits(Model(bert=folder), folder, 512)  # the default size is no wish
    check_fits(Model(bert=folder, size=None), folder, 512)
    with pytest.raises(
        RecipeError, match=r"^model\.size: base is 768 wide, 12 layers, 12 heads, .* 384 wide, 6 layers"
    ):
        check_fits(Model(bert=folder, size="base"), folder, 64)
    check_fits(
        Model(bert=folder, size="base"),
        published(folder, hidden_size=768, num_hidden_layers=12, intermediate_size=3072),
        64,
    )
    with pytest.raises(RecipeError, match=r"^tokens\.max_length is 200, .* has 128 positions"):
        check_fits(Model(bert=folder), published(folder, max_position_embeddings=128), 200)


def test_a_name_on_the_hub_comes_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0" * 40
    here = published(tmp_path / "models--shop--minilm/snapshots" / commit)
    (here / "model.safetensors").touch()
    (here.parents[1] / "refs").mkdir()
    (here.parents[1] / "refs/main").write_text(commit)
    assert folder_of("model.bert", Path("shop/minilm")) == here
    with pytest.raises(RecipeError, match=r"^model\.bert: shop/other is no folder beside the recipe, and can't be had"):
        folder_of("model.bert", Path("shop/other"))


def test_a_key_is_made_of_the_files_that_are_read(folder: Path, tmp_path: Path) -> None:
    def keys() -> tuple[str, str]:
        digests = Digests(tmp_path / "digests.json")
        return digests.of(folder, no_words), digests.of(folder, no_weights)

    (folder / "vocab.txt").write_text("red")
    (folder / "model-1.safetensors").write_text("1")
    words, weights = keys()
    (folder / "README.md").write_text("…")
    (folder / "onnx").mkdir()
    (folder / "onnx/config.json").write_text("{}")
    assert keys() == (words, weights)
    (folder / "model-1.safetensors").write_text("23")
    assert keys()[0] == words and keys()[1] != weights
    (folder / "vocab.txt").write_text("blue")
    assert keys()[0] != words
