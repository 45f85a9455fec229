"""How each shell spells what can be typed: one writer for each, from the same table.

The scripts are static: nothing of ours runs while somebody types. Words of ours hold no quotes but in
descriptions, which are quoted as each shell wants it. Tests run three of them in their shells; of the one for
PowerShell they hold the form alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foundry_rest.cli.completion import Place, Word

_HEAD = "# Completion of foundry-rest for {name}; made by: foundry-rest completion {name}\n"

#: bash and zsh ask the same: what is known of the option before the word, else of the command.
_BASH = """\
_foundry_rest() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} place= kind= words=
    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    (( COMP_CWORD > 1 )) && place=${{COMP_WORDS[1]}}
    case "$place ${{COMP_WORDS[2]-}}" in
        {nested}) (( COMP_CWORD > 2 )) && place="$place ${{COMP_WORDS[2]}}" ;;
    esac
    case "$place|$prev" in
{after_options}
        *) case "$place" in
{after_commands}
        esac ;;
    esac
    [[ $kind == options && $cur != -* ]] && words=
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ $kind == value ]] || [[ $kind == word && ${{#COMPREPLY[@]}} == 0 ]]; then
        compopt +o default 2>/dev/null
    fi
}}
complete -o default -F _foundry_rest foundry-rest
"""
_ZSH = """\
#compdef foundry-rest
_foundry_rest() {{
    local cur=$words[CURRENT] prev=$words[CURRENT-1] place= kind=
    local -a found
    (( CURRENT > 2 )) && place=$words[2]
    case "$place ${{words[3]-}}" in
        {nested}) (( CURRENT > 3 )) && place="$place $words[3]" ;;
    esac
    case "$place|$prev" in
{after_options}
        *) case "$place" in
{after_commands}
        esac ;;
    esac
    [[ $kind == options && $cur != -* ]] && found=()
    (( ${{#found}} )) && _describe foundry-rest found
    [[ $kind == files || $kind == options ]] && _files
    return 0
}}
if [[ $funcstack[1] == _foundry_rest ]]; then
    _foundry_rest "$@"
else
    compdef _foundry_rest foundry-rest
fi
"""
_FISH = """\
function __foundry_rest_at
    set -l typed (commandline -opc)
    test (count $typed) -gt (count $argv)
    or return 1
    test (count $argv) -eq 0
    and test (count $typed) -eq 1
    and return 0
    test (count $argv) -gt 0
    or return 1
    set -l last (math (count $argv) + 1)
    test "$typed[2..$last]" = "$argv"
end
complete -c foundry-rest -f
"""
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName foundry-rest -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $table = @{{
{table}
    }}
    $typed = @($commandAst.CommandElements |
        Where-Object {{ $_.Extent.EndOffset -lt $cursorPosition }} | ForEach-Object {{ $_.ToString() }})
    $place = ''
    if ($typed.Count -gt 1 -and $table.ContainsKey($typed[1])) {{ $place = $typed[1] }}
    $inner = "$place $($typed[2])"
    if ($typed.Count -gt 2 -and $table.ContainsKey($inner)) {{ $place = $inner }}
    $after = "$place|$($typed[-1])"
    if ($table.ContainsKey($after)) {{ $words = $table[$after] }} else {{ $words = $table[$place] }}
    $words | Where-Object {{ $_[0] -like "$wordToComplete*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
    }}
}}
"""


def bash(places: Sequence[Place]) -> str:
    """Return the script for bash."""
    return _HEAD.format(name="bash") + _cases(places, _BASH, _bash_words)


def zsh(places: Sequence[Place]) -> str:
    """Return the script for zsh, which is a file of ``fpath``, too."""
    script = _cases(places, _ZSH, _zsh_words)
    first, _, rest = script.partition("\n")  # #compdef must be the first line
    return f"{first}\n{_HEAD.format(name='zsh')}{rest}"


def fish(places: Sequence[Place]) -> str:
    """Return the script for fish."""
    lines = []
    for place in places:
        at = f"complete -c foundry-rest -n {_quoted(f'__foundry_rest_at {place.name}'.rstrip())}"
        first = f"{at} -n 'test (count (commandline -opc)) -eq {len(place.path) + 1}'"
        lines += [f"{first} -a {_quoted(name)} -d {_quoted(text)}" for name, text in place.commands.items()]
        lines += [f"{at} -a {_quoted(value)}" for value in place.values if value not in place.commands]
        lines += [f"{at} -F"] * place.takes_files
        lines += [f"{at} {_fish_option(word)}" for word in place.options]
    return _HEAD.format(name="fish") + _FISH + "\n".join(lines) + "\n"


def powershell(places: Sequence[Place]) -> str:
    """Return the script for PowerShell, which offers files itself where a script offers nothing."""
    rows = []
    for place in places:
        words = [(value, place.commands.get(value) or value) for value in place.values]
        words += [(flag, word.text) for word in place.options for flag in word.flags]
        rows.append(_row(place.name, words))
        for word in place.options:
            if word.has_value:
                rows += [_row(f"{place.name}|{flag}", [(c, c) for c in word.choices]) for flag in word.flags]
    return _HEAD.format(name="powershell") + _POWERSHELL.format(table="\n".join(rows))


WRITERS: dict[str, Callable[[Sequence[Place]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
    "powershell": powershell,
}


# ---------------------------------------------------------------- bash and zsh


def _cases(places: Sequence[Place], script: str, spell: Callable[[Sequence[tuple[str, str]]], str]) -> str:
    """Return a script in which words are spelt in a shell's way: (word, what it does)."""
    after_options, after_commands = [], []
    for place in places:
        for word in place.options:
            if word.has_value:
                pattern = "|".join(f"'{place.name}|{flag}'" for flag in word.flags)
                kind = "word" if word.choices else "files" if word.is_file else "value"
                offered = spell([(choice, "") for choice in word.choices])
                after_options.append(f"        {pattern}) kind={kind}{offered} ;;")
        words = [(value, place.commands.get(value, "")) for value in place.values]
        flags = [(flag, word.text) for word in place.options for flag in word.flags]
        kind = "files" if place.takes_files else "word" if words else "options"
        after_commands.append(f"            '{place.name}') kind={kind}{spell([*words, *flags])} ;;")
    return script.format(
        nested="|".join(f"'{place.name}'" for place in places if len(place.path) > 1),
        after_options="\n".join(after_options),
        after_commands="\n".join(after_commands),
    )


def _bash_words(words: Sequence[tuple[str, str]]) -> str:
    return f" words='{' '.join(word for word, _ in words)}'" if words else ""


def _zsh_words(words: Sequence[tuple[str, str]]) -> str:
    spelt = (_quoted(f"{word}:{text}" if text else word) for word, text in words)
    return f" found=({' '.join(spelt)})" if words else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "'\\''") + "'"


# ---------------------------------------------------------------- fish and PowerShell


def _fish_option(word: Word) -> str:
    names = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in word.flags]
    if word.has_value:
        names.append("-r -F" if word.is_file else "-x")
    if word.choices:
        names.append(f"-a {_quoted(' '.join(word.choices))}")
    return f"{' '.join(names)} -d {_quoted(word.text)}"


def _row(name: str, words: Sequence[tuple[str, str]]) -> str:
    """Return the row of a table in PowerShell; the comma keeps one pair from being taken apart."""
    pairs = " ".join(f",@({_doubled(word)}, {_doubled(text)});" for word, text in words)
    return f"        {_doubled(name)} = @({pairs})"


def _doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
