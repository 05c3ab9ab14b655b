"""Table of options and names with more than one spelling, for deny rules: `rm -r -f` is `rm --recursive --force`."""

import re
from collections.abc import Iterator, Sequence

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "rm": ("-r -R --recursive", "-f --force", "-i --interactive", "-d --dir", "-v --verbose"),
    "cp": ("-r -R --recursive", "-f --force", "-a --archive", "-l --link", "-s --symbolic-link"),
    "mv": ("-f --force", "-n --no-clobber"),
    "ln": ("-s --symbolic", "-f --force"),
    **dict.fromkeys(("chmod", "chown", "chgrp"), ("-R --recursive", "-v --verbose")),
    "mkdir": ("-p --parents", "-m --mode"),
    "sed": ("-i --in-place", "-e --expression", "-f --file"),
    "tar": (
        "-x --extract --get",
        "-c --create",
        "-f --file",
        "-C --directory",
        "-P --absolute-names",
        "-I --use-compress-program",
    ),
    "curl": (
        "-o --output",
        "-O --remote-name",
        "-k --insecure",
        "-d --data --data-ascii",
        "-X --request",
        "-T --upload-file",
        "-K --config",
        "-F --form",
        "-L --location",
        "-u --user",
        "-x --proxy",
    ),
    "wget": ("-O --output-document", "-P --directory-prefix", "-i --input-file", "-e --execute", "-r --recursive"),
    "rsync": ("-e --rsh", "-a --archive", "-r --recursive"),
    "sudo": ("-u --user", "-s --shell", "-i --login", "-E --preserve-env"),
    "kill": ("-9 -KILL -SIGKILL",),
    "pkill": ("-9 -KILL -SIGKILL --signal", "-f --full"),
    "make": ("-f --file --makefile", "-C --directory", "-j --jobs"),
    "python": ("-m", "-c"),
    "git": ("-C", "-c", "-p --paginate"),
    "git add": ("-A --all --no-ignore-removal", "-f --force", "-p --patch", "-u --update"),
    "git branch": ("-d --delete", "-f --force", "-m --move", "-c --copy", "-r --remotes", "-a --all"),
    "git checkout": ("-f --force", "-q --quiet"),
    "git clean": ("-f --force", "-n --dry-run", "-i --interactive"),
    "git commit": ("-n --no-verify", "-a --all", "-m --message", "-F --file", "-s --signoff", "-S --gpg-sign"),
    "git config": ("--global", "-e --edit", "-l --list"),
    "git fetch": ("-f --force", "-p --prune", "-a --append"),
    "git merge": ("-s --strategy", "-m"),
    "git pull": ("-f --force", "-r --rebase"),
    "git push": ("-f --force +", "-d --delete", "-n --dry-run", "-u --set-upstream", "-o --push-option", "--mirror"),
    "git rebase": ("-i --interactive", "-x --exec", "-f --force-rebase --no-ff"),
    "git reset": ("-q --quiet", "-p --patch"),
    "git rm": ("-f --force", "-n --dry-run"),
    "git stash": ("-u --include-untracked", "-a --all"),
    "git switch": ("-f --force --discard-changes", "-c --create", "-C --force-create", "-d --detach"),
    "git tag": ("-d --delete", "-f --force", "-s --sign", "-a --annotate"),
    "git worktree": ("-f --force",),
    **dict.fromkeys(
        ("npm", "pnpm", "yarn"),
        ("-g --global --location=global", "-D --save-dev", "-f --force", "-E --save-exact", "-w --workspace"),
    ),
    **dict.fromkeys(
        ("pip", "pip3", "uv"),
        (
            "-e --editable",
            "-U --upgrade",
            "-y --yes",
            "-r --requirement",
            "-t --target",
            "-i --index-url --default-index",
        ),
    ),
    **dict.fromkeys(
        ("docker", "podman"),
        (
            "-v --volume",
            "-f --force --file",
            "-d --detach",
            "-e --env",
            "-u --user",
            "-p --publish",
            "-i --interactive",
            "-t --tty",
            "-a --all",
        ),
    ),
    "kubectl": ("-f --filename", "-n --namespace", "-A --all-namespaces"),
    **dict.fromkeys(("apt", "apt-get"), ("-y --yes --assume-yes",)),
    "cargo": ("-p --package", "-Z"),
    "gh": ("-R --repo",),
}
_COMBINED = {
    "git branch": {"-D": ("-d", "-f"), "-M": ("-m", "-f"), "-C": ("-c", "-f")},
    "git checkout": {"-B": ("-b", "-f")},
    "cp": {"-a": ("-r", "-a")},
}
"""Options that are others together."""


def find_spellings(option: str, commands: Sequence[str]) -> Iterator[str]:
    """All spellings of an option of a command that is called by any of the names `commands` (`git`, `git push`)."""
    yield option
    for command in commands:
        for row in _SPELLINGS.get(command, ()):
            spellings = row.split()
            if option in spellings:
                yield from spellings


def split_combined(option: str, commands: Sequence[str]) -> tuple[str, ...]:
    """The options that one is together: `git branch -D` is `-d -f`; itself where it is one."""
    return next((parts for command in commands if (parts := _COMBINED.get(command, {}).get(option))), (option,))


_NPM = {
    **dict.fromkeys(("i", "in", "ins", "inst", "insta", "instal", "isnt", "isntall", "add"), "install"),
    **dict.fromkeys(("un", "unlink", "remove", "rm", "r"), "uninstall"),
    **dict.fromkeys(("t", "tst"), "test"),
    "run-script": "run",
    "rum": "run",
    "urn": "run",
    **dict.fromkeys(("pub", "publ", "publi", "publis"), "publish"),  # npm takes any beginning that is one command's
    **dict.fromkeys(("unp", "unpu", "unpub", "unpubl", "unpubli", "unpublis"), "unpublish"),
    "x": "exec",
    "c": "config",
    "up": "update",
    "upgrade": "update",
}
_SUBCOMMANDS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("npm", "pnpm"), _NPM),
    "cargo": {"b": "build", "c": "check", "t": "test", "r": "run", "rm": "remove"},
    "svn": {"ci": "commit", "co": "checkout", "del": "delete", "rm": "delete", "up": "update"},
    "hg": {"ci": "commit", "co": "update", "up": "update"},
}


def full_subcommand(program: str, word: str) -> str:
    """The long name of a subcommand that the program knows by shorter ones too: `npm i` is `npm install`."""
    return _SUBCOMMANDS.get(program.casefold(), {}).get(word, word)


_VERSIONED = re.compile(r"(pip|python)[\d.]+")
_PROGRAMS = {"gmake": "make", "nodejs": "node"}
_OF_DOCKER = {"container": (), "image": ("push", "pull", "build")}
"""Words behind `docker` that may be left out: in front of any command (), or of these."""


def common_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command under the name that it is known by: `pip3 install` is `pip install`, `docker-compose` two words."""
    name = words[0].rpartition("/")[2].casefold().removesuffix(".exe")
    if match := _VERSIONED.fullmatch(name):
        return (match[1], *words[1:])
    if name in _PROGRAMS:
        return (_PROGRAMS[name], *words[1:])
    if name == "docker-compose":
        return ("docker", "compose", *words[1:])
    if name.startswith("git-"):
        return ("git", name.removeprefix("git-"), *words[1:])
    if name in {"docker", "podman"} and len(words) > 2 and words[1] in _OF_DOCKER:
        followers = _OF_DOCKER[words[1]]
        return (name, *words[2:]) if not followers or words[2] in followers else words
    return words
