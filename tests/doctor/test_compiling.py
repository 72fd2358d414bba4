"""torch.compile where something is wrong; that it works is tried by the whole command (test_doctor.py)."""

import os
import shutil
import sysconfig

import pytest
import torch

from workbench.doctor.compiling import compiling


@pytest.fixture(autouse=True)
def as_in_a_child(tmp_path, monkeypatch):
    """The check sets variables, which its process doesn't survive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("CXX", None)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "made" / "later")


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    (found,) = compiling("cpu")
    assert (found.name, found.state, found.found) == ("torch.compile on cpu", "missing", "no compiler (g++)")
    assert "apt install g++" in found.mend and "runtime.compile: false" in found.mend
    assert compiling("cuda:0")[0].found == "no compiler (gcc)"


def test_no_header(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert compiling("cpu")[0].found == "no Python.h"


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "file" / "below")
    (found,) = compiling("cpu")
    assert found.state == "broken" and "set TORCHINDUCTOR_CACHE_DIR" in found.mend


@pytest.mark.parametrize(
    ("said", "found", "mend"),
    [
        (
            "CppCompileError: it failed\n x.cpp:3:1: fatal error: omp.h: No such file\n",
            "x.cpp:3:1: fatal error: omp",
            "g++",
        ),
        ("x.so: failed to map segment from shared object", "RuntimeError: x.so: failed to map", "noexec"),
    ],
)
def test_a_compilation_that_fails(monkeypatch, tmp_path, said, found, mend):
    def fails(function):
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "compile", fails)
    (told,) = compiling("cpu")
    assert told.state == "broken" and told.found.startswith(found) and mend in told.mend
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_computes_something_else(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: lambda x: function(x) + 1)
    assert compiling("cpu")[0].found == "what is compiled is off by 1"
