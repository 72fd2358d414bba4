"""The cache in an object store: what one machine makes, others have; nothing is made twice at once, or seen by half."""

import json
import subprocess
import sys
import threading
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.bucket import S3
from workbench.artifacts import lease as leases
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.conditional import Seen, look, put
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
    found = theirs.seek("tokens", KEY)
    assert found and theirs.find("tokens", KEY) is None
    assert [a.key for a in theirs.all_of("tokens")] == [KEY] and theirs.all_of("images") == []
    brought = theirs.here(found)
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


def test_an_earlier_one_that_is_streamed_here_is_brought_whole(s3: S3, tmp_path):
    make(store(s3, tmp_path / "a"))
    theirs = store(s3, tmp_path / "b")
    assert theirs.here(theirs.seek("tokens", KEY), "i*").streamed == ["ids"]
    (found,) = theirs.all_of("tokens")
    assert theirs.here(found).path("ids").read_text() == "1 2 3"


@pytest.mark.parametrize("last", [f"{NAME}/ids", f"{NAME}/manifest.json", f"logs/{NAME}.jsonl"])
def test_one_that_was_killed_while_it_was_sent_is_sent_by_the_next_run(s3: S3, tmp_path, monkeypatch, last):
    def dying(real):
        def call(self, *args):
            if last in map(str, args):
                raise KeyboardInterrupt
            return real(self, *args)

        return call

    ours = store(s3, tmp_path / "a")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Bucket, "send", dying(Bucket.send))
        patch.setattr(Bucket, "put", dying(Bucket.put))
        make(ours)
    assert (f"{NAME}/manifest.json" in there(s3)) == ("logs" in last)
    found = store(s3, tmp_path / "a").find("tokens", KEY)
    store(s3, tmp_path / "a").share(found)
    assert there(s3)[f"{NAME}/manifest.json"] == (found.folder / "manifest.json").read_bytes()
    assert not list((tmp_path / "a").glob("*.unsent")) and f"{NAME}.lock" not in there(s3)


HOLDER = """
import sys
from workbench.artifacts import lease
from workbench.artifacts.bucket import Bucket
lease.RENEWED = 0.2
with lease.Lease(Bucket(sys.argv[1]), "tokens", sys.argv[2], print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(s3: S3):
    """Another process that has the lock, and renews it."""
    command = [sys.executable, "-c", HOLDER, s3.url, "theirs"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(leases, "LEASE", 2.5)
    monkeypatch.setattr(leases, "RENEWED", 0.2)
    monkeypatch.setattr(leases, "POLL", 0.3)


def test_a_living_process_keeps_its_lock_and_a_dead_one_loses_it(s3: S3, holder, soon):
    said: list[str] = []
    lock = Lease(Bucket(s3.url), "tokens", "ours", said.append)
    with pytest.raises(ArtifactError, match=rf"process {holder.pid} of \S+ is making it; wait until"), lock:
        pass
    holder.kill()
    with Lease(Bucket(s3.url), "tokens", "ours", said.append):
        assert json.loads(there(s3)["tokens.lock"])["owner"] == "ours"
        assert said[-1].endswith("is making it; if nothing is heard of it for 2 seconds, its work is taken over")
    assert there(s3) == {}


def test_a_process_of_the_same_folder_takes_over_at_once(s3: S3, holder):
    holder.kill()
    said: list[str] = []
    with Lease(Bucket(s3.url), "tokens", "theirs", said.append) as lock:
        lock.check()
    assert said == []


def test_of_many_who_find_a_dead_one_s_lock_one_takes_it(s3: S3, holder, soon):
    holder.kill()
    holding, most, refused = [0], [0], list[str]()
    turn = threading.Lock()

    def hold(owner: str) -> None:
        try:
            with Lease(Bucket(s3.url), "tokens", owner, lambda line: None) as lock:
                with turn:
                    holding[0] += 1
                    most[0] = max(most[0], holding[0])
                lock._end.wait(1)
                with turn:
                    holding[0] -= 1
        except ArtifactError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=hold, args=(f"o{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and len(refused) == 3


def test_who_slept_too_long_sends_nothing_while_another_process_makes_it(s3: S3, tmp_path, soon):
    ours, theirs = store(s3, tmp_path / "a"), store(s3, tmp_path / "b")
    with ours.making("tokens", KEY) as folder:
        (folder / "ids").write_text("1 2 3")
        artifact = ours.commit("tokens", INGREDIENTS, {"tokens": 3})
        ours._leases[NAME]._end.set()  # no sign of life, as stopped by SIGSTOP, or with a closed lid
        with theirs.making("tokens", KEY):
            with pytest.raises(ArtifactError, match=r"another process took over, since .* 2 seconds; run again"):
                ours.share(artifact)
            assert [name for name in there(s3) if name.startswith(f"{NAME}/")] == []
    make(theirs)
    ours.share(artifact)  # the next run: all of it is there
    assert sorted(there(s3)) == [f"logs/{NAME}.jsonl", f"{NAME}/ids", f"{NAME}/manifest.json"]
    assert not list((tmp_path / "a").glob("*.unsent"))


def test_who_was_not_heard_of_for_half_the_time_asks_before_it_goes_on(s3: S3):
    bucket = Bucket(s3.url)
    with Lease(bucket, "tokens", "ours", lambda line: None) as lock:
        bucket.write("tokens.lock", b'{"owner": "theirs"}')  # by a clock that runs ahead of this one
        lock.check()
        lock._renewed -= 0.6 * leases.LEASE
        with pytest.raises(ArtifactError, match="another process took over"):
            lock.check()
    assert list(there(s3)) == ["tokens.lock"]


def test_a_store_without_conditions_is_refused(s3: S3, tmp_path, monkeypatch):
    real = Bucket.put
    monkeypatch.setattr(Bucket, "put", lambda self, name, data, tag=None: self.write(name, data) or "tag")
    with pytest.raises(RecipeError, match=rf"runtime.cache: {s3.url}: this store knows no conditional writes"):
        make(store(s3, tmp_path))
    assert there(s3) == {}
    monkeypatch.setattr(Bucket, "put", real)
    make(store(s3, tmp_path))


def test_a_file_of_the_store_is_written_once(s3: S3):
    bucket = Bucket(s3.url)
    first = bucket.put("a", b"1")
    assert first and bucket.put("a", b"1") == first  # its answer was lost, and it is tried again
    assert bucket.put("a", b"2") is None
    seen = bucket.look("a")
    assert seen and (seen.data, seen.tag) == (b"1", first) and 0 <= seen.age < 5
    second = bucket.put("a", b"3", first)
    assert second and second != first and bucket.put("a", b"4", first) is None
    bucket.delete("a")
    assert bucket.look("a") is None and bucket.put("a", b"5", second) is None


def test_other_stores_than_s3(tmp_path):
    bucket = Bucket(f"memory://{tmp_path.name}")
    first = bucket.put("a", b"1")
    assert first and bucket.put("a", b"2") is None
    assert (second := bucket.put("a", b"3", first)) and bucket.put("a", b"4", first) is None
    assert bucket.look("a").data == b"3" and bucket.look("a").tag == second
    assert bucket.look("b") is None


class Gs:
    """What gcsfs asks of Google's JSON API, and its answers: a file with a generation, replaced if it is that one."""

    protocol, _location = ("gs", "gcs"), "http://there"

    def __init__(self) -> None:
        self.data, self.generation = b"", 0

    def split_path(self, path: str) -> tuple[str, str, None]:
        return (*path.split("/", 1), None)  # type: ignore[return-value]

    def url(self, path: str) -> str:
        return f"{self._location}/download/storage/v1/b/shop/o/{path.partition('/')[2]}?alt=media"

    def call(self, method: str, url: str, **asked: Any) -> Any:
        if method == "GET":
            if not self.generation:
                raise FileNotFoundError(url)
            told = {"Date": "Thu, 26 Nov 2026 12:47:54 GMT", "Last-Modified": "Thu, 26 Nov 2026 12:46:44 GMT"}
            return {**told, "X-Goog-Generation": str(self.generation)}, self.data
        assert url == "http://there/upload/storage/v1/b/shop/o" and asked["uploadType"] == "multipart"
        if int(asked["ifGenerationMatch"]) != self.generation:
            raise FileExistsError(url)  # 412
        whole = f"Content-Type: {asked['headers']['Content-Type']}\r\n\r\n".encode() + asked["data"]
        name, content = (part.get_payload(decode=True) for part in message_from_bytes(whole).get_payload())
        assert json.loads(name) == {"name": "mlim/a.lock"}
        self.data, self.generation = content, self.generation + 7
        return {"generation": str(self.generation)}


def test_google_s_store_decides_by_generation():
    fs = Gs()
    assert look(fs, "shop/mlim/a.lock") is None
    assert put(fs, "shop/mlim/a.lock", b"1", None) == "7"
    assert put(fs, "shop/mlim/a.lock", b"1", None) == "7"  # its answer was lost, and it is tried again
    assert put(fs, "shop/mlim/a.lock", b"2", None) is None
    assert look(fs, "shop/mlim/a.lock") == Seen(b"1", "7", 69.0)
    assert put(fs, "shop/mlim/a.lock", b"3", "7") == "14" and put(fs, "shop/mlim/a.lock", b"4", "7") is None
