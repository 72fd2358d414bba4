"""Shop systems and marketplaces, as data."""

from __future__ import annotations

from workbench.catalog.dialects.dialect import Dialect

SHOPS: tuple[Dialect, ...] = ()
