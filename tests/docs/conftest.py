"""A shop with a model of every task, made once for all pages."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.bucket import S3
from tests.docs import sandbox
from tests.docs.shell import Shell, shell
from workbench.bench import loader


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of a test run share: shop, cache, model, and the lock that one at a time has."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "docs"
    folder.mkdir(exist_ok=True)
    with _alone(folder):
        if not (folder / "shop").exists():
            sandbox.build(folder / "shop")
            (folder / "cache").mkdir()
            (folder / "shop/.mlim").symlink_to(folder / "cache")
            with chdir(folder / "shop"), shell({}) as first:
                first.mlim(["export", "shop.yaml", str(folder / "model")])
    return folder


@pytest.fixture
def page_shell(made: Path, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in a copy of the shop; what is trained lies in a cache that pages share. s3://acme-ml is there."""
    monkeypatch.setattr(loader, "bench", partial(loader.bench, seconds=0.02))
    before = dict(os.environ)
    s3.client().create_bucket(Bucket="acme-ml")
    os.environ |= {"HF_HOME": str(made / "huggingface"), "HF_HUB_OFFLINE": "1"}
    folder = tmp_path / "shop"
    shutil.copytree(made / "shop", folder, symlinks=True)
    (folder / "model").symlink_to(made / "model")
    names = {"MODEL": "model", "RECIPE": "shop.yaml", "FEED": "products.csv"}
    with _alone(made), chdir(folder), shell(names) as opened:
        yield opened
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
