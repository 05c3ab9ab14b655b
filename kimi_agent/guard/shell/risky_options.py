"""A table of risky options: they let a command that looks like reading run or write something else.

For example `find -exec`, `rg --pre`. A rule that allows `find` does not allow them: it has to name the option
itself.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kimi_agent.guard.shell.launchers import find_launched_index, program_name


@dataclass(frozen=True)
class RiskyOptions:
    """`short` are letters that count in any cluster (`-xo`), `long` options count with their abbreviations too.

    `words` fits whole words that are neither.
    """

    short: str = ""
    long: str = ""
    words: str = ""


_INTERPRETER = RiskyOptions(short="ceEmrip", long="eval exec print require import run module")
_INTERPRETERS = frozenset({"python", "perl", "ruby", "node", "php", "lua", "deno", "bun"})
_TABLE = {
    "find": RiskyOptions(words=r"-(exec|execdir|ok|okdir|delete|fprint\w*|fls|files0-from)"),
    **dict.fromkeys(("fd", "fdfind"), RiskyOptions(short="xX", long="exec exec-batch")),
    "rg": RiskyOptions(short="z", long="pre hostname-bin search-zip"),
    "ag": RiskyOptions(short="z", long="search-zip pager"),
    "sort": RiskyOptions(short="oST", long="output compress-program temporary-directory files0-from"),
    "man": RiskyOptions(short="PHCMp", long="pager html config-file manpath preprocessor"),
    "file": RiskyOptions(short="mCzZSpf", long="magic-file compile uncompress no-sandbox files-from"),
    **dict.fromkeys(("base64", "shuf"), RiskyOptions(short="o", long="output")),
    "less": RiskyOptions(short="oOkT", long="log-file LOG-FILE lesskey-file lesskey-src tag-file", words=r"\+.*"),
    "tree": RiskyOptions(short="oR"),
    "split": RiskyOptions(long="filter"),
    "xxd": RiskyOptions(short="r"),
    "yq": RiskyOptions(short="i", long="inplace in-place"),
    "date": RiskyOptions(short="s", long="set"),
    "tar": RiskyOptions(
        short="IFPCgT",
        long="checkpoint-action to-command use-compress-program info-script new-volume-script "
        "rsh-command rmt-command absolute-names directory remove-files index-file files-from",
        words=r"[A-Za-z]*[IFPCgT][A-Za-z]*",
    ),
    "zip": RiskyOptions(short="TmO", long="unzip-command test move output-file"),
    "rsync": RiskyOptions(short="eM", long="rsh rsync-path remote-option daemon delete remove-source-files"),
    "scp": RiskyOptions(short="SoFD"),
    "sftp": RiskyOptions(short="SoFDbB"),
    "curl": RiskyOptions(
        short="oOKTdFxEuDcbX",
        long="output remote-name config upload-file data form proxy cert dump-header cookie-jar trace "
        "json request url engine libcurl stderr etag-save hsts",
    ),
    "wget": RiskyOptions(
        short="OoaeiPx",
        long="output-document output-file append-output execute input-file directory-prefix post-file "
        "post-data body-file use-askpass config warc-file rejected-log",
    ),
    "git": RiskyOptions(
        short="cCoOxu",
        long="config-env exec-path git-dir work-tree output output-directory ext-diff textconv "
        "upload-pack receive-pack exec open-files-in-pager show-signature template paginate "
        "separate-git-dir namespace super-prefix attr-source to-cmd cc-cmd smtp-server run extcmd "
        "gpg-sign tool filters no-index recurse-submodules exec-batch",
        words=r"config|bisect|submodule|filter-branch|hook|difftool|mergetool|instaweb|daemon|send-email|credential.*"
        r"|web--browse|remote-ext|remote-fd|upload-pack|receive-pack|shell|replace|ext::.*",
    ),
    "go": RiskyOptions(words=r"--?(toolexec|exec|vettool|overlay|modfile|ldflags|gcflags|asmflags|o|C)(=.*)?"),
    "cargo": RiskyOptions(long="config manifest-path target-dir"),
    "make": RiskyOptions(
        short="fCIEo", long="file makefile directory eval include-dir", words=r"[A-Za-z_]\w*[:+?!]*=.*"
    ),
    "pytest": RiskyOptions(short="pco", long="rootdir override-ini basetemp confcutdir junit-xml config-file"),
    "ruff": RiskyOptions(long="config output-file"),
    "mypy": RiskyOptions(long="config-file python-executable install-types junit-xml cache-dir"),
    "tcpdump": RiskyOptions(short="zwWG"),
}
_ALIASES = {"gsort": "sort", "gtar": "tar", "bsdtar": "tar", "gfind": "find", "nodejs": "node", "gmake": "make"}
_AWKS = frozenset({"awk", "gawk", "mawk", "nawk"})
_SED_SAFE = re.compile(
    r"(?:[0-9$]{0,9}(?:,[0-9$+~]{1,9})?!?[pdq=]|s([/|,#:])(?:(?!\1)[^\\\n]|\\[^\n])*\1(?:(?!\1)[^\\\n]|\\[^\n])*\1[gpiI0-9]*)"
)


def find_risky_options(words: tuple[str, ...]) -> list[str]:
    """The words of a simple command by which it may run or write what its name does not say."""
    at = find_launched_index(words)
    if at >= len(words):
        return []
    name = program_name(words[at])
    name = _ALIASES.get(name, re.sub(r"[\d.]+$", "", name) if name.startswith(("python", "lua", "perl")) else name)
    args = words[at + 1 :]
    if name in _INTERPRETERS:
        return _of_interpreter(args)
    if name in {"sed", "gsed"}:
        return list(_sed(args))
    if name in _AWKS:
        return [word for word in args if _awk_acts(word)]
    return [word for word in args if name in _TABLE and _is_risky(word, _TABLE[name])]


def _of_interpreter(args: tuple[str, ...]) -> list[str]:
    """Options before the script (those behind it are its own); a module of `-m` is judged as a command."""
    script = next((at for at, word in enumerate(args) if not word.startswith("-")), len(args))
    found = [word for word in args[:script] if _is_risky(word, _INTERPRETER)]
    return found + (find_risky_options(args[script:]) if script and args[script - 1] == "-m" else [])


def _is_risky(word: str, risky: RiskyOptions) -> bool:
    if risky.words and re.fullmatch(risky.words, word, re.DOTALL):
        return True
    if word.startswith("--"):
        given = word[2:].partition("=")[0]
        return bool(given) and any(long.startswith(given) or given.startswith(long) for long in risky.long.split())
    return word.startswith("-") and any(letter in word[1:] for letter in risky.short)


def _awk_acts(word: str) -> bool:
    return bool(re.search(r"system|getline|[|>@]|close\s*\(", word) or re.match(r"-(?!F|v)|--", word))


def _sed(args: tuple[str, ...]) -> Iterator[str]:
    """What is not surely a script that only prints and substitutes, or an option that only reads."""
    scripts = 0
    expected = False
    for word in args:
        if expected or (not word.startswith("-") and scripts == 0):
            scripts, expected = scripts + 1, False
            if not _SED_SAFE.fullmatch(word):
                yield word
        elif word in {"-e", "--expression"}:
            expected = True
        elif word.startswith("-") and word not in {"-n", "-E", "-r", "-u", "-z", "--quiet", "--silent", "--posix"}:
            yield word
