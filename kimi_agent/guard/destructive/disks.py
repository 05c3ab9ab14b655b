"""Disks and the machine: commands that write over a whole disk, erase a volume, or stop everything that runs."""

import re
from collections.abc import Iterator, Sequence

from kimi_agent.guard.destructive.arguments import find_operands
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect
from kimi_agent.guard.shell.expansion import WordValue, expand_word
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWords, word_text

_DISK = re.compile(
    r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|r?disk|mapper/|md\d|dm-|loop|ram|k?mem\b|port\b|nbd|zd|sr\d|root\b|zvol/)"
)
_WRITERS = frozenset({"tee", "cp", "shred", "wipefs", "blkdiscard", "sgdisk", "parted", "fdisk", "sfdisk", "truncate"})
_FORMATTERS = ("mkfs", "newfs", "mke2fs", "mkswap")
_ERASERS = {
    "nvme": r"format|sanitize|delete-ns|write-zeroes|dsm",
    "cryptsetup": r"erase|luksErase|luksFormat|format|reencrypt",
    "hdparm": r"--security-erase(-enhanced)?|--trim-sector-ranges|--dco-restore",
    **dict.fromkeys(("zfs", "zpool"), r"destroy|labelclear"),
    **dict.fromkeys(("lvremove", "vgremove", "pvremove", "sg_format", "sg_sanitize"), r".*"),
    "lvm": r"lvremove|vgremove|pvremove",
    "mdadm": r"--zero-superblock",
    "badblocks": r"-[a-z]*w[a-z]*",
    "dmsetup": r"remove_all|wipe_table",
    "diskutil": r"(?i)erase\w*|partitionDisk|zeroDisk|randomDisk|secureErase|reformat",
}
"""By name: the word that makes it erase a disk or a volume."""
_STOPPING = {
    **dict.fromkeys(("reboot", "shutdown", "halt", "poweroff", "killall5"), r".*"),
    "systemctl": r"(reboot|poweroff|halt|kexec|rescue|emergency)\b.*",
    **dict.fromkeys(("init", "telinit"), r"[016]\b.*"),
    "kill": r".*(^| )-?1",
    **dict.fromkeys(("pkill", "killall"), r"(-[\w-]+ )*(-[uU]|--e?u(id|ser)) ?=?\S+"),
}
"""By name: the arguments with which it stops the machine, or all that the person runs."""
_OVER_A_DISK = ForbiddenEffect("it would write over a disk", certain=True)


def find_disk_effects(made: Invocation) -> Iterator[ForbiddenEffect]:
    """What one command would do to disks."""
    for redirect in made.redirects:
        if redirect.operator != "<" and _on_disk((redirect.target,), made):
            yield _OVER_A_DISK
    name, texts = made.name, [word_text(word) for word in made.args]
    if name in _STOPPING and re.fullmatch(_STOPPING[name], " ".join(texts)) and texts != ["-1"]:
        yield ForbiddenEffect("it would stop the machine, or all that runs on it", certain=False)
    if name in _ERASERS and any(re.fullmatch(_ERASERS[name], text) for text in texts) and "--help" not in texts:
        yield ForbiddenEffect("it would erase a disk or a volume", certain=True)
    elif name.startswith(_FORMATTERS):
        values = [value for word in find_operands(made.args) for value in expand_word(word, made.state)]
        if not values or any(value.has_unknown or value.text.startswith("/dev") for value in values):
            yield ForbiddenEffect("it would make a new file system over a disk", certain=True)
    elif name == "dd":
        found = [value.text for word in made.args for value in expand_word(word, made.state)]
        if any(text.startswith("of=") and _DISK.match(text[3:]) for text in found):
            yield _OVER_A_DISK
    elif name in _WRITERS:
        given = find_operands(made.args)
        if _on_disk(given[-1:] if name == "cp" else given, made):
            yield _OVER_A_DISK


def _on_disk(words: ShellWords, made: Invocation) -> bool:
    values: Sequence[WordValue] = [value for word in words for value in expand_word(word, made.state)]
    return any(_DISK.match(value.text) for value in values)
