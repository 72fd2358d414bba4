"""What a shell offers; the scripts are tried in the shells that are installed."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from workbench.cli import app
from workbench.completion import SCRIPTS, Shell, install, offers

TEXT = {"capture_output": True, "text": True}


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    for name in ("shop.yaml", "shoes.csv", ".hidden.yaml", "recipes/small shop.yml"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mlim pre", ["predict", "pretrain", "preview"]),
        ("mlim cache ", ["gc", "ls", "verify"]),
        ("mlim run sh", ["shop.yaml"]),
        ("mlim run ", ["recipes/", "shop.yaml"]),
        ("mlim run .h", [".hidden.yaml"]),
        ("mlim run recipes/", ["recipes/small shop.yml"]),
        ("mlim ingest sh", ["shoes.csv", "shop.yaml"]),
        ("mlim cache ls s", ["shoes.csv", "shop.yaml"]),
        ("mlim cache gc --keep s", ["shop.yaml"]),
        ("mlim run shop.yaml s", []),
        ("mlim run shop.yaml --n", ["--no-resume", "--nproc"]),
        ("mlim run shop.yaml --nproc ", []),
        ("mlim run shop.yaml --set pretrain.ep", ["pretrain.epochs="]),
        ("mlim run shop.yaml --set pretr", ["pretrain."]),
        ("mlim run --set catalog.feeds.0.pict", ["catalog.feeds.0.pictures="]),
        ("mlim run --set runtime.compile=", ["runtime.compile=false", "runtime.compile=true"]),
        ("mlim run --set model.precision=b", ["model.precision=bf16"]),
        ("mlim run --set nothing.here", []),
        ("mlim predict model shoes.csv out.csv --task f", ["fill"]),
        ("mlim predict --device c", ["cpu", "cuda"]),
        ("mlim predict --column ti", ["title="]),
        ("mlim completion f", ["fish"]),
        ("mlim nothing ", []),
        ("mlim run 'an open quote", []),
        ("mlim run 'recipes/small s", ["recipes/small shop.yml"]),
        ("mlim run recipes/small\\ ", ["recipes/small shop.yml"]),
        ("mlim run --set=pretrain.ep", ["--set=pretrain.epochs="]),
        ("mlim predict --device=c", ["--device=cpu", "--device=cuda"]),
    ],
)
def test_offers(line, offered):
    assert [value for value, _ in offers(get_command(app), line)] == offered


def test_what_they_mean_is_told():
    assert dict(offers(get_command(app), "mlim ing"))["ingest"].startswith("Read and clean the feeds")
    assert dict(offers(get_command(app), "mlim run --set pretrain.epochs"))["pretrain.epochs="]


STARTED = {  # how a shell is started in a HOME where `mlim completion SHELL --install` has written its script
    Shell.bash: (["bash", "--rcfile", "rc", "-i"], "rc", "PS1='> '; . .local/share/bash-completion/completions/mlim"),
    Shell.zsh: (["zsh", "-i"], ".zshrc", "PS1='> '; fpath+=~/.zfunc; autoload -Uz compinit; compinit -u"),
    Shell.fish: (["fish"], "rc", ""),
}


@pytest.fixture(params=Shell)
def shell(request: pytest.FixtureRequest, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} isn't installed")
    _, rc, text = STARTED[request.param]
    (shop / "bin").mkdir()
    program = f'#!/bin/sh\nPYTHONPATH={Path(__file__).parents[1]} exec {sys.executable} -m workbench "$@"\n'
    for name, content in (("bin/mlim", program), (rc, f"{text}\n"), ("mine.yaml", "")):
        (shop / name).write_text(content)
    (shop / "bin/mlim").chmod(0o755)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("HOME", shop), ("PATH", f"{shop}/bin:{os.environ['PATH']}"), ("TERM", "vt100")):
        monkeypatch.setenv(name, str(value))
    install(request.param)
    return request.param


def typed(shell: Shell, keys: str) -> str:
    """What stands in the line of a real shell after these keys."""
    if shell == Shell.fish:  # which has a way to be asked
        said = subprocess.run(["fish", "-c", 'complete -C"$line"'], env=os.environ | {"line": keys.strip("\t")}, **TEXT)
        return keys.rpartition(" ")[0] + " " + said.stdout.partition("\t")[0].strip()
    ours, its = pty.openpty()
    child = subprocess.Popen(STARTED[shell][0], stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    said, ends = b"", time.monotonic() + 60
    try:
        for keys_now, until in ((b"", rb"> "), (f'{keys}\1echo LINE="\5"\r'.encode(), rb"[\r\n]LINE=([^\r\n]*)\r")):
            os.write(ours, keys_now)
            while not (found := re.search(until, said)) and time.monotonic() < ends:
                if select.select([ours], [], [], 1)[0]:
                    said += os.read(ours, 4096)
        assert found, said
        return found[1].decode().rstrip()
    finally:
        child.kill()
        child.wait()
        os.close(ours)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("mlim ru\t", "mlim run"),
        ("mlim run sh\t", "mlim run shop.yaml"),
        ("mlim run ~/mi\t", "mlim run ~/mine.yaml"),
        ("mlim run shop.yaml --np\t", "mlim run shop.yaml --nproc"),
        ("mlim run --set pretrain.ep\t", "mlim run --set pretrain.epochs="),
        ("mlim run --set=runtime.compile=t\t", "mlim run --set=runtime.compile=true"),
    ],
)
def test_in_a_shell(shell: Shell, keys: str, line: str) -> None:
    assert typed(shell, keys) == line


def test_a_space_in_a_name_is_quoted(shell: Shell) -> None:
    assert typed(shell, "mlim run recipes/sm\t").replace("\\", "") == "mlim run recipes/small shop.yml"


@pytest.mark.parametrize("shell", Shell)
def test_a_script_is_written_to_where_the_shell_looks_for_it(shop, monkeypatch, shell):
    monkeypatch.setenv("HOME", str(shop))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    said = CliRunner().invoke(app, ["completion", shell, "--install"]).stdout
    file, more = said.splitlines()
    assert Path(file.removeprefix("script: ")).read_text() == SCRIPTS[shell]
    assert more.startswith("next: ")
    assert CliRunner().invoke(app, ["completion", shell]).stdout == SCRIPTS[shell]
