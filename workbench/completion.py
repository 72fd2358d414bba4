"""What a shell offers after TAB: commands, options, and values such as recipes, keys of `--set` and tasks.

The script of a shell asks `mlim completion SHELL --line 'THE LINE SO FAR'`, which prints an offer a line, with what it
means behind a tab. Nothing is offered for what isn't known; a shell then offers files.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from inspect import signature
from pathlib import Path
from typing import Any, get_args

Offer = tuple[str, str]  # what is offered, and what it means

RECIPES = (".yaml", ".yml")
TASKS = ("classify", "fill", "match", "retrieve", "pretrain")
ROLES = ("id", "title", "picture", "pictures", "group", "code", "price", "language", "split")


class Shell(StrEnum):
    """What mlim completes in."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


SCRIPTS = {
    Shell.bash: r"""_mlim() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($(mlim completion bash --line "$line" 2>/dev/null | cut -f1))
    # bash takes what is behind a `=` for a word of its own
    [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    [[ ${COMPREPLY[0]} == *= ]] || compopt -o filenames 2>/dev/null  # spaces are quoted
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _mlim mlim
""",
    Shell.zsh: r"""#compdef mlim
_mlim() {
    local line value
    local -a whole begun
    for line in "${(@f)$(mlim completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}"; do
        value="${line%%$'\t'*}"
        line="${${line//:/\\:}/$'\t'/:}"
        if [[ $value == *[=./] ]]; then begun+=("$line"); elif [[ -n $value ]]; then whole+=("$line"); fi
    done
    if [[ $PREFIX == '~'* ]] || (( $#whole + $#begun == 0 )); then _files; return; fi
    _describe mlim whole -- begun -S ''
}
if [[ $funcstack[1] == _mlim ]]; then _mlim "$@"; else compdef _mlim mlim; fi
""",
    Shell.fish: r"""function __mlim_offers
    mlim completion fish --line (commandline -cp | string collect) 2>/dev/null
end
complete -c mlim -f -a '(__mlim_offers)'
""",
}


def install(shell: Shell) -> tuple[Path, str]:
    """Write the script to where the shell looks for it: the file, and what else is to be done."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    file, more = {
        Shell.bash: (data / "bash-completion/completions/mlim", "open a new shell (needs the package bash-completion)"),
        Shell.zsh: (home / ".zfunc/_mlim", "put `fpath+=~/.zfunc` before `compinit` into ~/.zshrc, open a new shell"),
        Shell.fish: (config / "fish/completions/mlim.fish", "open a new shell"),
    }[shell]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SCRIPTS[shell])
    return file, more


def offers(command: Any, line: str) -> list[Offer]:
    """What may come next in a line; `command` is the whole tree of commands."""
    words, begun = _split(line)
    while words and hasattr(command, "commands"):
        command = command.commands.get(words.pop(0))
    if command is None:
        return []
    if hasattr(command, "commands"):
        found = [(name, each.get_short_help_str(80)) for name, each in command.commands.items()]
    elif begun.startswith("-") and "=" not in begun:
        found = [(option, p.help or "") for option, p in _options(command.params).items() if not p.hidden]
    else:
        before = begun[: begun.index("=") + 1] if begun.startswith("-") else ""  # --set=KEY
        asked = _options(command.params).get(before[:-1]) if before else _asked(command.params, words)
        values = _values(asked, _kinds(command, asked.name), begun.removeprefix(before)) if asked else []
        found = [(before + value, said) for value, said in values]
    return sorted(offer for offer in found if offer[0].startswith(begun))


def _split(line: str) -> tuple[list[str], str]:
    """The words behind `mlim`, and the one that is begun."""
    for end in ("", '"', "'"):  # a quote may still be open
        with suppress(ValueError):
            *words, begun = shlex.split(f"{line}.{end}")
            return words[1:], begun[:-1]
    return [], ""


def _options(params: Sequence[Any]) -> dict[str, Any]:
    return {name: p for p in params for name in (*p.opts, *p.secondary_opts) if p.param_type_name == "option"}


def _asked(params: Sequence[Any], words: Sequence[str]) -> Any:
    """The parameter whose value comes next, or None."""
    options = _options(params)
    arguments = [p for p in params if p.param_type_name == "argument"]
    waiting = None
    for word in words:
        if waiting:
            waiting = None
        elif word.startswith("-"):
            waiting = None if "=" in word or word not in options or options[word].is_flag else options[word]
        else:
            arguments = arguments[1:]
    return waiting or next(iter(arguments), None)


def _kinds(command: Any, name: str) -> list[Any]:
    """The types of a parameter's values, by the signature of the command's function."""

    def inner(annotation: Any) -> Iterator[Any]:
        if isinstance(annotation, type):
            yield annotation
        for each in get_args(annotation):
            yield from inner(each)

    return list(inner(signature(command.callback).parameters[name].annotation))


def _values(param: Any, kinds: Sequence[Any], begun: str) -> list[Offer]:
    if choices := [choice.value for kind in kinds if issubclass(kind, StrEnum) for choice in kind]:
        return [(choice, "") for choice in choices]
    if param.name == "sets":
        return [*_sets(begun)]
    if param.name in ("task", "columns"):
        return [(name, "") for name in (TASKS if param.name == "task" else (f"{role}=" for role in ROLES))]
    if Path not in kinds and param.name not in ("place", "picture"):
        return []
    only = (*RECIPES, "/") if param.metavar == "RECIPE" else ("",)
    return [(name, "") for name in _entries(begun) if name.endswith(only)]


def _sets(begun: str) -> Iterator[Offer]:
    """The keys of a recipe, one section deeper each time; behind `=` a key's values, if they are few."""
    from workbench.recipe.keys import children, values

    key, equals, _ = begun.partition("=")
    if equals:
        yield from ((f"{key}={value}", "") for value in values(key))
    else:
        yield from ((path + (".", "=")[not deeper], said) for path, said, deeper in children(key.rpartition(".")[0]))


def _entries(begun: str) -> Iterator[str]:
    """Files and folders that begin so, hidden ones only if that is asked."""
    folder, slash, start = begun.rpartition("/")
    try:
        entries = [*os.scandir(Path(f"{folder}{slash}" or ".").expanduser())]
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
            yield f"{folder}{slash}{entry.name}{'/' * entry.is_dir()}"
