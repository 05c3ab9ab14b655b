"""Arguments of a command as the checks for harm read them: operands, options and plain texts."""

import re
from collections.abc import Sequence

from kimi_agent.guard.shell.expansion import ShellState, expand_word, unescape_pattern
from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords, word_text


def find_operands(args: ShellWords) -> ShellWords:
    """Arguments that are not options; GNU tools take options after operands too, up to `--`."""
    texts = [word_text(word) for word in args]
    end = texts.index("--") if "--" in texts else len(args)
    before = tuple(word for word, text in zip(args[:end], texts, strict=False) if not re.match(r"-.", text))
    return before + args[end + 1 :]


def is_recursive(args: ShellWords, state: ShellState, letters: str = "rR") -> bool:
    """Whether an option asks for the whole tree, or an unquoted expansion may."""
    for word in args:
        if word_text(word) == "--":
            break
        for value in expand_word(word, state):
            text = value.text
            long = len(text) > 2 and text.startswith("--") and "--recursive".startswith(text)
            if long or re.match(rf"-[A-Za-z]*[{letters}]", text):
                return True
    return False


def has_open_options(args: ShellWords) -> bool:
    """Whether a whole word is an unquoted expansion, which may bring options."""
    return any(len(word) == 1 and word[0].kind != "text" and not word[0].quoted for word in args)


def plain_texts(word: ShellWord, state: ShellState) -> list[str]:
    """What `word` may be, as plain texts; "" for what only the run shows."""
    return ["" if each.has_unknown else unescape_pattern(each.text) for each in expand_word(word, state)]


def plain_text(word: ShellWord, state: ShellState) -> str:
    """The first of what `word` may be; "" for what only the run shows."""
    return plain_texts(word, state)[0]


def find_option_value(texts: Sequence[str], *names: str) -> str:
    """The value of the first of the options `names` (`-t x`, `--to x`, `--to=x`); "" where there is none."""
    for at, text in enumerate(texts):
        if text in names:
            return texts[at + 1] if at + 1 < len(texts) else ""
        if any(name.startswith("--") and text.startswith(f"{name}=") for name in names):
            return text.partition("=")[2]
    return ""
