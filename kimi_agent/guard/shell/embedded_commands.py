"""Finder of commands inside the arguments of other programs: `git -c alias.x='!...'`, `awk 'BEGIN{system("...")}'`.

For the programs whose language is known the commands are sure; in a string for any other program they are a guess.
Programs that only take their words as data (`echo`, `grep`, `git commit -m`) have none.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.launchers import SHELL_PROGRAMS, find_launcher
from kimi_agent.guard.shell.syntax.words import word_text, words_text

MAX_EMBEDDED = 40
MAX_EMBEDDED_CHARS = 20_000

EmbeddedCommand = tuple[str, bool]
"""A shell text, and whether it is sure that the program runs it."""

DATA_PROGRAMS = frozenset(
    {
        "echo",
        "printf",
        "cat",
        "grep",
        "egrep",
        "fgrep",
        "rg",
        "ag",
        "ack",
        "ls",
        "wc",
        "head",
        "tail",
        "sort",
        "uniq",
        "cut",
    }
    | {
        "tr",
        "diff",
        "cmp",
        "comm",
        "stat",
        "file",
        "du",
        "df",
        "jq",
        "yq",
        "test",
        "[",
        "true",
        "false",
        ":",
        "cd",
        "mkdir",
    }
    | {
        "touch",
        "rm",
        "cp",
        "mv",
        "ln",
        "tee",
        "which",
        "type",
        "man",
        "gh",
        "glab",
        "say",
        "notify-send",
        "logger",
        "export",
    }
    | {
        "declare",
        "local",
        "readonly",
        "typeset",
        "unset",
        "read",
        "set",
        "shift",
        "return",
        "exit",
        "pushd",
        "popd",
        "kill",
    }
    | {
        "basename",
        "dirname",
        "realpath",
        "readlink",
        "date",
        "sleep",
        "seq",
        "column",
        "fold",
        "fmt",
        "pr",
        "nl",
        "rev",
    }
    | {
        "chmod",
        "chown",
        "chgrp",
        "install",
        "rmdir",
        "curl",
        "wget",
        "http",
        "psql",
        "mysql",
        "sqlite3",
        "trap",
        "eval",
    }
    | {
        "alias",
        "source",
        ".",
        "code",
        "open",
        "xdg-open",
        "pgrep",
        "pidof",
        "strings",
        "od",
        "xxd",
        "hexdump",
        "fd",
        "find",
    }
)
"""Programs that run none of their words, or whose commands the walk finds by itself."""

_SUBSCRIPT_READERS = frozenset(
    {"test", "[", "unset", "read", "printf", "let", "declare", "typeset", "local", "export", "readonly", "wait"}
)
"""Commands of the shell's own that take the name of a variable, with its subscript."""
_STDIN_SHELLS = frozenset({"at", "batch", "newgrp"})
_DECODERS = frozenset({"base64", "base32", "xxd", "openssl", "gpg", "uudecode", "gunzip", "zcat", "rev", "tr"})
_INTERPRETERS = re.compile(
    r"(g|m|n)?awk|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*|lua[\d.]*|tclsh"
)
_CODE_OPTION = re.compile(r"-[a-zA-Z]*[ceErp]|--eval|--execute|--print|eval")
_RUNNING_CODE = re.compile(
    r"\b(system|exec\w*|popen\w*|Popen|spawn\w*|qx|passthru|shell_exec|proc_open|check_call|check_output|call|run|getline)\b|`|\||%x"
)
_STRINGS = re.compile(
    r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|`([^`]*)`|\b(?:qx|q|qq)\s*[{(/|!]([^})/|!]*)[})/|!]|%x[{(]([^})]*)[})]",
    re.DOTALL,
)
_EDITORS = frozenset({"vi", "vim", "nvim", "ex", "view", "gvim", "vimdiff"})
_EDITOR_RUN = re.compile(r"(?:^|[:|\n]|\b[rw] ?)\s*(?:silent!? *)?!(.*)|\bsystem(?:list)?\((.*)\)", re.DOTALL)
_MAKES = frozenset({"make", "gmake", "bmake"})
_RECIPE = re.compile(r"(?m)^(?:\t|[^#\n:=]*:[^=\n;]*;)\s*[@+-]*(.*)$|\$\(shell ((?:[^()]|\([^()]*\))*)\)|!=(.*)$")
_GIT_RUNS = re.compile(
    r"(?i)(?:core\.(?:pager|editor|fsmonitor|sshcommand|askpass)|sequence\.editor|pager\.\w+|diff\.\w+|gpg\.program"
    r"|.*\.(?:textconv|command|cmd|driver|clean|smudge|process|helper|program))=(.*)"
)
_GIT_OPTIONS = re.compile(r"-x|--exec|--extcmd|--(?:tree|index|msg|env|commit|parent|tag-name)-filter")
_TAR_OPTION = re.compile(
    r"--(?:checkpoint-action=exec|to-command|use-compress-program|rsh-command|info-script)=(.*)|-I(.+)"
)
_HARMFUL = re.compile(
    r"(?<![\w./-])(?:[\w./]*/)?(?:sudo\s+)?(?:rm|shred|find|chmod|chown|truncate|mkfs[\w.]*|dd|wipefs|unlink|rimraf|mv)\s[^\"'`\n;|&)]*"
)


def has_run_subscript(word: str) -> bool:
    """Whether a word holds a subscript with a substitution, which bash runs even quoted: `test -v 'a[$(x)]'`."""
    return re.search(r"\w\[.*(\$\(|`)", word, re.DOTALL) is not None


def is_fed_by_decoder(made: Invocation) -> bool:
    """Whether a shell is handed a text that another program makes of the one that stands there."""
    return made.name in SHELL_PROGRAMS and any(feeder.name in _DECODERS for feeder in made.fed)


def find_shell_texts(name: str, made: Invocation) -> Iterator[str]:
    """Texts that a shell, `eval` or `trap` will read as commands."""
    texts = [word_text(word) for word in made.args]
    if name == "eval":
        yield " ".join(texts[1:] if texts[:1] == ["--"] else texts)
    elif name == "trap":
        yield from texts[:1]
    elif name == "alias":
        yield from (text.partition("=")[2] for text in texts)
    elif name in SHELL_PROGRAMS | _STDIN_SHELLS | {"source", "."}:
        at = next((i for i, text in enumerate(texts) if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", text)), None)
        script = any(text and text[0] not in "-+" for text in texts) and name in SHELL_PROGRAMS
        if at is not None and name in SHELL_PROGRAMS:
            yield from texts[at + 1 : at + 3]
            return
        if not script or any(re.fullmatch(r"-[a-z]*s[a-z]*|/dev/(stdin|fd/0)", text) for text in texts):
            yield from map(word_text, made.documents)
            for feeder in made.fed:
                yield from _printed(feeder)
        texts += [word_text(redirect.target) for redirect in made.redirects if redirect.operator == "<"]
        for feeder in made.substituted if any("${_}" in text for text in texts) else ():
            yield from _printed(feeder)


def _printed(feeder: Invocation) -> Iterator[str]:
    """What a command may write into a pipe, as far as it stands in the text: its words and documents."""
    yield from dict.fromkeys((*map(word_text, feeder.args), words_text(feeder.args), *map(word_text, feeder.documents)))


def find_embedded_commands(name: str, made: Invocation) -> Iterator[EmbeddedCommand]:
    """The shell texts that the program `name` is given and runs, or may run."""
    return islice(_found(name, [word_text(word) for word in made.args], made), MAX_EMBEDDED)


def _found(name: str, texts: Sequence[str], made: Invocation) -> Iterator[EmbeddedCommand]:
    documents = [word_text(word) for word in made.documents]
    for feeder in made.fed:
        documents += [word_text(word) for word in (*feeder.args, *feeder.documents)]
    if name in _SUBSCRIPT_READERS:
        yield from ((f": {text}", True) for text in texts if has_run_subscript(text))
    if _INTERPRETERS.fullmatch(name):
        yield from _of_interpreter(name, texts, documents)
    elif name in _MAKES:
        yield from _of_make(texts, documents)
    elif name == "git":
        yield from _of_git(texts)
    elif name in _EDITORS:
        for text in texts:
            yield from ((match[1] or match[2], True) for match in _EDITOR_RUN.finditer(text.removeprefix("+")))
    elif name in {"sed", "gsed"}:
        yield from ((match[1], True) for text in texts for match in re.finditer(r"(?:^|[;{\n])[\d$,/ ]*e (.*)", text))
    elif name in {"tar", "gtar", "bsdtar"}:
        found = (match for text in texts if (match := _TAR_OPTION.match(text)))
        yield from ((match[1] or match[2], True) for match in found)
    elif name not in DATA_PROGRAMS | SHELL_PROGRAMS and not (name and find_launcher([name, *texts])):
        for text in texts:
            if re.search(r"\s", text):
                yield from _guessed(text)


def _guessed(text: str) -> Iterator[EmbeddedCommand]:
    """What in a string may be a command: all of it, strings in it, and what begins with the name of a remover."""
    if len(text) > MAX_EMBEDDED_CHARS or not _HARMFUL.search(text):
        return
    yield text, False
    for match in _STRINGS.finditer(text):
        yield next((group for group in match.groups() if group), ""), False
    yield from ((match[0], False) for match in _HARMFUL.finditer(text))


def _of_interpreter(name: str, texts: Sequence[str], documents: Sequence[str]) -> Iterator[EmbeddedCommand]:
    """The strings in code that is given on the command line or by a pipe."""
    is_awk = name.endswith("awk")
    codes = [text for at, text in enumerate(texts) if is_awk or (at and _CODE_OPTION.fullmatch(texts[at - 1]))]
    if not codes and not any(text and text[0] != "-" for text in texts):
        codes = list(documents)
    for code in codes:
        runs = bool(_RUNNING_CODE.search(code))
        for match in _STRINGS.finditer(code[:MAX_EMBEDDED_CHARS]):
            text = next((group for group in match.groups() if group), "")
            if re.search(r"\S", text) and (runs or _HARMFUL.search(text)):
                yield text, runs


def _of_make(texts: Sequence[str], documents: Sequence[str]) -> Iterator[EmbeddedCommand]:
    """The recipes of a makefile that comes by a pipe or a here-document, and what --eval says."""
    read = [text for at, text in enumerate(texts) if at and texts[at - 1] == "--eval"]
    read += [text.partition("=")[2] for text in texts if re.match(r"--eval=", text)]
    if any(re.fullmatch(r"-[a-zA-Z]*f-?|--(?:make)?file(?:=-)?|-|/dev/stdin|/dev/fd/0", text) for text in texts):
        read += documents
    read += [text for text in texts if "$(shell" in text]
    for text in read:
        for match in _RECIPE.finditer(text[:MAX_EMBEDDED_CHARS].replace("\\n", "\n").replace("\\t", "\t")):
            yield next((group for group in match.groups() if group), "").replace("$$", "$"), True


def _of_git(texts: Sequence[str]) -> Iterator[EmbeddedCommand]:
    """Aliases and programs that `-c` sets for this run, and the commands of bisect, foreach, rebase and filters."""
    for at, text in enumerate(texts):
        setting = texts[at + 1] if text == "-c" and at + 1 < len(texts) else text.removeprefix("-c")
        if text.startswith("-c") and (alias := re.match(r"alias\.[\w.-]+=(.*)", setting, re.DOTALL)):
            command = alias[1]
            yield command[1:] if command.startswith("!") else f"git {command}", True
        elif text.startswith("-c") and (program := _GIT_RUNS.match(setting)):
            yield program[1].removeprefix("!"), True
        elif _GIT_OPTIONS.fullmatch(text) and at + 1 < len(texts):
            yield texts[at + 1], True
        elif match := re.match(r"--(?:exec|extcmd|upload-pack|receive-pack|open-files-in-pager)=(.*)", text):
            yield match[1], True
    for one, other in (("submodule", "foreach"), ("bisect", "run")):
        if one in texts and other in texts[texts.index(one) :]:
            yield " ".join(texts[texts.index(other) + 1 :]), True
