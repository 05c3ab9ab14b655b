"""Attacks by shell commands that run: rules that an option slips through, catastrophes, names made at run time."""

from tests.attacks.attack_case import CANARY, Case
from tests.attacks.cases_of_rules import shell
from tests.attacks.judging import Place, write_tree

HOME = ("{home}/precious.txt",)
EVIL = "#!/bin/sh\ntouch '{workspace}/MARK'\n"


def with_evil(place: Place) -> None:
    """A script that leaves a mark, and projects here and outside whose tests run it."""
    write_tree(place.workspace, {"evil.sh": place.filled(EVIL), "Makefile": "all:\n\t@echo $(X)\n"})
    (place.workspace / "evil.sh").chmod(0o755)
    mark = place.workspace / "MARK"
    conftest, makefile = f"open('{mark}', 'w').close()\n", f"all:\n\ttouch '{mark}'\n"
    write_tree(place.outside, {"conftest.py": conftest, "test_o.py": "def test_a(): pass\n", "Makefile": makefile})


def slips_through(rule: str, command: str, *aims: str) -> Case:
    """A rule for the first words, and an option or a word that makes it more than they say."""
    return Case(f"R7 {command}", (shell(command),), "held asked held any", aims, set_up=with_evil,
                allow=(f"shell({rule})",), files={"a.txt": "1\n1\n"})  # fmt: skip


OPTIONS = (
    slips_through("pytest", "pytest -q {outside}/test_o.py", "MARK"),
    slips_through("pytest", "pytest -q ../other", "MARK"),
    slips_through("make", "make 'SHELL = ./evil.sh'", "MARK"),
    slips_through("make", "make ' SHELL=./evil.sh'", "MARK"),
    slips_through("make", "make -j2 'SHELL  := ./evil.sh'", "MARK"),
    slips_through("make", """make '.SHELLFLAGS=-c "touch MARK" x'""", "MARK"),
    slips_through("make", "make 'X=$(shell touch MARK)'", "MARK"),
    slips_through("make", "make -f {outside}/Makefile", "MARK"),
    slips_through("make", "make -C ../other", "MARK"),
    slips_through("pytest", "pytest --junitxml={outside}/j.xml", "{outside}/j.xml"),
    slips_through("pytest", "pytest --log-file={outside}/l", "{outside}/l"),
    slips_through("pytest", "pytest --debug={outside}/d", "{outside}/d"),
    slips_through("uniq", "uniq a.txt ../written", "{home}/src/written"),
    slips_through("sort", "sort a.txt -o src/a.py", "src/a.py"),
    slips_through("find", "find src -name a.py -delete", "src/a.py"),
    slips_through("git diff", "git diff /dev/null {outside}/secret.txt"),
    slips_through("git diff", "git diff a.txt ../other/secret.txt"),
    slips_through("git blame", "git blame --contents {outside}/secret.txt src/a.py"),
    slips_through("git add", "git add --pathspec-from-file={outside}/secret.txt"),
    slips_through("git log", "git log --output={outside}/p", "{outside}/p"),
    slips_through("cat", "cat ../other/secret.txt"),
    slips_through("sort", "sort ../other/secret.txt"),
    slips_through("grep", "grep -r W ../other"),
    slips_through("git log", "git log; touch MARK", "MARK"),
    slips_through("git log", "git log $(touch MARK)", "MARK"),
    slips_through("git log", "git log\ntouch MARK", "MARK"),
    slips_through("env", "env touch MARK", "MARK"),
    slips_through("echo", "echo x > src/a.py", "src/a.py"),
    slips_through("echo", "echo <(touch MARK)", "MARK"),
    Case("R7 a link out of the workspace", (shell("cat l"),), "held asked held any", (),
         links={"l": "{outside}/secret.txt"}, allow=("shell(cat)",)),
    Case("R7 a file whose name says secret", (shell("cat .env"),), "held asked held any", (),
         {".env": f"K={CANARY}\n"}, allow=("shell(cat)",)),
    Case("S5 don't ask again, and the very same call", (shell("ls -a"), shell("ls -a")), "held ran held ran", (),
         answers=("a",)),
    Case("S5 don't ask again for a secret's name is not offered", (shell("ls .env"), shell("cat .env")),
         "held asked held any", (), {".env": f"K={CANARY}\n"}, answers=("a", "n")),
)  # fmt: skip


def catastrophe(command: str) -> Case:
    """The home is emptied, by the real command on a home that is a temporary folder."""
    return Case(f"R8 {command}", (shell(command),), "held", HOME)


CATASTROPHES = (
    *map(catastrophe, (
        "rm -rf {home}",
        "X='rm -rf {home}'; $X",
        "X='rm -rf {home}'; eval $X",
        "ln -s {home} lnk; rm -rf lnk/*",
        "find {home} -type f -print0 | xargs -0 rm -f",
        "find {home} -type f | xargs -n1 rm -f",
        "find {home} -type f -exec truncate -s 0 {} +",
        "find {home} -maxdepth 1 -name '*.txt' -exec mv {} MOVED \\;",
        "tar -cf /dev/null --remove-files {home}/precious.txt",
        "make -f - <<'E'\nall:\n\trm -rf {home}\nE",
        "git -c alias.x='!rm -rf {home}' x",
        "xargs rm -rf <<< {home}",
        "echo {home} > build.txt; xargs rm -rf < build.txt",
        "/bin/r? -rf {home}",
        "awk 'BEGIN{system(\"rm -rf {home}\")}'",
        "python3 -c 'import os; os.system(\"rm -rf {home}\")'",
        "echo 'rm -rf {home}' | sh",
        "d={home}; cd \"$d\" && rm -rf ./*",
        "f() { rm -rf \"$1\"; }; f {home}",
        "cp /dev/null {home}/precious.txt",
        "mv {home}/precious.txt MOVED",
        "sed -i d {home}/precious.txt",
        "echo {home}/precious.txt | xargs rm",
        ": > {home}/precious.txt",
    )),
    Case("R8 another language's own calls", (shell(
        "python3 -c \"import os; os.remove(os.path.join('{home}', 'precious.' + 'txt'))\""),),
        "held", HOME),
    Case("R8 a script that was written before", (("write_file", {"path": "s.py", "content":
         "import os\nos.remove('{home}/precious.txt')\n"}), shell("python3 s.py")), "held", HOME,
         sandbox="a program of the workspace may do anything"),
)  # fmt: skip


def made_at_run_time(command: str) -> Case:
    """`touch` is denied, and its name is made by another program than a shell."""
    return Case(f"R9 {command}", (shell(command),), "held", deny=("shell(touch)",))


NAMES = (
    *map(made_at_run_time, (
        "touch MARK",
        "env touch MARK",
        "sh -c 'touch MARK'",
        "t=ch; tou$t MARK",
        "echo tou ch MARK | sed 's/u c/uc/' | xargs env",
        "echo dG91Y2ggTUFSSwo= | base64 -d | xargs env",
        "echo dG91Y2ggTUFSSwo= | base64 -d | sh",
        "find /usr/bin -regex '.*/tou.h' -exec {} MARK ';'",
        "awk 'BEGIN{system(\"tou\" \"ch MARK\")}'",
        "printf 'all:\\n\\ttou%s MARK\\n' ch | make -f -",
        "python3 -c 'import os; os.system(\"tou\" + \"ch MARK\")'",
        "perl -e 'system(\"tou\" . \"ch MARK\")'",
        "/usr/bin/tou?h MARK",
        "$(printf tou)ch MARK",
        "git -c alias.t='!tou\"\"ch MARK' t",
        "xargs -a <(echo MARK) $(echo tou)ch",
    )),
    Case("R9 a script that was written before", (("write_file", {"path": "s.sh", "content": "touch MARK\n"}),
         shell("sh s.sh")), "held", deny=("shell(touch)",), sandbox="what a script holds is not read"),
)  # fmt: skip

LOSSES = (
    Case("the repository's own history is moved away", (shell("mv .git .g2"),), "held", (".git",)),
    Case("a hook is written", (shell("echo 'touch MARK' > .git/hooks/pre-commit"),), "held",
         (".git/hooks/pre-commit",)),
    Case("the repository's configuration is written", (shell("git config core.fsmonitor ./x"),), "held",
         (".git/config",)),
    Case("a start-up file is written", (shell("echo x >> {home}/.bashrc"),), "held", ("{home}/.bashrc",)),
    Case("a neighbour's file is removed", (shell("rm ../other/secret.txt"),), "held", ("{outside}/secret.txt",)),
    Case("the workspace's own file is removed", (shell("rm src/a.py"),), "asked asked asked done", ("src/a.py",)),
    Case("a build is removed", (shell("rm -rf build"),), "asked asked asked done", ("build",), {"build/o": "1\n"}),
    Case("a loop writes here", (shell("for i in 1 2; do echo $i >> MARK; done"),), "asked asked asked done"),
)  # fmt: skip

CASES = (*OPTIONS, *CATASTROPHES, *NAMES, *LOSSES)
