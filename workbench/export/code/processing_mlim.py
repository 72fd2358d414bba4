"""Texts and pictures -> what an MLIM model reads, as its training prepared them.

Of the cleaning it does what needs no further library: control and invisible characters, NFC, white space, cells that
say that there is nothing. Broken encodings, HTML, entities, recurring sentences of shops, languages, animations,
colour profiles and placeholder pictures are left to `workbench`, by which feeds are read.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tokenizers import Tokenizer
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import cached_file

FILES = ("tokenizer.json", "vocabulary.json", "preparation.json", "processor_config.json", "answers.json")
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\ufeff\u202a-\u202e\u2060-\u2064\u2066-\u2069]")
SEEN = 32  # pixels: no axis is made smaller in the first step
LINEAR = 1.2  # times smaller: up to here the square is interpolated, from here on averaged

Text = str | Mapping[str, str | None] | None


class MlimProcessor(ProcessorMixin):
    """processor(text=[{"title": "Red mug", "colour": "red"}], images=[picture]); either may be missing, or None."""

    attributes = ()

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files`: the content of `FILES` by name; answers.json is missing where the model has no task."""
        self.files = dict(files)
        words, told = json.loads(files["vocabulary.json"]), json.loads(files["preparation.json"])
        self.tokens = Tokenizer.from_str(files["tokenizer.json"])  # it knows no special token: "[MASK]" is a text
        self.markers = dict(zip(words["fields"], words["markers"], strict=True))
        self.special, self.max_length = words["special"], words["max_length"]
        self.never = {*self.special.values(), *words["markers"]}
        self.clean, self.images, self.image_side = told["clean"], told["images"], told["image_side"]
        missing = json.loads(files["processor_config.json"])["missing"]
        self.missing = {kind: frozenset(cells) for kind, cells in missing.items()}
        self.answers = json.loads(files.get("answers.json", "{}"))  # what the numbers of each task mean

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **how: Any) -> MlimProcessor:
        hub = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
        chosen = {key: how[key] for key in hub if key in how}
        chosen["_raise_exceptions_for_missing_entries"] = False
        paths = {name: cached_file(str(pretrained_model_name_or_path), name, **chosen) for name in FILES}
        return cls({name: Path(path).read_text("utf-8") for name, path in paths.items() if path})

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> list[str]:
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_text(content, "utf-8")
        (folder / Path(__file__).name).write_text(Path(__file__).read_text("utf-8"), "utf-8")
        return [str(folder / name) for name in self.files]

    def __repr__(self) -> str:
        return f"MlimProcessor(fields: {', '.join(self.markers)}; {self.image_side} px)"

    def __call__(
        self,
        text: Text | Sequence[Text] = None,
        images: Image.Image | Sequence[Image.Image | None] | None = None,
        return_tensors: str = "pt",
        **_: Any,
    ) -> BatchFeature:
        """`text`: of each listing its fields, or its title; `images`: of each listing its picture.

        input_ids, attention_mask (B, L) int64; pixel_values (B, 3, H, W) uint8; has_image (B,) bool.
        """
        texts = [text] if text is None or isinstance(text, str | Mapping) else list(text)
        pictures = [images] if images is None or isinstance(images, Image.Image) else list(images)
        size = max(len(texts), len(pictures))
        texts = texts * size if texts == [None] else texts
        pictures = pictures * size if pictures == [None] else pictures
        if len(texts) != len(pictures):
            raise ValueError(f"{len(texts)} texts and {len(pictures)} pictures; give as many, None where there is none")
        ids = [self.ids(each) for each in texts]
        input_ids = np.full((size, max(map(len, ids), default=2)), self.special["pad"], np.int64)
        for row, found in zip(input_ids, ids, strict=True):
            row[: len(found)] = found
        lengths = np.array([len(found) for found in ids], np.int64)
        pixels = np.zeros((size, 3, self.image_side, self.image_side), np.uint8)
        for into, picture in zip(pixels, pictures, strict=True):
            if picture is not None:
                into[:] = self.pixels(picture).transpose(2, 0, 1)
        data = {
            "input_ids": input_ids,
            "attention_mask": (np.arange(input_ids.shape[1]) < lengths[:, None]).astype(np.int64),
            "pixel_values": pixels,
            "has_image": np.array([picture is not None for picture in pictures], bool),
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def ids(self, text: Text) -> list[int]:
        """[CLS], the marker and the words of each field that there is, [SEP]."""
        cells: Mapping[str, str | None] = text if isinstance(text, Mapping) else {"title": text}
        if unknown := set(cells) - set(self.markers):
            raise ValueError(f"there is no field {min(unknown)!r}; the model reads {', '.join(self.markers)}")
        found: list[int] = []
        for field, marker in self.markers.items():
            if cell := self.cleaned(field, cells.get(field)):
                encoded = self.tokens.encode(cell, add_special_tokens=False).ids
                found += [marker, *(self.special["unk"] if i in self.never else i for i in encoded)]
        return [self.special["cls"], *found[: self.max_length - 2], self.special["sep"]]

    def cleaned(self, field: str, cell: str | None) -> str:
        """The text, or "" where it says nothing."""
        cell = cell or ""
        if self.clean["control"]:
            cell = CONTROL.sub("", cell)
        if self.clean["invisible"]:
            cell = INVISIBLE.sub("", cell)
        if self.clean["nfc"]:
            cell = unicodedata.normalize("NFC", cell)
        if self.clean["white_space"]:
            cell = " ".join(cell.split())
        return "" if cell.lower() in self.missing["title" if field == "title" else "text"] else cell

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """(side, side, 3): fitted into a square, stored, read again and brought to the model's side."""
        square = self.square(image)
        if self.images["encoding"] == "jpeg":
            stored = io.BytesIO()
            square.save(stored, "JPEG", quality=self.images["quality"], subsampling=0)
            square = Image.open(stored)
        onto = _matrix(square.width, self.image_side)
        fitted = np.einsum("ik,klc,jl->ijc", onto, np.asarray(square, np.float64), onto, optimize=True)
        return np.asarray(fitted.round().clip(0, 255), np.uint8)

    def square(self, image: Image.Image) -> Image.Image:
        """Upright, on the background, no side longer than that of the stored pictures."""
        scale = min(1.0, self.images["side"] / max(image.size))
        inner = [max(1, round(length * scale)) for length in image.size]
        seen = [max(wanted, min(length, SEEN)) for length, wanted in zip(image.size, inner, strict=True)]
        fitted = _plain(image, self.images["background"])
        for width, height in (seen, inner):
            if fitted.size != (width, height):
                fitted = fitted.resize((width, height), Image.Resampling.BICUBIC)
        fitted.getexif().update(image.getexif())
        fitted = ImageOps.exif_transpose(fitted)
        side = max(fitted.size)
        square = Image.new("RGB", (side, side), self.images["background"])
        square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
        return square


def _plain(image: Image.Image, background: str) -> Image.Image:
    """RGB, transparent pixels laid on the background."""
    if image.mode.startswith("I"):  # 16 bits a pixel
        return Image.fromarray((np.asarray(image.convert("I")).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        under = Image.new("RGB", rgba.size, background)
        under.paste(rgba, mask=rgba)
        return under
    return image.convert("RGB")


def _matrix(side: int, to: int) -> NDArray[np.float64]:
    """(to, side): averages of areas where a square is shrunk, else linear interpolation, as OpenCV has them."""
    if side == to:
        return np.eye(side)
    ratio, places = side / to, np.arange(side)
    if side > LINEAR * to:
        begin = np.arange(to)[:, None] * ratio
        overlap = np.minimum(begin + ratio, places + 1) - np.maximum(begin, places)
        return np.asarray(overlap.clip(0) / ratio)
    middle = ((np.arange(to) + 0.5) * ratio - 0.5).clip(0, side - 1)[:, None]
    return (1 - np.abs(middle - places)).clip(0)
