"""Every command of the documentation is run, on a small shop; what takes hours or a cluster is looked at."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.docs.pages import INLINE, PAGES, blocks, prose
from tests.docs.shell import Shell, look

RUN = {"sh", "bash", "shell", "python"}
WITH_COMMANDS = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_run(page: str, page_shell: Shell) -> None:
    for block in blocks(page):
        if block.language in RUN:
            try:
                page_shell.run(block)
            except BaseException as error:
                error.add_note(f"{block.place}\n{block.text}")
                raise


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_are_known(page: str) -> None:
    """`mlim …` among words: the command and its options exist."""
    for found in INLINE.findall(prose(page)):
        words = shlex.split(found.replace("…", "X"))[1:]
        try:
            look([*words, "--help"])
        except Exception as error:
            raise AssertionError(f"{page}: {found}: {error}") from error


@pytest.mark.parametrize("page", PAGES)
def test_a_command_stands_in_a_block_that_is_run(page: str) -> None:
    for line in prose(page).splitlines():
        assert not re.match(r" {4,}(mlim|pip|make|curl|python) ", line) or page == "CONTRIBUTING.md", f"{page}: {line}"
