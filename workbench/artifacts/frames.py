"""Data frames and series on their way to another process: as Arrow, several times sooner than polars pickles them, and
where memory is shared not copied there. It is in force where this module is imported."""

from __future__ import annotations

import copyreg
from typing import Any

import polars as pl


def _packed(frame: pl.DataFrame) -> tuple[Any, tuple[Any]]:
    import pyarrow as pa

    table, out = frame.to_arrow(compat_level=pl.CompatLevel.oldest()), pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:  # of a slice its own rows alone
        stream.write_table(table)
    return _unpacked, (out.getvalue(),)


def _unpacked(data: Any) -> pl.DataFrame:
    import pyarrow as pa

    return pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(data).read_all()))


def _series(series: pl.Series) -> tuple[Any, tuple[pl.DataFrame]]:
    return pl.DataFrame.to_series, (series.to_frame(),)


copyreg.pickle(pl.DataFrame, _packed)
copyreg.pickle(pl.Series, _series)
