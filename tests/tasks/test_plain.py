"""Words and looks beside the network: what they are, as a slow twin has it, and that they never make it worse."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import log_softmax

from workbench.batch import Batch
from workbench.recipe.schema import Tokens
from workbench.tasks.classify import fitting
from workbench.tasks.classify.fitting import Seen, learn, linear, spelling, weigh, weigh_by_kind
from workbench.tasks.classify.net import ClassHead
from workbench.tasks.classify.plain import (
    BOTH,
    COUNTED,
    LOOKS,
    PICTURE,
    TEXT,
    Plain,
    kinds_of,
    looks_of,
    runs_of,
    spelled,
    words_of_letters,
)
from workbench.tasks.heads import head_of
from workbench.text.tokenizer import TextTokenizer, load_huggingface, train

TEXTS = [["joker", "card,game,wild card"], ["Crème brûlée 2-pack", "xl"], ["", "..."], ["card", "a"]]
FIELDS = ("title", "keywords")


@pytest.fixture(scope="module")
def words() -> TextTokenizer:
    return train([[t for text in TEXTS for t in text]], FIELDS, Tokens(vocabulary=290, max_length=40))


def batch_of(words: TextTokenizer, texts: list[list[str]], longer: int = 0, seed: int = 0) -> Batch:
    rows = []
    for text in texts:
        ids = [words.cls]
        for field, said in zip(FIELDS, text, strict=True):
            parts = said.split() if words.wordwise else [said]
            ids += [words.marker(field), *words.encode_words(parts)[0].tolist()] if said else []
        rows.append([*ids, words.sep])
    longest = max(map(len, rows)) + longer
    ids = torch.tensor([row + [words.pad] * (longest - len(row)) for row in rows])
    real = torch.tensor([[i < len(row) for i in range(longest)] for row in rows])
    pixels = torch.randint(256, (len(rows), 3, 32, 32), generator=torch.Generator().manual_seed(seed)).byte()
    none, has = torch.zeros_like(ids, dtype=torch.bool), torch.ones(len(rows), dtype=torch.bool)
    return Batch(ids[:, 0], ids, ids, real, none, pixels, torch.zeros(len(rows), 16).bool(), has, has)


def plain_of(words: TextTokenizer, classes: int = 3, several: bool = False, seed: int = 0) -> Plain:
    plain = Plain(classes, words.size, several)
    plain.spelling.copy_(spelling(words.spelled_V))
    stream = torch.Generator().manual_seed(seed)
    for buffer in (plain.words, plain.looks, plain.prior):
        buffer.copy_(torch.randn(buffer.shape, generator=stream))
    plain.weights[1:] = torch.rand(3, 3, generator=stream)
    return plain


def told(text: list[str]) -> str:
    return " ".join(re.findall(r"[0-9a-z\u0080-\uffff]+", " ".join(text).lower().replace("É", "é")))


def test_a_text_is_read_again_from_its_pieces(words: TextTokenizer) -> None:
    batch = batch_of(words, TEXTS)
    letters = spelled(spelling(words.spelled_V), batch.shown_BL, batch.text_real_BL)
    read = [bytes(32 if x == 1 else x for x in row if x).decode() for row in letters.tolist()]
    assert [text.strip() for text in read] == [told(text) for text in TEXTS]
    assert read[0] == " joker card game wild card " and read[2] == " "


def test_a_published_tokenizers_text_is_read_again(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "card", "##s", ",", "g", "##ame", "ecole"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    words = load_huggingface(tmp_path, FIELDS, 20)
    batch = batch_of(words, [["Cards,game École", "game zzz card"]])
    letters = spelled(spelling(words.spelled_V), batch.shown_BL, batch.text_real_BL)
    assert bytes(32 if x == 1 else x for x in letters[0].tolist() if x) == b" cards game ecole game card "


def test_words_pairs_and_runs_of_letters_are_those_of_a_slow_twin(words: TextTokenizer) -> None:
    batch = batch_of(words, TEXTS)
    letters = spelled(spelling(words.spelled_V), batch.shown_BL, batch.text_real_BL)
    for row, text in zip(range(len(TEXTS)), TEXTS, strict=True):
        said = told(text).split()
        for n in (2, 3, 4):
            number, there = runs_of(letters[row : row + 1], n)
            padded = [f" {word} ".encode() for word in said]
            wanted = Counter(word[i : i + n] for word in padded for i in range(len(word) - n + 1))
            assert sorted(Counter(number[there].tolist()).values()) == sorted(wanted.values())
        number, there = words_of_letters(letters[row : row + 1])
        wanted = Counter(said) + Counter(pairwise(said))
        assert sorted(Counter(number[there].tolist()).values()) == sorted(wanted.values())


def test_looks_are_those_of_the_baselines_but_for_the_directions_of_edges() -> None:
    from workbench.tasks.baselines.features import describe

    stream = np.random.default_rng(0)
    coarse = stream.integers(0, 256, (3, 8, 8)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    batch = Batch(*[torch.zeros(1)] * 5, torch.from_numpy(coarse)[None], *[torch.ones(1, dtype=torch.bool)] * 3)
    ours, theirs = looks_of(batch)[0].numpy(), describe(coarse)
    assert ours[:256] == pytest.approx(theirs[:256], abs=1e-5)
    by_cell = [np.sqrt((side[256:] ** 2).reshape(order).sum(axis)) for side, order, axis in
               ((ours, (9, 64), 0), (theirs, (64, 9), 1))]  # fmt: skip
    assert np.corrcoef(by_cell)[0, 1] > 0.99  # strength by place
    assert np.linalg.norm(ours[256:]) == pytest.approx(1, abs=1e-5) and len(ours) == LOOKS


def test_what_a_listing_lacks_changes_nothing_and_all_is_finite(words: TextTokenizer) -> None:
    plain, network = plain_of(words), torch.randn(4, 3)
    has = torch.tensor([True, False, True, False])
    one, other = (replace(batch_of(words, TEXTS, longer, seed), has_image_B=has) for longer, seed in ((0, 0), (9, 1)))
    pixels = other.pixels_BCHW.where(~has[:, None, None, None], one.pixels_BCHW)
    batches = [one, replace(other, pixels_BCHW=pixels)]
    first, second = (plain(batch, network) for batch in batches)  # other padding, other pixels where no picture is
    assert torch.equal(first, second) and first.isfinite().all()
    kinds = kinds_of(plain.texts_of(batches[0]), looks_of(batches[0]))
    assert kinds.tolist() == [BOTH, TEXT, PICTURE, TEXT]
    nothing = replace(batch_of(words, [["", ""]]), has_image_B=torch.tensor([False]))
    assert plain(nothing, network[:1]) == pytest.approx(network[:1])
    alone = torch.cat([plain(batches[0].of(torch.arange(4) == i), network[i : i + 1]) for i in range(4)])
    assert alone == pytest.approx(first, abs=1e-5)


def made(several: bool, n: int = 200, seed: int = 0) -> tuple[Seen, np.ndarray]:
    """Listings of 3 classes of which the words tell much, the looks something, the network nothing."""
    stream = np.random.default_rng(seed)
    holds = stream.random((n, 3)) < 0.4 if several else np.eye(3, dtype=bool)[stream.integers(0, 3, n)]
    texts = np.zeros((n, 2 * COUNTED), np.float32)
    texts[:, :3] = (holds ^ (stream.random((n, 3)) < 0.1)) + 0.3 * stream.random((n, 3))
    looks = stream.random((n, LOOKS)).astype(np.float32) / 10
    looks[:, :3] += (holds ^ (stream.random((n, 3)) < 0.2)) * 0.3
    return Seen(sp.csr_matrix(texts), looks, stream.normal(size=(n, 3)).astype(np.float32), np.full(n, BOTH)), holds


@pytest.mark.parametrize("several", [False, True])
def test_it_says_the_valid_part_better_than_the_network_alone(several: bool) -> None:
    plain = Plain(3, 1, several)
    (train_seen, holds), (valid, held) = made(several), made(several, 100, 1)
    learn(plain, train_seen, holds, 0.0, valid, held)
    weigh_by_kind(plain, {BOTH: valid, TEXT: replace(valid, kinds_n=np.full(100, TEXT)), PICTURE: valid}, held)
    network, words, looks = plain.weights[BOTH].tolist()
    assert words > 0.3 and looks > 0.2 and network < words / 2
    assert plain.weights[TEXT, 2] == 0 and plain.weights[TEXT, 1] > 0.3
    assert plain.weights[PICTURE].tolist() == pytest.approx([0.5, 0, 0.5])  # none is of that kind: the prior
    _, of_network = weigh(plain, valid.network_nK[:, None], held)
    three = [valid.network_nK, *(valid.by(name, getattr(plain, name).numpy(), several) for name in fitting.SEES)]
    _, of_all = weigh(plain, np.stack(three, 1), held)
    assert of_all < 0.7 * of_network


def test_layers_of_two_classes_of_one_and_of_none() -> None:
    (seen, holds), even = made(False), np.ones(200)
    two = holds[:, :2] | ~holds[:, :2].any(1, keepdims=True) & [True, False]
    layer = linear(seen.looks_nE, two, False, 30.0, even)
    said = log_softmax(seen.by("looks", layer, False), 1)
    assert (said.argmax(1) == two.argmax(1)).mean() > 0.8
    missing = np.column_stack([np.zeros(200, bool), two])  # a class of which no label is left
    for x in (seen.looks_nE, seen.texts_nF):
        layer = linear(x, missing, False, 30.0, even)
        assert (layer[0, :-1] == 0).all() and layer[0, -1] == -fitting.NEVER
        assert linear(x, np.ones((200, 1), bool), True, 30.0, even)[0, -1] == fitting.NEVER


@pytest.mark.parametrize("several", [False, True])
def test_where_no_training_listing_has_a_picture_pictures_say_nothing(several: bool) -> None:
    plain, (seen, holds), (valid, held) = Plain(3, 1, several), made(several), made(several, 100, 1)
    seen = replace(seen, looks_nE=0 * seen.looks_nE, kinds_n=np.full(200, TEXT))
    learn(plain, seen, holds, 0.0, valid, held)
    said = valid.by("looks", plain.looks.numpy(), several)
    assert said == pytest.approx(np.tile(plain.prior.numpy(), (100, 1)))


def test_classes_in_another_order_are_the_same_classes() -> None:
    (seen, holds), (valid, held), turn = made(False), made(False, 100, 1), [2, 0, 1]
    one, other = Plain(3, 1, False), Plain(3, 1, False)
    learn(one, seen, holds, 0.5, valid, held)
    learn(other, seen, holds[:, turn], 0.5, valid, held[:, turn])
    assert other.words == pytest.approx(one.words[turn], abs=1e-5)
    said = [log_softmax(valid.by("looks", plain.looks.numpy(), False), 1) for plain in (one, other)]
    assert said[1] == pytest.approx(said[0][:, turn], abs=0.02)  # as near as the solver goes


def test_a_model_of_before_has_its_network_alone() -> None:
    told = {"classes": ["a", "b"], "several": None}
    old, new = head_of("classify", 8, told), head_of("classify", 8, told | {"pieces": 7})
    assert isinstance(old, ClassHead) and old.plain is None and set(old.state_dict()) < set(new.state_dict())
    assert isinstance(new, ClassHead) and new.plain is not None and new.plain.spelling.shape == (7, 16)
