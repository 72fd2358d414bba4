"""Published data sets, as data."""

from __future__ import annotations

from workbench.catalog.dialects.dialect import Dialect

DATASETS: tuple[Dialect, ...] = ()
