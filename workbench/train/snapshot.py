"""Copies of tensors in one piece of memory, laid out as a safetensors file, so that it goes to a disk as it is."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

PAGE, CHUNK = 4096, 1 << 24  # bytes: what a disk's controller can be given as it is; written at once
_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64"}


class Snapshot(dict[str, Tensor]):
    """Tensors by name, views of that memory, into which others of the same shapes can be copied again and again.

    `safetensors.torch.save_file` would leave it to the system to copy all of it once more, into the cache of files,
    which takes as much of the processor as everything else about a checkpoint.
    """

    def __init__(self, like: Mapping[str, Tensor]) -> None:
        """Room for copies of these tensors; in memory that a GPU reaches fast, if they are on one."""
        super().__init__()
        names = sorted(like, key=lambda name: (-like[name].itemsize, name))  # each aligned to its numbers' size
        ends = [0]
        for name in names:
            ends.append(ends[-1] + like[name].numel() * like[name].itemsize)
        told = {
            name: {"dtype": _TYPES[like[name].dtype], "shape": list(like[name].shape), "data_offsets": ends[i : i + 2]}
            for i, name in enumerate(names)
        }
        header = json.dumps(told).encode()
        header += b" " * (-(8 + len(header)) % PAGE)
        start = 8 + len(header)
        self.size = start + ends[-1]  # bytes of the file
        pinned = any(tensor.device.type == "cuda" for tensor in like.values())
        memory = torch.empty(self.size + 2 * PAGE, dtype=torch.uint8, pin_memory=pinned)
        first = -memory.data_ptr() % PAGE
        self._memory = memory[first : first + self.size + -self.size % PAGE]
        self._memory[:start] = torch.frombuffer(
            bytearray(len(header).to_bytes(8, "little") + header), dtype=torch.uint8
        )
        for i, name in enumerate(names):
            piece = self._memory[start + ends[i] : start + ends[i + 1]]
            self[name] = piece.view(like[name].dtype).view(like[name].shape)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Snapshot:
        snapshot = cls(tensors)
        for name, tensor in tensors.items():
            snapshot[name].copy_(tensor)
        return snapshot

    def write(self, path: Path) -> None:
        """To a file, on the disk on return; past the system's cache where that can be. Raises OSError."""
        try:
            self._write(path, getattr(os, "O_DIRECT", 0))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._write(path, 0)

    def _write(self, path: Path, flag: int) -> None:
        content, done = self._memory.numpy().data, 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flag, 0o666)
        try:
            while done < len(content):
                done += os.write(file, content[done : done + CHUNK])
            os.ftruncate(file, self.size)
            os.fsync(file)
        finally:
            os.close(file)
