"""What all commands share at the terminal: errors as exit codes, tables, the console."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from workbench.errors import Interrupted, MlimError, Terminated, Told

if TYPE_CHECKING:
    from rich.console import Console

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}  # errors of what holds the cache
GO_ON = "run the same command again: it continues"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines when piped."""
    if not sys.stdout.isatty():
        print(*("\t".join(row) for row in rows), sep="\n")
        return
    from rich.table import Table

    table = Table(*header, box=None, header_style="dim")
    for row in rows:
        table.add_row(*row, style="green" if "cached" in row else None)
    console(markup=False).print(table)  # what differs may hold brackets of the user's


def console(markup: bool = True) -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=markup)


@contextmanager
def errors(debug: bool) -> Iterator[None]:
    """Errors as one message on stderr and an exit code; tracebacks only with --debug."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except KeyboardInterrupt:
        _exit(f"interrupted; {GO_ON}", 130)
    except Terminated:
        _exit(f"stopped by SIGTERM; {GO_ON}", 1)
    except Told as error:
        raise typer.Exit(error.exit_code) from None
    except Interrupted as error:
        _exit(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of our output went away (`mlim plan | head`): nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except MlimError as error:
        if debug:
            raise
        _exit(f"error: {error}", error.exit_code)
    except Exception as error:
        if debug or isinstance(error, typer.Exit):
            raise
        if isinstance(error, OSError) and error.errno in DISK:
            _exit(f"error: {error.filename or 'the disk'}: {error.strerror}; when that is mended, {GO_ON}", 1)
        _exit(f"error: {type(error).__name__}: {error}; run again with --debug for the traceback", 1)


def _exit(message: str, code: int) -> NoReturn:
    from workbench.train.launch import record

    print(message, file=sys.stderr)
    record(message, code)
    raise typer.Exit(code) from None


def _terminated(*_: object) -> NoReturn:
    raise Terminated
