"""What is installed: Python, mlim, and each package that it asks for, against the version that it needs."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import __version__
from workbench.doctor.finding import Finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ADDS = {  # extra -> what mlim can do with it
    "heic": "pictures as iPhones take them",
    "hdf5": "FashionGen's feed",
    "sql": "feeds out of a database",
    "search": "`mlim search`",
    "s3": "s3://",
    "gcs": "gs://",
    "tensorboard": "curves in TensorBoard",
    "wandb": "curves in Weights & Biases",
    "mlflow": "curves in MLflow",
    "embeddings": "published embeddings as baselines",
    "export": "models that transformers loads",
    "onnx": "models that onnxruntime loads",
    "serve": "`mlim serve`",
    "ray": "preparation by several machines",
}
SPARED = "nvidia-dali"  # the CPU decodes without it; a recipe that asks for it is told by its own check
OWN_CHECK = ("torch", "nvidia-dali")  # how packages begin that checks of their own load


def python() -> list[Finding]:
    """Python and mlim themselves."""
    version = ".".join(map(str, sys.version_info[:3]))
    asked = _project()[2].lstrip(">=")
    if sys.version_info < tuple(map(int, asked.split("."))):
        return [Finding("python", "broken", version, f"install Python {asked} or newer, and mlim into it")]
    return [Finding("python", "ok", f"{version} ({sys.executable})"), Finding("mlim", "ok", __version__)]


def packages() -> list[Finding]:
    """A line for those that are as needed, one for each that isn't, and one for the extras that are not installed."""
    try:
        asked, extras = _requirements()
    except ImportError:
        return [Finding("package packaging", "missing", "is not installed", "pip install packaging")]
    wrong = [finding for requirement in asked if (finding := _judged(requirement))]
    good = [r.name for r in asked if r.name not in {f.name.removeprefix("package ") for f in wrong}]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in good)
    return [Finding("packages", "ok", f"{len(good)} of {len(asked)} as needed: {versions}"), *wrong, _extras(extras)]


def imports() -> list[Finding]:
    """Whether what is installed can be loaded at all: a library may be for another CPU, or lack one of the system's."""
    from packaging.utils import canonicalize_name as plain

    names = {plain(r.name) for r in _requirements()[0] if not r.name.startswith(OWN_CHECK)}
    modules = metadata.packages_distributions().items()  # some of them are folders of licences
    wanted = [m for m, of in sorted(modules) if m.isidentifier() and m[0] != "_" and names & set(map(plain, of))]
    for module in wanted:
        print(f"loading {module}", flush=True)  # the last word of one that crashes
        importlib.import_module(module)
    return [Finding("libraries", "ok", f"can be loaded: {', '.join(wanted)}")]


def missing(names: Sequence[str]) -> list[str]:
    """Which of these packages are not installed."""
    return [name for name in names if _version(name) is None]


def _project() -> tuple[list[str], Mapping[str, list[str]], str]:
    """What mlim asks for, with each extra, and of which Python: of a checkout as its pyproject.toml says now."""
    if PYPROJECT.exists():
        project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
        return project["dependencies"], project["optional-dependencies"], project["requires-python"]
    installed = metadata.distribution("mlim")
    plain, extras = [], defaultdict(list)
    for line in installed.requires or ():
        requirement, _, extra = line.partition("extra == ")
        if extra:
            extras[extra.strip("\"'() ")].append(requirement.rpartition(";")[0])
        else:
            plain.append(line)
    return plain, extras, installed.metadata["Requires-Python"]


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Those that hold on this system."""
    from packaging.requirements import Requirement

    plain, extras, _ = _project()

    def here(lines: Sequence[str]) -> list[Requirement]:
        return [r for r in map(Requirement, lines) if r.name != "mlim" and (not r.marker or r.marker.evaluate())]

    return here(plain), {name: here(lines) for name, lines in extras.items()}


def _judged(requirement: Requirement) -> Finding | None:
    """What is wrong with a package, if anything is."""
    found, asked = _version(requirement.name), str(requirement.specifier)
    name, mend = f"package {requirement.name}", f"pip install '{requirement.name}{asked}'"
    needed = not requirement.name.startswith(SPARED)
    if found is None:
        return Finding(name, "missing", f"is not installed; needed: {asked or 'any version'}", mend, needed)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(name, "broken", f"{found} is installed; needed: {asked}", mend, needed)
    return None


def _extras(extras: Mapping[str, Sequence[Requirement]]) -> Finding:
    absent = [name for name in extras if name in ADDS and any(map(_judged, extras[name]))]
    if not absent:
        return Finding("extras", "ok", f"all installed: {', '.join(ADDS)}")
    told = "; ".join(f"{name} ({ADDS[name]})" for name in absent)
    mend = f"pip install 'mlim[{','.join(absent)}]', of these what you need"
    return Finding("extras", "missing", f"not installed: {told}", mend, needed=False)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
