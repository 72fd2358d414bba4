"""A published BERT as the start: from the recipe to the network, and what is refused on the way."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM

from tests.tasks import shop
from workbench.errors import RecipeError
from workbench.tasks.network import model_section

WORDS = [*"abcdefghijklmnopqrstuvwxyz0123456789", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CONFIG = BertConfig(
    vocab_size=80,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=20,
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Of 77 words, and of 80 rows, as tables are made longer than their vocabulary."""
    torch.manual_seed(1)
    BertForMaskedLM(CONFIG).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert/vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]))
    return tmp_path / "bert"


def pretrained(folder: Path, monkeypatch: pytest.MonkeyPatch, **sections: dict[str, object]):
    if not (folder / "feed.csv").exists():
        shop.build(folder)
    tree = shop.tree(folder / "cache") | {"tokens": {"max_length": 12}}
    tree["model"] = {"size": None, "image_side": 16, "patch": 8, "bert": "bert"}
    tree["pretrain"]["epochs"] = 0
    for name, changed in sections.items():
        tree[name] = tree[name] | changed
    monkeypatch.setattr(shop, "tree", lambda *_, **__: tree)
    return shop.make(folder, folder / "cache", "pretrain")


def test_words_and_weights_are_as_published(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = pretrained(tmp_path, monkeypatch)
    published, ours = load_file(bert / "model.safetensors"), load_file(made.path("model.safetensors"))
    words = published["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(ours["words.weight"][:77], words[:77]) and len(ours["words.weight"]) == 78  # [title]
    layer = "layers.1.up.weight", "layer.1.intermediate.dense.weight"
    assert torch.equal(ours[f"encoder.{layer[0]}"], published[f"bert.encoder.{layer[1]}"])
    assert json.loads(made.path("model.json").read_text())["size"]["width"] == 32
    line = (
        f"loaded 42 of 42 tensors of {bert}; not used: none; not in it: image_positions, image_embedder, image_decoder"
    )
    assert line in " ".join(said.split())
    assert (made.summary["bert"]["loaded"], made.summary["bert"]["of"]) == (42, 42)
    assert model_section(made).image_side == 16
    (bert / "README.md").write_text("no weight")
    assert pretrained(tmp_path, monkeypatch)[0].key == made.key
    torch.manual_seed(2)
    BertForMaskedLM(CONFIG).save_pretrained(bert)
    assert pretrained(tmp_path, monkeypatch)[0].key != made.key


def test_words_of_another_model_are_refused(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/vocab.txt").write_text("\n".join([*SPECIAL, *reversed(WORDS)]))
    with pytest.raises(
        RecipeError, match=r"^model\.bert: .*bert: the word 'a' has the id 5, in tokens.tokenizer it has 76"
    ):
        pretrained(tmp_path, monkeypatch, tokens={"tokenizer": "other"})
    with pytest.raises(
        RecipeError, match=r"^model\.bert: .*bert: the word 'a' has the id 5, in tokens.tokenizer there is"
    ):
        (tmp_path / "other/vocab.txt").write_text("\n".join([*SPECIAL, "red", "mug"]))
        pretrained(tmp_path, monkeypatch, tokens={"tokenizer": "other"})
    (bert / "vocab.txt").unlink()  # then the number of words has to tell
    (tmp_path / "other/vocab.txt").write_text("\n".join([*SPECIAL, *(f"w{i}" for i in range(76))]))
    with pytest.raises(RecipeError, match=r"^model\.bert: .*embeddings of 80 words, tokens.tokenizer has 81 words"):
        pretrained(tmp_path, monkeypatch, tokens={"tokenizer": "other"})


def test_what_does_not_fit_is_told_before_anything_runs(bert: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(RecipeError, match=r"^model\.size: tiny is 128 wide"):
        pretrained(tmp_path, monkeypatch, model={"size": "tiny"})
    with pytest.raises(RecipeError, match=r"^tokens\.max_length is 21, .* 20 positions"):
        pretrained(tmp_path, monkeypatch, tokens={"max_length": 21})
    with pytest.raises(RecipeError, match=r"^model\.bert: bart is no folder beside the recipe"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        pretrained(tmp_path, monkeypatch, model={"bert": "bart"})
    assert not (tmp_path / "cache/ingest").exists()


def test_a_multilingual_minilm_has_berts_weights_and_the_pieces_of_xlm_roberta(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SentencePiece's Unigram, special tokens by RoBERTa's names, which no config tells."""
    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyz0123456789", "▁red", "▁mug", "▁lamp", "▁sock"]
    scores = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")] + [(p, -float(len(p) < 2) - 1) for p in pieces]
    tokenizer = Tokenizer(models.Unigram([*scores, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(bert / "tokenizer.json"))
    (bert / "vocab.txt").unlink()
    made, _ = pretrained(tmp_path, monkeypatch)
    assert len(load_file(made.path("model.safetensors"))["words.weight"]) == 46 + 1
