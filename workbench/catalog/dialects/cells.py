"""Grammars of cells: texts in several languages, lists of attributes.

PAIRS: name -> (cell -> its attributes as (name, value) in their order; none where the cell is no such thing)
TEXTS: name -> (cell, language asked for or None -> plain text; the cell itself where it is no such thing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

PAIRS: Mapping[str, Callable[[str], list[tuple[str, str]]]] = {}
TEXTS: Mapping[str, Callable[[str, str | None], str]] = {}
