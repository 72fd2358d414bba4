"""metrics.jsonl: what is the same in a resumed training, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ArtifactError


def ending(path: Path, weights: Mapping[str, float], steps: int, best: bool) -> dict[str, Any]:
    """How the training of this log ended: after so many of its `steps`, early or not, at which step a validation was
    best, how many steps were bad, and the validation of the weights that stayed: the last one's or the `best` one's."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    validations = {line["step"]: line for line in lines if line.keys() & {f"valid_{name}" for name in weights}}
    losses = {
        step: sum(weight * line[f"valid_{name}"] for name, weight in weights.items())
        for step, line in validations.items()
        if None not in line.values()
    }
    done, lowest = max((line["step"] for line in lines), default=0), min(losses, key=losses.__getitem__, default=None)
    kept = validations.get(lowest if best and lowest else max(validations, default=0), {})
    return {
        "done": done,
        "early": done < steps,
        "best_step": lowest,
        "bad_steps": sum("skipped" in line and "scale" not in line for line in lines),
        "valid": {name: value for name, value in kept.items() if name != "step"},
    }


class MetricsLog:
    """Its lines are kept in memory too: what a full disk doesn't take is written as soon as there is room."""

    def __init__(self, path: Path | None, content: bytes, say: Callable[[str], None]) -> None:
        """`content` is what a checkpoint has of it; without a path nothing is written."""
        self._content = bytearray(content)
        self._path, self._say, self._torn = path, say, False
        self._add(b"", "wb")

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def write(self, line: Mapping[str, Any]) -> None:
        self._add(json.dumps(line, allow_nan=False).encode() + b"\n", "wb" if self._torn else "ab")

    def close(self) -> None:
        """Raises ArtifactError where the file isn't whole."""
        if self._torn:
            self._add(b"", "wb")
        if self._torn:
            raise ArtifactError(f"{self._path}: could not be written; make room and run the same command again")

    def _add(self, line: bytes, mode: str) -> None:
        self._content += line
        if not self._path:
            return
        try:
            with self._path.open(mode) as file:
                file.write(self._content if mode == "wb" else line)
        except OSError as error:
            if not self._torn:
                self._say(f"{self._path}: {error.strerror}; the training goes on, and tries again at the next line")
            self._torn = True
        else:
            self._torn = False
