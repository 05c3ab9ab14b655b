"""What is one simple command, held against bash and sh themselves."""

import random
import subprocess
from pathlib import Path

import pytest

from kimi_agent.guard.shell.simple_command import ComplexCommand, SimpleCommand, parse_simple_command

SIMPLE: dict[str, tuple[str, ...]] = {
    "git log": ("git", "log"),
    "  git   log  ": ("git", "log"),
    "git show HEAD~2 HEAD^": ("git", "show", "HEAD~2", "HEAD^"),
    "git commit -m 'fix: a (b); c && $d'": ("git", "commit", "-m", "fix: a (b); c && $d"),
    'git commit -m "Fix it!"': ("git", "commit", "-m", "Fix it!"),
    'git log --format="%h %s"': ("git", "log", "--format=%h %s"),
    "a 'b'\"c\"d": ("a", "bcd"),
    "printf '' \"\"": ("printf", "", ""),
    "./run.sh a=b c#d 1%": ("./run.sh", "a=b", "c#d", "1%"),
    "git add ทดสอบ.txt 日本語.md": ("git", "add", "ทดสอบ.txt", "日本語.md"),
    "grep '~/x' \"#y\"": ("grep", "~/x", "#y"),
}

COMPLEX = [
    "",
    "   ",
    *(f"git log{sep}touch p" for sep in (";", "&&", "||", "|", "|&", "&", "\n", "\r", "\r\n", " ; ", " & ")),
    "git log $(touch p)",
    "git log `touch p`",
    'git log "$(touch p)"',
    'git log "`touch p`"',
    "git log <(touch p)",
    "git log >(touch p)",
    "git log ${x@P}",
    "git log $((a[$(touch p)]))",
    'git log "${x}"',
    "git log $x",
    "git log <<EOF\n$(touch p)\nEOF",
    "git log <<< x",
    "gi\\\nt log",
    "git log \\--output=p",
    "git$IFS'log'",
    "git {log,x}",
    "git log *",
    "git log ?",
    "git log [a]",
    "git log ~/x",
    "git log --x=~/y",
    "git log a:~/y",
    "ls() { rm x; }",
    "alias git=rm",
    "function git { rm x; }",
    "PAGER=x git log",
    "A+=x git log",
    "A[0]=x git log",
    "git log > p",
    "git log >| p",
    "git log <> p",
    "git log &> p",
    "git log 2>&1",
    "git log > /dev/tcp/127.0.0.1/9",
    "git log # x",
    "# git log",
    "git log\x00",
    "git log\x1b[2J",
    "git log\tx",
    "git log\x7f",
    "git\u00a0log",
    "git log\u202e",
    "git log\u200b",
    "git log\u3164x",
    "git log\ufe0fx",
    "git log\U000e0041",
    "git log\ud800",
    "git log\u2028touch p",
    "git log“x”",
    "git log 'x",
    'git log "x',
    'git log "a\\"b"',
    "$'git' log",
    'git $"x"',
    "'git' log",
    'g""it log',
    "! git log",
    "if true",
    "time git log",
    "coproc git log",
    "{ git log",
    "[ -f x",
    "[[ -f x ]]",
    "(git log)",
    "git log" + " " * 2000 + "x",
    "git log " + "x" * 12_000,
    "%1",
    "!!",
]


@pytest.mark.parametrize(("text", "words"), SIMPLE.items())
def test_plain_words_are_read_exactly(text: str, words: tuple[str, ...]) -> None:
    assert parse_simple_command(text) == SimpleCommand(words)


@pytest.mark.parametrize("text", COMPLEX)
def test_anything_else_is_complex_and_says_why(text: str) -> None:
    match parse_simple_command(text):
        case ComplexCommand(why):
            assert why
        case SimpleCommand(words):
            # `alias git=rm` is a plain command by its form; that it defines something is the wrappers' business.
            assert words == ("alias", "git=rm")


@pytest.mark.parametrize("shell", ["bash --noprofile --norc -s", "sh -s"])
def test_bash_and_sh_agree_on_every_text_that_is_called_simple(shell: str, tmp_path: Path) -> None:
    pieces = ["a", "b-c", "x=1", "~", "#", "'", '"', "''", '""', "'q r'", '"s t"', " ", "  ", "\\", "$", "`", ";", "&"]
    pieces += [
        "|",
        "(",
        ")",
        "{",
        "}",
        ",",
        "..",
        "*",
        "?",
        "[",
        "]",
        "!",
        "^",
        "%",
        ":",
        "@",
        "+",
        "é",
        "<",
        ">",
        "=~",
    ]
    chance = random.Random(7)
    texts = {"".join(chance.choices(pieces, k=chance.randint(1, 7))) for _ in range(30_000)}
    simple = {text: parse_simple_command(f"echo {text}") for text in sorted(texts)}
    chosen = [(text, reading.words[1:]) for text, reading in simple.items() if isinstance(reading, SimpleCommand)]
    assert len(chosen) > 1_000
    script = "".join(f"printf '<%s>' {text}; printf '\\n'\n" for text, _ in chosen)
    ran = subprocess.run(shell.split(), input=script, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
    expected = ["".join(f"<{word}>" for word in words) if words else "<>" for _, words in chosen]
    assert ran.stdout.splitlines() == expected
    assert ran.stderr == ""
