"""Whatever a feed holds: rows or an error of ours, never a traceback. `benchmarks/fuzz.py` tries many more."""

import importlib.util
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[2] / "benchmarks" / "fuzz.py")
assert spec and spec.loader
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)

SEEDS = fuzz.seeds()
PIECES = [*fuzz.SIGNS, b"id", b"title", b"id,title\n", b'"id": 1', b"1", b"<id>1</id>", "é".encode(), b"\xe9"]
ENDINGS = ["csv", "tsv", "jsonl", "json", "xml", "csv.gz", "parquet", "tar"]


def read(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        fuzz.read(path)


@settings(max_examples=900, deadline=5000, derandomize=True, database=None)
@given(st.sampled_from(ENDINGS), st.lists(st.sampled_from(PIECES), max_size=40))
def test_pieces_of_feeds_in_any_order(ending: str, pieces: list[bytes]) -> None:
    read(f"a.{ending}", b"".join(pieces))


@settings(max_examples=300, deadline=5000, derandomize=True, database=None)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.integers(0, 2**32))
def test_mutated_fixtures(one: tuple[str, bytes], other: tuple[str, bytes], seed: int) -> None:
    read(one[0], fuzz.mutated(random.Random(seed), one[1], other[1]))
