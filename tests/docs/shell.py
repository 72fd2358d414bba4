"""Runs the commands of a page, in this process where it can, or looks whether they could be run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import urlopen

from typer.main import get_command
from typer.testing import CliRunner

from tests.docs.pages import ROOT, Block
from tests.docs.sandbox import SMALL, train_less
from workbench.cli import app

PLAIN = {"cat", "cp", "head", "ls", "mkdir", "python"}  # other programs that a page may call
PORT = "8000"  # of the pages


def commands(words: Sequence[str]) -> list[str] | None:
    """What follows `mlim` in a line, however it is called; None if it is not."""
    for place, word in enumerate(words):
        if word == "mlim" and all("=" in before for before in words[:place]):
            return list(words[place + 1 :])
        if word == "workbench" and words[place - 1] == "-m":
            return list(words[place + 1 :])
    return None


def look(words: Sequence[str]) -> None:
    """Fails if the command line does not know a command, an option or a value; runs nothing."""
    command: Any = get_command(app)
    _hollow(command)
    command.main(list(words), standalone_mode=False)


def _hollow(command: Any) -> None:
    command.callback = lambda **_: None
    for inner in getattr(command, "commands", {}).values():
        _hollow(inner)


def takes_sets(words: Sequence[str]) -> bool:
    """Whether a recipe, or a feed in the place of one, is what the command is about."""
    command: Any = get_command(app)
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            return word.endswith((".yaml", ".csv")) and any("--set" in param.opts for param in command.params)
        command = inner
    return False


class Shell:
    """A page's shell, in this process's folder."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.python: dict[str, Any] = {"__name__": "page"}  # what the page's own blocks have defined
        self.server: subprocess.Popen[bytes] | None = None
        self.port = PORT

    def run(self, block: Block) -> None:
        if block.language == "python":
            code = compile(block.text, block.place, "exec")
            if block.why is None:
                exec(code, self.python)
            return
        for words in block.commands():
            if block.why is None:
                self.do(words)
            elif mlim := commands(words):
                look(mlim)

    def do(self, words: Sequence[str]) -> None:
        words = words[1:] if words[0] == "export" else words
        while words and re.match(r"[A-Z_]+=", words[0]):
            name, value = words[0].split("=", 1)
            os.environ[name] = os.path.expandvars(value)  # the test puts it back
            words = words[1:]
        if not words:
            return
        words = [self.names.get(word, os.path.expandvars(word)) for word in words]
        if (mlim := commands(words)) is not None:
            self.serve(mlim) if mlim[:1] == ["serve"] else self.mlim(mlim)
        elif words[0] == "make":
            assert re.search(f"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M), f"no target {words[1]}"
        elif words[:2] == ["pip", "install"]:
            _look_at_install(words[2:])
        elif words[0] == "curl":
            self.curl(words)
        else:
            assert words[0] in PLAIN, f"{words[0]}: not run; say why above the block: <!-- not run: … -->"
            subprocess.run([sys.executable if words[0] == "python" else words[0], *words[1:]], check=True)

    def mlim(self, words: Sequence[str]) -> None:
        if words[0] == "init" and words[2:] and Path(words[2]).exists():
            words = ["init", words[1], f"init-{words[2]}"]  # what follows goes by the sandbox's own, which trains less
        if words[0] == "export" and words[2:]:
            Path(words[2]).unlink(missing_ok=True)  # the sandbox's model, which the page makes itself
        sets = [part for value in SMALL for part in ("--set", value)] if takes_sets(words) else []
        result = CliRunner().invoke(app, [*words, *sets])
        assert result.exit_code == 0, result.output + repr(result.exception or "")
        if words[0] == "init":
            train_less(Path(result.stdout.partition("recipe: ")[2].splitlines()[0]))

    def serve(self, words: Sequence[str]) -> None:
        self.stop()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        line = [sys.executable, "-m", "workbench", *words, "--port", self.port, "--workers", "1", "--threads", "1"]
        self.server = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)})
        ends = monotonic() + 60
        while monotonic() < ends and self.server.poll() is None:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/health"):
                return
            sleep(0.1)
        raise AssertionError("the server does not answer")

    def curl(self, words: Sequence[str]) -> None:
        assert self.server, "no `mlim serve` before it"
        if shutil.which("curl"):
            asked = [word.replace(f"localhost:{PORT}", f"127.0.0.1:{self.port}") for word in words[1:]]
            subprocess.run(["curl", "--fail-with-body", "--silent", "--show-error", *asked], check=True)

    def stop(self) -> None:
        if self.server:
            self.server.terminate()
            self.server.wait(30)
            self.server = None


@contextmanager
def shell(names: Mapping[str, str]) -> Iterator[Shell]:
    opened = Shell(names)
    try:
        yield opened
    finally:
        opened.stop()


def _look_at_install(words: Sequence[str]) -> None:
    """Fails where an extra of ours is unknown."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"(?:\.|mlim)\[([\w,]+)\]", " ".join(words)):
        assert set(named.split(",")) <= set(extras), f"no extra {named}"
