"""What is published: an sdist from which a wheel is built, a wheel that works where there is nothing else of us."""

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

from workbench import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, f'build_{sys.argv[1]}')(sys.argv[2]))"


def build(what: str, source: Path, out: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", BUILD, what, out], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def sources(folder: Path) -> set[str]:
    """Files of the package below a folder, caches left out."""
    found = {path.relative_to(folder) for path in (folder / "workbench").rglob("*") if path.is_file()}
    return {str(path) for path in found if not any(p.startswith((".", "__pycache__")) for p in path.parts)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from an sdist, which was built from a copy."""
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "copy"
    shutil.copytree(ROOT / "workbench", copy / "workbench", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    sdist = build("sdist", copy, folder)
    shutil.unpack_archive(sdist, folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


@pytest.fixture(scope="module")
def mlim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment, whose dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", folder / "bin/python", "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--ignore-installed", wheel], check=True)
    return folder / "bin/mlim"


def test_the_wheel_holds_all_files_of_the_package_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(f"mlim-{__version__}.dist-info/METADATA").decode()
    assert names == sources(ROOT)
    assert wheel.name == f"mlim-{__version__}-py3-none-any.whl"
    assert "License-Expression: Apache-2.0" in metadata


def test_it_reads_a_feed_and_writes_a_page_far_from_the_repository(mlim: Path, tmp_path: Path):
    draw = np.random.default_rng(0)
    with (tmp_path / "feed.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "title", "image"])
        for i in range(12):
            Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / f"{i}.png")
            lines.writerow([i, f"mug number {i}", f"{i}.png"])
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([mlim, "verify", "feed.csv"], cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("reports/*/catalog.html")
    styles = (ROOT / "workbench/report/page.css").read_text().strip()
    assert styles[:200] in page.read_text()


def test_dali_is_asked_for_only_where_it_has_a_build():
    (dali,) = (Requirement(line) for line in PROJECT["dependencies"] if "dali" in line)
    assert dali.marker is not None
    wanted = {
        (system, machine)
        for system in ("linux", "darwin", "win32")
        for machine in ("x86_64", "aarch64", "arm64", "AMD64")
        if dali.marker.evaluate({"sys_platform": system, "platform_machine": machine})
    }
    assert wanted == {("linux", "x86_64"), ("linux", "aarch64")}


def test_the_image_is_built_from_what_is_there():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)", dockerfile, re.M) for name in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied and all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    (python,) = re.findall(r"^ARG PYTHON=(.*)", dockerfile, re.M)
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert "USER mlim" in dockerfile.partition("FROM")[2].rpartition("FROM")[2]
