"""The layouts of published data sets, tried in this order."""

from __future__ import annotations

from workbench.catalog.feeds.layout import Layout

LAYOUTS: tuple[Layout, ...] = ()
