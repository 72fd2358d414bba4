"""Packages against what mlim asks for."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from workbench.doctor import packages
from workbench.doctor.finding import Finding

PROJECT = """
[project]
requires-python = ">=3.11"
dependencies = ["numpy>=1.26", "polars>=1.33 # here", "nvidia-dali-cuda120>=2.4", "elsewhere; sys_platform == 'atari'"]
[project.optional-dependencies]
heic = ["pillow-heif>=0.18"]
s3 = ["s3fs>=2025.3"]
all = ["mlim[heic,s3]"]
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> dict[str, str]:
    """Versions by name, which a test may change."""
    versions = {
        "nvidia-dali-cuda120": "2.4.0",
        "numpy": "2.1.0",
        "polars": "1.33.0",
        "pillow-heif": "1.0",
        "s3fs": "2026.1",
    }

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    (tmp_path / "pyproject.toml").write_text(PROJECT.replace(" # here", ""))
    monkeypatch.setattr(packages, "PYPROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(metadata, "version", version)
    return versions


def test_all_as_needed(installed):
    first, extras = packages.packages()
    assert first == Finding("packages", "ok", "3 of 3 as needed: numpy 2.1.0, polars 1.33.0, nvidia-dali-cuda120 2.4.0")
    assert extras.state == "ok"


def test_missing_and_too_old(installed):
    del installed["numpy"]
    installed["polars"] = "1.20.0"
    first, numpy, polars, _ = packages.packages()
    assert first.found == "1 of 3 as needed: nvidia-dali-cuda120 2.4.0"
    assert (numpy.name, numpy.state, numpy.stops) == ("package numpy", "missing", True)
    assert numpy.found == "is not installed; needed: >=1.26" and numpy.mend == "pip install 'numpy>=1.26'"
    assert (polars.state, polars.found) == ("broken", "1.20.0 is installed; needed: >=1.33")


def test_versions_between_releases_are_fine(installed):
    installed["polars"] = "1.34.0rc1"
    installed["numpy"] = "2.2.0+local.4"
    assert packages.packages()[0].found.startswith("3 of 3")


def test_mlim_does_without_dali(installed):
    del installed["nvidia-dali-cuda120"]
    _, dali, _ = packages.packages()
    assert (dali.name, dali.state, dali.stops) == ("package nvidia-dali-cuda120", "missing", False)


def test_extras_are_no_fault(installed):
    del installed["pillow-heif"]
    extras = packages.packages()[-1]
    assert (extras.state, extras.stops) == ("missing", False)
    assert extras.found == "not installed: heic (pictures as iPhones take them)"
    assert extras.mend.startswith("pip install 'mlim[heic]'")
    assert packages.missing(["numpy", "pillow-heif"]) == ["pillow-heif"]


def test_an_installed_mlim_asks_by_its_metadata(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "PYPROJECT", tmp_path / "none")
    requires = ["numpy>=1.26", "polars>=9; sys_platform != 'atari'", 'pillow-heif>=3; extra == "heic"']
    about = type("Distribution", (), {"requires": requires, "metadata": {"Requires-Python": ">=3.11"}})
    monkeypatch.setattr(metadata, "distribution", lambda name: about)
    first, polars, extras = packages.packages()
    assert first.found == "1 of 2 as needed: numpy 2.1.0"
    assert polars.found == "1.33.0 is installed; needed: >=9"
    assert extras.found.startswith("not installed: heic (")


def test_an_old_python(installed, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    (found,) = packages.python()
    assert found.stops and found.found == "3.10.4" and found.mend.startswith("install Python 3.11 or newer")


def test_each_extra_of_the_project_says_what_it_adds():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert packages.ADDS.keys() == project["optional-dependencies"].keys() - {"all", "docs", "test", "dev"}
