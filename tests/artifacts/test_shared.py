"""The cache in an object store: what one machine makes, others have; nothing is made twice at once, or seen by half."""

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.bucket import S3
from workbench.artifacts import lease as leases
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.key import key_of
from workbench.artifacts.lease import Lease
from workbench.artifacts.shared import Shared
from workbench.artifacts.store import Artifact, Away
from workbench.errors import ArtifactError, RecipeError

INGREDIENTS = {"stage": "tokens", "version": 1, "section": {}, "inputs": {}, "sources": {}}
KEY = key_of(INGREDIENTS)
NAME = f"tokens-{KEY[:16]}"


def store(s3: S3, root: Path, said: list[str] | None = None) -> Shared:
    return Shared(root, Away(s3.url, 1000), (said if said is not None else []).append)


def make(store: Shared, text: str = "1 2 3") -> Artifact:
    with store.making("tokens", KEY) as folder:
        (folder / "ids").write_text(text)
        artifact = store.commit("tokens", INGREDIENTS, {"tokens": 3})
        store.log("tokens", KEY).parent.mkdir(exist_ok=True)
        store.log("tokens", KEY).write_text('{"stage_seconds": 3.0}\n')
        store.share(artifact)
    return artifact


def there(s3: S3) -> dict[str, bytes]:
    bucket = Bucket(s3.url)
    return {name: bucket.read(name) for name in bucket.sizes("")}


def test_what_one_machine_made_another_brings(s3: S3, tmp_path):
    ours, theirs = store(s3, tmp_path / "a"), store(s3, tmp_path / "b")
    made = make(ours)
    assert sorted(there(s3)) == [f"logs/{NAME}.jsonl", f"{NAME}/ids", f"{NAME}/manifest.json"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["logs", "owner", NAME, f"{NAME}.lock"]
    found = theirs.remote.find("tokens", KEY)
    assert found and theirs.find("tokens", KEY) is None
    assert [a.key for a in theirs.all_of("tokens")] == [KEY] and theirs.all_of("images") == []
    brought = theirs.bring(found)
    assert brought.files == made.files and theirs.find("tokens", KEY) == brought
    assert theirs.log("tokens", KEY).read_text() == '{"stage_seconds": 3.0}\n'
    assert [a.folder for a in theirs.all_of("tokens")] == [brought.folder]


def test_earlier_ones_are_brought_when_they_are_needed(s3: S3, tmp_path):
    make(store(s3, tmp_path / "a"))
    theirs = store(s3, tmp_path / "b")
    (found,) = theirs.all_of("tokens")
    assert not found.folder.is_absolute() and found.ingredients == INGREDIENTS
    assert theirs.here(found).path("ids").read_text() == "1 2 3"
    assert theirs.here(theirs.find("tokens", KEY)).folder == tmp_path / "b" / NAME
