"""The tokenizer of a tokens artifact as a folder that `transformers.AutoTokenizer.from_pretrained` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.text.tokenizer import TOKENIZER, VOCABULARY


def write_tokenizer(tokens: Path, out: Path) -> None:
    """Write `out`, which is not there yet: the ids of the tokens artifact's folder `tokens`.

    As usual there, and unlike in mlim, "[MASK]" and "[title]" in a text are the special tokens; "[CLS] … [SEP]" comes
    around a text.
    """
    spec = json.loads((tokens / TOKENIZER).read_text("utf-8"))
    saved = json.loads((tokens / VOCABULARY).read_text())
    special = {name: saved["special"][role] for role, name in saved["names"].items()}
    markers = {f"[{field}]": i for field, i in zip(saved["fields"], saved["markers"], strict=True)}
    added = {i: name for name, i in (markers | special).items()}  # a field called "MASK" loses its name
    _learn(spec["model"], added)
    spec["added_tokens"] = [_special(i, name) for i, name in sorted(added.items())]
    spec["post_processor"] = _around(saved["names"]["cls"], saved["names"]["sep"], special)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": saved["max_length"],
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": name for role, name in saved["names"].items()},
        "additional_special_tokens": [name for name in markers if name not in special],
    }
    out.mkdir()
    (out / TOKENIZER).write_text(json.dumps(spec, ensure_ascii=False, indent=1), "utf-8")
    (out / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1), "utf-8")


def _learn(model: dict[str, Any], added: dict[int, str]) -> None:
    """Make them words of the model: the library gives an added token that is none an id of its own choice."""
    if isinstance(model["vocab"], dict):
        model["vocab"] |= {name: i for i, name in added.items()}
    else:  # Unigram: pieces and their scores, by id
        known = {piece for piece, _ in model["vocab"]}
        model["vocab"] += [[name, 0.0] for _, name in sorted(added.items()) if name not in known]


def _special(i: int, name: str) -> dict[str, Any]:
    no = dict.fromkeys(("single_word", "rstrip", "normalized"), False)  # the space before it is no part of the text
    return {"id": i, "content": name, "lstrip": True, **no, "special": True}


def _around(cls: str, sep: str, ids: dict[str, int]) -> dict[str, Any]:
    begin, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in (cls, sep))
    first, second = ({"Sequence": {"id": which, "type_id": 0}} for which in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [begin, first, end],
        "pair": [begin, first, end, second, end],
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in (cls, sep)},
    }
