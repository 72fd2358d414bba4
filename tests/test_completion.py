"""What a shell offers; the bash script is tried in a bash."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from workbench.cli import app
from workbench.completion import SCRIPTS, Shell, offers


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
    ],
)
def test_offers(line, offered):
    assert [value for value, _ in offers(get_command(app), line)] == offered


def test_what_they_mean_is_told():
    assert dict(offers(get_command(app), "mlim ing"))["ingest"].startswith("Read and clean the feeds")
    assert dict(offers(get_command(app), "mlim run --set pretrain.epochs"))["pretrain.epochs="]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("mlim run sh", "shop.yaml"),
        ("mlim run shop.yaml --set pretrain.ep", "pretrain.epochs="),
        ("mlim run shop.yaml --set runtime.compile=t", "true"),
    ],
)
def test_in_a_bash(shop, line, reply):
    root = Path(__file__).parents[1]
    script = f"""mlim() {{ PYTHONPATH={root} {sys.executable} -m workbench "$@"; }}
{SCRIPTS[Shell.bash]}
COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}
COMP_POINT={len(line)}
_mlim
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=shop)
    assert (done.stdout, done.stderr) == (f"{reply}\n", "")


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
