"""What tests of several rooms need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bucket import S3
    from tests.cluster import Machines


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    from tests.bucket import S3  # moto, half a second

    server = S3()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A server of object storage with an empty bucket, which the environment names; retries don't wait long."""
    from tests.bucket import ENVIRONMENT
    from workbench.artifacts import bucket

    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_server.endpoint}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket, "BACK_OFF", 0.05)
    s3_server.empty()
    yield s3_server
    s3_server.start()


@pytest.fixture(scope="session")
def _machines() -> Iterator[Machines]:
    pytest.importorskip("ray", reason="pip install mlim[ray]")
    from tests.cluster import Machines  # some ten seconds

    machines = Machines()
    yield machines
    machines.close()


@pytest.fixture
def machines(_machines: Machines) -> Machines:
    """Those of a Ray cluster: all are there, whatever another test did."""
    _machines.start(3)
    return _machines
