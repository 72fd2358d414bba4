"""The Tokens stage, and the memory-mapped reader of what it writes.

ids.bin           token ids of all rows, one after another, little-endian; no [CLS], [SEP] or padding
offsets.npy       (N + 1,) int64: the ids of a row are ids[offsets[row]:offsets[row + 1]]
tokenizer.json    vocabulary.json
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.text.tokenizer import TextTokenizer

VERSION = 1
IDS = "ids.bin"
OFFSETS = "offsets.npy"


def stage(tokens: Tokens, digests: Mapping[str, str]) -> Stage:
    """The stage; `digests` gives that of tokens.tokenizer by this key, if the recipe names one."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.text.encode import write_tokens  # polars and tokenizers

        return write_tokens(work, tokens)

    section = {"tokens": tokens.model_dump(mode="json", exclude={"tokenizer"})}
    return Stage("tokens", VERSION, section, run, ("ingest", "split"), dict(digests))


def id_type(size: int) -> str:
    """NumPy's name of the integers in ids.bin for a vocabulary of this size."""
    return "<u2" if size <= 2**16 else "<u4"


class TokenTable:
    """Token ids by row, read from a tokens artifact."""

    lengths: NDArray[np.int64]  # (N,) ids of each row

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._folder = folder
        self._offsets = np.load(folder / OFFSETS)
        self.lengths = np.diff(self._offsets)
        kind = id_type(self.tokenizer.size)
        self._ids = np.memmap(folder / IDS, kind, "r") if self._offsets[-1] else np.empty(0, kind)

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        from workbench.text.tokenizer import TextTokenizer

        return TextTokenizer.load(self._folder)

    @classmethod
    def of(cls, tokenizer: TextTokenizer, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> TokenTable:
        """Texts that were encoded just now: the ids of all rows, one after another, and how many each has."""
        import numpy as np

        table = cls.__new__(cls)
        table.lengths, table._ids, table._offsets = lengths, ids, np.concatenate([[0], np.cumsum(lengths)])
        table.__dict__["tokenizer"] = tokenizer
        return table

    def __len__(self) -> int:
        return len(self.lengths)

    def ids(self, row: int) -> NDArray[np.unsignedinteger[Any]]:
        """The ids of a row: field markers and words, without [CLS] and [SEP]."""
        return self._ids[self._offsets[row] : self._offsets[row + 1]]
