"""What all commands share at the terminal: --json, --quiet and --debug, errors as exit codes, tables, the console."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from inspect import Parameter, signature
from math import isfinite
from typing import IO, TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from workbench.addresses import stored
from workbench.errors import Interrupted, MlimError, Terminated, Told
from workbench.recipe.places import shown
from workbench.train.launch import of_a_world, record

if TYPE_CHECKING:
    from rich.console import Console

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}  # errors of what holds the cache
GO_ON = "run the same command again: it continues"


def _flag(name: str, said: str) -> Parameter:
    return Parameter(
        name, Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, typer.Option(f"--{name}", help=said)]
    )


FLAGS = (
    _flag("json", "one JSON object on stdout, for programs; all else goes to stderr"),
    _flag("quiet", "no progress and no account of the stages: results, warnings and errors alone"),
    _flag("debug", "show the traceback of an error"),
)


@dataclass
class _Asked:
    """How the running command is to answer."""

    quiet: bool = False
    debug: bool = False
    answer: dict[str, Any] | None = None  # the object of --json
    held: ExitStack = field(default_factory=ExitStack)  # what it holds until it ends


_asked = _Asked()


class App(typer.Typer):
    """Commands that have the FLAGS (--json only if it `tells` something), an example in their help, and errors that are
    told in words."""

    def command(  # type: ignore[override]
        self, name: str | None = None, *, example: str = "", tells: bool = True, **how: Any
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def add(function: Callable[..., None]) -> Callable[..., None]:
            @wraps(function)
            def run(quiet: bool, debug: bool, json: bool = False, **given: Any) -> None:
                with _answering(json, quiet, debug), errors(debug), stored(given) as here:
                    function(**here)

            own = signature(function, eval_str=True)
            flags = FLAGS if tells else FLAGS[1:]
            run.__signature__ = own.replace(parameters=[*own.parameters.values(), *flags])  # type: ignore[attr-defined]
            register(run)
            return function

        register = super().command(name, epilog=f"Example: {example}", **how)
        return add


def flags_given() -> list[str]:
    """Those of this command that go on to processes which do a part of its work."""
    return [f"--{name}" for name in ("quiet", "debug") if getattr(_asked, name)]


def held(context: AbstractContextManager[object]) -> None:
    """Enter a context that lasts as long as the command."""
    _asked.held.enter_context(context)


def is_quiet() -> bool:
    return _asked.quiet


def note(*lines: object) -> None:
    """Print what was done, or may be done next; but not with --quiet."""
    if not _asked.quiet:
        print(*lines, sep="\n", flush=True)


def told(**fields: object) -> None:
    """Fields of the object that --json asks for."""
    if _asked.answer is not None:
        _asked.answer |= fields


def tell(**results: object) -> None:
    """Print a line `name: value` for each, which are fields of that object too."""
    told(**results)
    print(*(f"{name}: {value}" for name, value in results.items()), sep="\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines when piped."""
    if not sys.stdout.isatty():
        for row in rows:
            print(*row, sep="\t")
        return
    from rich.table import Table

    table = Table(*header, box=None, header_style="dim")
    for row in rows:
        table.add_row(*row, style="green" if "cached" in row else None)
    _console(markup=False).print(table)  # what differs may hold brackets of the user's


def console(markup: bool = True) -> Console:
    """Where what is done is told; with --quiet only warnings are."""
    from workbench.progress import Hushed

    return Hushed() if _asked.quiet else _console(markup)


def _console(markup: bool) -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=markup)


@contextmanager
def _answering(json: bool, quiet: bool, debug: bool) -> Iterator[None]:
    """With --json the object is the only thing on stdout, also where the command fails."""
    global _asked
    _asked = _Asked(quiet, debug, {} if json else None)
    os.environ |= {"MLIM_QUIET": "1"} if quiet else {}
    try:
        if not json:
            yield
            return
        with _stdout_aside(quiet) as out:
            try:
                yield
            finally:
                if not of_a_world() or os.environ.get("RANK", "0") == "0":
                    from json import dumps

                    said = dumps(_plain(_asked.answer), indent=1, ensure_ascii=False, allow_nan=False)
                    print(shown(said), file=out, flush=True)
    finally:
        os.environ.pop("MLIM_QUIET", None)
        _asked.held.close()
        _asked = _Asked()


def _plain(value: Any) -> Any:
    """What JSON has a word for: null for a number that isn't one, text for whatever else is unknown to it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


@contextmanager
def _stdout_aside(quiet: bool) -> Iterator[IO[str]]:
    """stdout; whatever else is printed meanwhile, also by processes started here, goes to stderr, or if `quiet`
    nowhere: the object holds it."""
    with open(os.devnull, "w") if quiet else nullcontext(sys.stderr) as aside:
        out: IO[str] = sys.stdout
        if out is sys.__stdout__:
            out.flush()
            out = open(os.dup(1), "w", encoding="utf-8")  # noqa: SIM115
            os.dup2(aside.fileno(), 1)
        with redirect_stdout(aside):
            yield out


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
        told(error=str(error), exit_code=error.exit_code)
        raise typer.Exit(error.exit_code) from None
    except Interrupted as error:
        _exit(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of our output went away (`mlim plan | head`): nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except MlimError as error:
        if debug:
            told(error=str(error), exit_code=1)
            raise
        _exit(f"error: {error}", error.exit_code)
    except Exception as error:
        if isinstance(error, typer.Exit):
            raise
        if debug:
            told(error=f"{type(error).__name__}: {error}", exit_code=1)
            raise
        if isinstance(error, OSError) and error.errno in DISK:
            _exit(f"error: {error.filename or 'the disk'}: {error.strerror}; when that is mended, {GO_ON}", 1)
        _exit(f"error: {type(error).__name__}: {error}; run again with --debug for the traceback", 1)


def _exit(message: str, code: int) -> NoReturn:
    message = shown(message)
    print(message, file=sys.stderr)
    told(error=message.removeprefix("error: "), exit_code=code)
    record(message, code)
    raise typer.Exit(code) from None


def _terminated(*_: object) -> NoReturn:
    raise Terminated
