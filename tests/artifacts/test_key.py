import hashlib
import math
from pathlib import Path

import pytest

from workbench.artifacts.key import Digests, canonical, key_of
from workbench.errors import ArtifactError


def test_canonical_json_and_the_golden_key_of_fixed_ingredients():
    ingredients = {
        "stage": "images",
        "version": 2,
        "section": {"images": {"side": 64, "scale": 0.1, "ünï": [True, None, 1e-4]}},
        "inputs": {},
    }
    section = '{"images":{"scale":0.1,"side":64,"ünï":[true,null,0.0001]}}'
    text = f'{{"inputs":{{}},"section":{section},"stage":"images","version":2}}'
    assert canonical(ingredients) == text
    assert key_of(ingredients) == hashlib.sha256(text.encode()).hexdigest()
    # Golden: if this fails every cache in the world is thrown away.
    assert key_of(ingredients) == "8a28937d8e7673cd585e88fa349ec7cf4777575e30030963cff6a7cf293334db"


def test_order_of_keys_and_tuples_do_not_matter_but_values_do():
    assert key_of({"a": 1, "b": (1, 2)}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 1.0})
    assert key_of({"a": 1}) != key_of({"a": True})
    assert key_of({"a": "1"}) != key_of({"a": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, Path("x"), b"x", {1: 2}, {1}, object()])
def test_what_has_no_single_json_form_is_refused(value):
    with pytest.raises(ArtifactError, match=r"key ingredient section\.x"):
        key_of({"section": {"x": value}})


def digest(path: Path, memory: Path, **kwargs) -> str:
    return Digests(memory).of(path, **kwargs)


def test_digest_of_a_file_is_that_of_its_bytes_and_survives_in_memory(tmp_path):
    file, memory = tmp_path / "feed.csv", tmp_path / "cache" / "digests.json"
    file.write_bytes(b"abc")
    digests = Digests(memory)
    assert digests.of(file) == hashlib.sha256(b"abc").hexdigest()
    digests.save()
    assert "abc" not in memory.read_text()
    again = Digests(memory)
    again._known[str(file)][-1] = "remembered"
    assert again.of(file) == "remembered"
    file.write_bytes(b"abcd")
    assert again.of(file) == hashlib.sha256(b"abcd").hexdigest()
    memory.write_text("no json")
    assert digest(file, memory) == hashlib.sha256(b"abcd").hexdigest()


def test_digest_of_a_folder_depends_on_names_and_bytes_only(tmp_path):
    def folder(name: str, files: dict[str, bytes]) -> Path:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / name

    memory = tmp_path / "none.json"
    a = digest(folder("a", {"x.png": b"1", "deep/y.png": b"2"}), memory)
    assert digest(folder("b", {"deep/y.png": b"2", "x.png": b"1", ".DS_Store": b"?", ".mlim/z": b"3"}), memory) == a
    assert digest(folder("c", {"x.png": b"2", "deep/y.png": b"1"}), memory) != a
    assert digest(folder("d", {"x.png": b"1", "deep/z.png": b"2"}), memory) != a
    skipped = folder("e", {"x.png": b"1", "deep/y.png": b"2", "reports/r.html": b"3", "s.yaml": b"4"})
    assert digest(skipped, memory, skip=lambda p: p.endswith(("/reports", "/s.yaml"))) == a


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "no", tmp_path / "memory")


def test_files_met_in_a_folder_are_known_by_their_path_but_not_through_links(tmp_path):
    place = tmp_path / "place"
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "a.png").write_bytes(b"a")
    (place / "b.png").symlink_to(place / "deep" / "a.png")
    (place / "c").symlink_to(place / "deep")
    digests = Digests(tmp_path / "memory")
    digests.of(place)
    sha256 = hashlib.sha256(b"a").hexdigest()
    met = {name: digests.met(f"{place}/{name}") for name in ("deep/a.png", "b.png", "c/a.png", "d.png")}
    assert met == {"deep/a.png": sha256, "b.png": None, "c/a.png": None, "d.png": None}
    assert digests.remembered(str(place / "b.png")) == sha256
