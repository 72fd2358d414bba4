import hashlib
import json
import subprocess
import sys

import pytest

from workbench.artifacts.key import key_of
from workbench.artifacts.store import Artifact, Store
from workbench.errors import ArtifactError

INGREDIENTS = {"stage": "tokens", "version": 1, "section": {}, "inputs": {}, "sources": {}}
KEY = key_of(INGREDIENTS)
FOLDER = f"tokens-{KEY[:16]}"


def make(store: Store, **files: str) -> Artifact:
    with store.making("tokens", KEY) as folder:
        for name, text in (files or {"ids": "1 2 3"}).items():
            (folder / name).write_text(text)
        return store.commit("tokens", INGREDIENTS, {"tokens": 3})


def test_commit_gives_an_artifact_with_checksums(tmp_path):
    store = Store(tmp_path)
    assert store.find("tokens", KEY) is None
    artifact = make(store, ids="1 2 3")
    assert store.find("tokens", KEY) == artifact
    assert artifact.path("ids").read_text() == "1 2 3"
    assert artifact.summary == {"tokens": 3}
    assert artifact.files == {"ids": {"bytes": 5, "sha256": hashlib.sha256(b"1 2 3").hexdigest()}}
    artifact.verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == [FOLDER, f"{FOLDER}.lock"]


def test_manifest_is_the_same_in_another_folder(tmp_path):
    a, b = make(Store(tmp_path / "a")), make(Store(tmp_path / "b"))
    assert (a.folder / "manifest.json").read_bytes() == (b.folder / "manifest.json").read_bytes()


KILLED = """
import json, os, sys
from pathlib import Path
from workbench.artifacts import store as module
from workbench.artifacts.key import key_of
from workbench.artifacts.store import Store
INGREDIENTS = json.loads(sys.argv[3])
KEY = key_of(INGREDIENTS)
step = sys.argv[2]
def die(*_, **__): os._exit(9)
if step == "manifest": module.digests_of = die
if step == "fsync": module.fsync = die
if step == "rename": Path.rename = die
store = Store(Path(sys.argv[1]))
with store.making("tokens", KEY) as folder:
    (folder / "ids").write_text("1 2 3")
    (folder / "more.tmp").write_text("half")
    if step == "work": die()
    store.commit("tokens", INGREDIENTS, {"tokens": 3})
"""


@pytest.mark.parametrize("step", ["work", "manifest", "fsync", "rename"])
def test_killed_between_any_two_steps_of_commit(tmp_path, step):
    cache = tmp_path / "cache"
    run = [sys.executable, "-c", KILLED, str(cache), step, json.dumps(INGREDIENTS)]
    assert subprocess.run(run, check=False).returncode == 9
    store = Store(cache)
    assert store.find("tokens", KEY) is None
    assert store.all_of("tokens") == []
    assert (store.partial("tokens", KEY) / "ids").read_text() == "1 2 3"
    artifact = make(store)  # the lock of the dead process is free
    clean = make(Store(tmp_path / "clean"))
    assert artifact.files == clean.files
    assert (artifact.folder / "manifest.json").read_bytes() == (clean.folder / "manifest.json").read_bytes()


def test_lock_held_by_another_process(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from workbench.artifacts.store import Store\n"
            f"with Store(Path(sys.argv[1])).making('tokens', {KEY!r}): print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ArtifactError, match="another process is making it; wait"),
            Store(tmp_path).making("tokens", KEY),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    make(Store(tmp_path))


def test_work_continues_from_what_a_killed_run_left_unless_told_otherwise(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.making("tokens", KEY) as folder:
        (folder / "shard0").write_text("done")
        raise RuntimeError
    with store.making("tokens", KEY) as folder:
        assert (folder / "shard0").read_text() == "done"
    with store.making("tokens", KEY, resume=False) as folder:
        assert list(folder.iterdir()) == []


def test_damage_is_noticed(tmp_path):
    store = Store(tmp_path)
    artifact = make(store)
    (artifact.folder / "ids").write_text("1 2 4")  # as long as before: only the checksum tells
    store.find("tokens", KEY)
    with pytest.raises(ArtifactError, match=f"ids: its bytes changed; delete {artifact.folder} and run again"):
        artifact.verify()
    (artifact.folder / "ids").write_text("1 2")
    with pytest.raises(ArtifactError, match=f"ids: missing or of another size than recorded; delete {artifact.folder}"):
        store.find("tokens", KEY)
    (artifact.folder / "ids").unlink()
    with pytest.raises(ArtifactError, match="ids: missing"):
        store.find("tokens", KEY)
    (artifact.folder / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=f"manifest.json: unreadable .*delete {artifact.folder}"):
        store.find("tokens", KEY)
    assert store.all_of("tokens") == []  # other keys of the stage don't suffer from it


def test_a_folder_that_holds_another_key_is_refused(tmp_path):
    artifact = make(Store(tmp_path))
    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    (artifact.folder / "manifest.json").write_text(json.dumps(manifest | {"key": "f" * 64}))
    with pytest.raises(ArtifactError, match="holds the key ffffffffffffffff"):
        Store(tmp_path).find("tokens", KEY)
