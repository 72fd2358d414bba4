"""A tokenizer trained on the catalog, the same every time, or a local Hugging Face one; and ids beside its own.

Texts are encoded by a tokenizer that knows no special token, so that a title with "[MASK]" in it is ordinary text;
[CLS], [SEP], [MASK] and the markers of the fields ([title], [brand], …) are ids that only the program writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import Tokens

TOKENIZER = "tokenizer.json"
VOCABULARY = "vocabulary.json"
ROLES = ("pad", "unk", "cls", "sep", "mask")
_ROBERTA = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
AT_ONCE = 20_000  # words encoded in one call: bounds the memory that their offsets take
TOGETHER = 200  # words in one encoding

# What works on each word between two spaces alone: then a text's ids are those of its words, one after another.
WORDWISE_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
SPLITS_AT_SPACES = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}

# How byte-level BPE writes bytes: those that show as themselves, the others as letters from U+0100 on.
_SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTES = {chr(b): b for b in _SHOWN} | {chr(256 + i): b for i, b in enumerate(sorted({*range(256)} - {*_SHOWN}))}


@dataclass(frozen=True)
class Vocabulary:
    """Ids that the tokenizer's file doesn't tell."""

    size: int  # every id is below
    max_length: int  # text positions of a listing, [CLS] and [SEP] included
    fields: tuple[str, ...]  # text fields in the order they are written
    markers: tuple[int, ...]  # their ids
    special: dict[str, int]  # role (pad, unk, cls, sep, mask) -> id
    names: dict[str, str]  # role -> token, for people


class TextTokenizer:
    """Text to ids and back; see the module for what is special."""

    def __init__(self, spec: dict[str, Any], vocabulary: Vocabulary) -> None:
        self._spec = spec
        self._bare = Tokenizer.from_str(json.dumps(spec))
        self.vocabulary = vocabulary
        self.size, self.fields, self.max_length = vocabulary.size, vocabulary.fields, vocabulary.max_length
        self.pad, self.unk, self.cls, self.sep, self.mask = (vocabulary.special[role] for role in ROLES)
        self.special_ids = frozenset((*vocabulary.special.values(), *vocabulary.markers))
        self.wordwise = _is_wordwise(spec)
        names = {vocabulary.special[role]: name for role, name in vocabulary.names.items()}
        self._names = names | {i: f"[{field}]" for i, field in zip(vocabulary.markers, self.fields, strict=True)}
        self._never = np.array(sorted(self.special_ids - {self.unk}))

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """From a tokens artifact."""
        saved = json.loads((folder / VOCABULARY).read_text())
        lists = {name: tuple(saved[name]) for name in ("fields", "markers")}
        return cls(json.loads((folder / TOKENIZER).read_text("utf-8")), Vocabulary(**saved | lists))

    def save(self, folder: Path) -> None:
        (folder / TOKENIZER).write_text(json.dumps(self._spec, ensure_ascii=False, indent=1), "utf-8")
        (folder / VOCABULARY).write_text(json.dumps(asdict(self.vocabulary), indent=1))

    @property
    def words(self) -> dict[str, int]:
        """Every piece that a text can hold, and its id."""
        return self._bare.get_vocab()

    def marker(self, field: str) -> int:
        return self.vocabulary.markers[self.fields.index(field)]

    def encode_words(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids of all words (whole texts unless `wordwise`), one after another, and how many each has."""
        ids, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for start in range(0, len(words), AT_ONCE):
            part = words[start : start + AT_ONCE]
            if self.wordwise:  # many words in one call cost a third less than a call for each
                groups = [part[i : i + TOGETHER] for i in range(0, len(part), TOGETHER)]
                encoded = self._bare.encode_batch(groups, is_pretokenized=True, add_special_tokens=False)
                word_of_id = (np.array(e.word_ids, np.int64) for e in encoded)
                counts += [np.bincount(w, minlength=len(group)) for w, group in zip(word_of_id, groups, strict=True)]
            else:
                encoded = self._bare.encode_batch(part, add_special_tokens=False)
                counts.append(np.array([len(e.ids) for e in encoded], np.int64))
            ids += [np.array(e.ids, np.int64) for e in encoded]
        flat = np.concatenate(ids)
        flat[np.isin(flat, self._never)] = self.unk  # a vocabulary may hold "[MASK]" as a word like others
        return flat, np.concatenate(counts)

    @cached_property
    def starts_word_V(self) -> NDArray[np.bool_]:
        """(V,) whether a piece begins a word: "Ġpiece" in byte-level BPE, "▁piece" in SentencePiece, "piece" and not
        "##piece" in WordPiece. The first piece of a field begins one in any case, which is not told here."""
        steps = {*_steps(self._spec.get("decoder"), "decoders"), *_steps(self._spec["pre_tokenizer"], "pretokenizers")}
        begins = "Ġ" if "ByteLevel" in steps else "▁" if "Metaspace" in steps else ""
        pieces = [self._bare.id_to_token(i) or "" for i in range(self.size)]
        return np.array([p.startswith(begins) if begins else not p.startswith("##") for p in pieces])

    @cached_property
    def spelled_V(self) -> list[bytes]:
        """What each piece adds to a text, in UTF-8: a blank first where a piece begins a word; a blank for special ones
        and markers."""
        steps = {*_steps(self._spec.get("decoder"), "decoders"), *_steps(self._spec["pre_tokenizer"], "pretokenizers")}

        def spelled(i: int) -> bytes:
            piece = self._bare.id_to_token(i) or ""
            if i in self.special_ids:
                return b" "
            if "ByteLevel" in steps:
                return bytes(_BYTES[letter] for letter in piece if letter in _BYTES)
            if "Metaspace" in steps:
                return piece.replace("▁", " ").encode()
            return piece[2:].encode() if piece.startswith("##") else f" {piece}".encode()

        return [spelled(i) for i in range(self.size)]

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """Ids that a text may hold, in ascending order: neither special tokens nor markers nor gaps."""
        return np.array([i for i in range(self.size) if i not in self.special_ids and self._bare.id_to_token(i)])

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text, special tokens and markers by name; a piece of a letter shows as U+FFFD."""
        parts: list[str] = []
        run: list[int] = []
        for i in (*map(int, ids), None):
            if i is not None and i not in self._names:
                run.append(i)
                continue
            if run:
                parts.append(self._bare.decode(run, skip_special_tokens=False).strip())
                run = []
            if i is not None:
                parts.append(self._names[i])
        return " ".join(parts)


def train(texts: Iterable[Sequence[str]], fields: Sequence[str], recipe: Tokens) -> TextTokenizer:
    """Byte-level BPE, `recipe.vocabulary` ids in all, from batches of texts: any text can be written, none is unknown.

    Raises RecipeError when there is no room for the bytes. (WordPiece is no choice: its trainer isn't repeatable.)
    """
    least = len(ROLES) + 256 + len(fields)
    if recipe.vocabulary < least:
        raise RecipeError(
            f"tokens.vocabulary is {recipe.vocabulary}; special tokens, bytes and field markers need at least {least}"
        )
    names = {role: f"[{role.upper()}]" for role in ROLES}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), *([normalizers.Lowercase()] if recipe.lowercase else [])]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary - len(fields),
        min_frequency=2,
        show_progress=False,
        special_tokens=list(names.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_markers(json.loads(tokenizer.to_str()), names, fields, recipe.max_length, "the trained tokenizer")


def load_huggingface(folder: Path, fields: Sequence[str], max_length: int) -> TextTokenizer:
    """A local folder with tokenizer.json, or with the vocab.txt of a BERT; its ids and its normalisation stay.

    Raises DataError when there is neither, or when it lacks one of the five special tokens.
    """
    config, where = _json(folder / "tokenizer_config.json"), f"tokens.tokenizer: {folder}"
    given = config | _json(folder / "special_tokens_map.json")
    if (folder / "tokenizer.json").exists():
        spec = _json(folder / "tokenizer.json")
    elif (folder / "vocab.txt").exists():
        spec = _bert(folder / "vocab.txt", config, _name(given.get("unk_token")) or "[UNK]")
    else:
        raise DataError(
            f"{where}: neither tokenizer.json nor vocab.txt; expected a tokenizer's folder (of another kind, "
            "transformers makes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
        )
    usual = _ROBERTA if "<mask>" in _ids(spec, where) else {role: f"[{role.upper()}]" for role in ROLES}
    names = {role: _name(given.get(f"{role}_token")) or usual[role] for role in ROLES}
    return _with_markers(spec, names, fields, max_length, where)


def _name(token: Any) -> str:
    """A special token's name, as text or with its properties; "" where none is given."""
    return str(token["content"] if isinstance(token, dict) else token or "")


def _bert(vocab: Path, config: dict[str, Any], unknown: str) -> dict[str, Any]:
    words = vocab.read_text("utf-8").split("\n")
    ids = {word.rstrip("\r"): i for i, word in enumerate(words) if word}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=config.get("do_lower_case", True),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    return spec


def _with_markers(
    spec: dict[str, Any], names: dict[str, str], fields: Sequence[str], max_length: int, where: str
) -> TextTokenizer:
    """Bare of what would find special tokens in texts, cut or pad them; markers after the last id."""
    ids = _ids(spec, where)
    if missing := [f"{role} ({name})" for role, name in names.items() if name not in ids]:
        raise DataError(f"{where}: no token for {', '.join(missing)}; expected a tokenizer of a masked language model")
    spec = spec | {"added_tokens": [], "truncation": None, "padding": None, "post_processor": None}
    if spec["model"].get("dropout"):
        spec["model"] = spec["model"] | {"dropout": None}  # a training trick that makes ids random
    first = max(ids.values()) + 1
    markers = tuple(range(first, first + len(fields)))
    special = {role: ids[name] for role, name in names.items()}
    return TextTokenizer(spec, Vocabulary(first + len(fields), max_length, tuple(fields), markers, special, names))


def _ids(spec: dict[str, Any], where: str) -> dict[str, int]:
    try:
        ids: dict[str, int] = Tokenizer.from_str(json.dumps(spec)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{where}: not a tokenizer that can be read: {error}") from None
    return ids


def _is_wordwise(spec: dict[str, Any]) -> bool:
    normal = _steps(spec["normalizer"], "normalizers")
    split = _steps(spec["pre_tokenizer"], "pretokenizers")
    return bool(split) and split[0] in SPLITS_AT_SPACES and WORDWISE_NORMALIZERS.issuperset(normal)


def _steps(part: dict[str, Any] | None, inner: str) -> list[str]:
    """Types of a normaliser's or pre-tokeniser's steps, sequences laid flat."""
    if part is None:
        return []
    return [t for p in part[inner] for t in _steps(p, inner)] if part["type"] == "Sequence" else [part["type"]]


def _json(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty when there is no such file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"tokens.tokenizer: {path}: not valid JSON ({error}); replace the file") from None
    if not isinstance(found, dict):
        raise DataError(f"tokens.tokenizer: {path}: expected a JSON object, found {type(found).__name__}")
    return found
