"""Small pictures are made in processes of their own: most of their time is Python's, which threads can't share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from threading import Lock, local
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from workbench.images.made import Made, Source, made_of
from workbench.images.picture import opened, pillow_set_up

if TYPE_CHECKING:
    from workbench.recipe.schema import Images

MOST_PIXELS = 1 << 18  # of a small picture; a larger one's time is spent in C, which threads do share
MOST_BYTES = 1 << 20


def is_small(data: bytes) -> bool:
    with suppress(Exception), opened(data) as image:  # the reason is found out where the picture is made
        return len(data) <= MOST_BYTES and image.width * image.height <= MOST_PIXELS
    return False


class Asides:
    """A process for each thread that asks. It ends when its pipe is closed, however this process ends."""

    def __init__(self, images: Images, encoding: str) -> None:
        self._settings: tuple[Any, str] = SimpleNamespace(**images.model_dump()), encoding  # without pydantic there
        self._own, self._all, self._lock = local(), list[tuple[Connection, subprocess.Popen[bytes]]](), Lock()

    def made(self, sources: Sequence[Source]) -> list[Made]:
        """The pictures made of these bytes, in their order; made here where the process has been ended."""
        with suppress(EOFError, OSError):
            pipe = self._pipe()
            pipe.send(sources)
            return pipe.recv()  # type: ignore[no-any-return]
        return [made_of(source, *self._settings) for source in sources]

    def _pipe(self) -> Connection:
        if not hasattr(self._own, "pipe"):
            self._own.pipe, theirs = Pipe()
            with theirs:
                command = [sys.executable, "-m", "workbench.images.aside", str(theirs.fileno())]
                env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env, start_new_session=True)
            with self._lock:
                self._all.append((self._own.pipe, process))
            self._own.pipe.send(self._settings)
        return self._own.pipe  # type: ignore[no-any-return]

    def close(self) -> None:
        for pipe, process in self._all:
            pipe.close()
            process.wait()


def serve(pipe: Connection) -> None:
    """Make pictures until the other end is closed."""
    images, encoding = pipe.recv()
    with suppress(EOFError, OSError), pillow_set_up(images.max_pixels):
        while True:
            pipe.send([made_of(source, images, encoding) for source in pipe.recv()])


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
