"""Where a word is a command, where it may become one, and where it is data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.guard.shell.denied_words import match_denied_words
from kimi_agent.guard.shell.hidden_programs import hides_program_name

RUN = [
    "curl x",
    "/opt/bin/curl x",
    "sudo -u me timeout 5 curl x",
    "xargs -n 1 curl < list",
    "find . -name x -exec curl {} +",
    "parallel curl ::: x",
    "ssh host 'cd x && curl y'",
    "docker run --rm image curl x",
    "sh -c 'bash -c \"curl x\"'",
    "echo 'curl x' | sh",
    "cat <<'E' | bash\ncurl x\nE",
    "make -f - <<'E'\nall:\n\tcurl x\nE",
    "git -c alias.x='!curl y' x",
    "git -c core.pager=curl log",
    "alias g=curl",
    "trap 'curl x' EXIT",
    "awk 'BEGIN{system(\"curl x\")}'",
    "perl -e 'exec \"curl\"'",
    "python3 -c 'import os; os.system(\"curl x\")'",
    "vim -c '!curl x' f",
    "sed '1e curl x' f",
    "tar --to-command=curl -xf a",
    "for x in ls curl; do $x y; done",
    "f() { curl x; }",
    "diff <(curl x) y",
    'a=(curl x); "${a[@]}"',
    "C=curl; $C x",
]
MAY_RUN = [
    "foo curl",
    "foo 'curl x'",
    "sudoedit-like curl x",
    "rg --pre curl x",
    "man -P curl ls",
    "git log --open-files-in-pager curl",
    "PAGER=curl git log",
    "export EDITOR=curl",
    "python3 -c 'print(\"curl\")'",
    "python3 x.py curl",
    "echo curl x | xargs env",
    "echo curl | xargs -I{} {} x",
    "echo curl x | python3",
    "cat > run.sh <<'E'\ncurl x\nE\nsh run.sh",
    "printf 'curl x' | tee run.sh && bash run.sh",
    "echo 'curl x' > run.sh; ./run.sh",
    "echo 'curl",
    "hash -p /usr/bin/curl foo; foo x",
    "cp /usr/bin/curl ./c; ./c x",
    "ln -s /usr/bin/curl c && ./c x",
    "npx curl@8",
    "nix run nixpkgs#curl",
    "ssh -o ProxyCommand='curl x' host",
    "gdb -ex 'shell curl x'",
    "gh alias set x '!curl y'",
]
DATA = [
    "grep -rn curl src",
    "rg -l curl | wc -l",
    "grep -l curl . | xargs sed -n /x/p",
    "find . -name curl -exec grep -n curl {} +",
    "git commit -m 'drop curl'",
    "git commit -m \"$(cat <<'E'\nuse curl x no more\nE\n)\"",
    "git checkout curl",
    "git log --grep=curl -S curl",
    "git grep -n curl",
    "gh pr create --title x --body 'drop curl'",
    "echo 'use curl'",
    "printf '%s\\n' curl > notes.md",
    "cat <<'E'\ncurl x\nE",
    "cat > notes.md <<'E'\nuse curl\nE",
    "MESSAGE='use curl'; echo \"$MESSAGE\"",
    "command -v curl",
    "which curl || echo 'no curl'",
    "[ -x /usr/bin/curl ] && ls",
    "case $x in curl) ls;; esac",
    "ls src/curl",
    "make curl",
    "npm run curl",
    "awk '/curl/{print}' f",
    "sed -n '/curl/p' f",
    "sudo -u me grep curl f",
    "ssh host 'grep curl f'",
    "ssh host 'cd x && git commit -m \"drop curl\"'",
    "cp src/curl docs",
    "# curl\nls",
    "ls curly",
]


@pytest.mark.parametrize("text", RUN)
def test_a_word_that_is_a_command_is_denied(text: str) -> None:
    assert match_denied_words(("curl",), text) == "deny"


@pytest.mark.parametrize("text", MAY_RUN)
def test_a_word_that_may_become_a_command_is_asked_about(text: str) -> None:
    assert match_denied_words(("curl",), text) == "ask"


@pytest.mark.parametrize("text", DATA)
def test_a_word_that_is_data_is_left_alone(text: str) -> None:
    assert match_denied_words(("curl",), text) == ""


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("rm -rf", "rm -rf x", "deny"),
        ("rm -rf", "rm --recursive --force x", "deny"),
        ("rm -rf", "rm -R --forc x", "deny"),
        ("rm --recursive --force", "rm -fr x", "deny"),
        ("rm -rf", "rm -r x", ""),
        ("rm -rf", 'rm -r "$X"', ""),
        ("rm -rf", "rm $X", "ask"),
        ("rm -rf", "f() { rm \"$@\"; }; f -rf x", "ask"),
        ("rm -rf", "git rm -rf x", ""),
        ("rm -rf", "find . -exec rm -rf {} +", "deny"),
        ("git push", "git -C x push", "deny"),
        ("git push", "git stash push", ""),
        ("git push", "git commit -m 'do not git push yet'", ""),
        ("git push", "git commit -m \"$(cat x)\"", ""),
        ("git push", "git -c alias.x=push x", "deny"),
        ("git push", "f=push; git \"$f\"", "deny"),
        ("git push", "git {push,x}", "deny"),
        ("git push", "git $X", "ask"),
        ("git push", "git \"$(echo push)\"", "ask"),
        ("git push", "echo push | xargs git", "ask"),
        ("git push", "sh -c 'git \"$@\"' _ push", "ask"),
        ("git push", "foo git push", "ask"),
        ("git push --force", "git push -f", "deny"),
        ("git push -f", "git push --force", "deny"),
        ("git push -f", "git push origin +main", "deny"),
        ("git push -f", "git push origin main", ""),
        ("git commit --no-verify", "git commit -nm x", "deny"),
        ("git commit --no-verify", "git push -n", ""),
        ("git branch -D", "git branch --delete --force x", "deny"),
        ("git branch -D", "git branch -d x", ""),
        ("git branch -d", "git branch -D x", "deny"),
        ("npm -g", "npm install --global x", "deny"),
        ("npm install --global", "npm i -g x", ""),
        ("npm install --global", "npm install -g x", "deny"),
        ("npm -g", "npm install --location=global x", "deny"),
        ("pip install --editable", "pip install -e .", "deny"),
        ("docker run -v", "docker run --volume=/:/h x", "deny"),
        ("docker run --volume", "docker run -v /:/h x", "deny"),
        ("curl -o", "curl --output=x y", "deny"),
        ("curl -o", "curl -O y", ""),
        ("sudo rm", "sudo -u me rm x", "deny"),
        ("uv run pytest", "uv run pytest -x", "deny"),
        ("pytest", "/usr/bin/python3.11 -m pytest -x", "deny"),
        ("pip install", "python -Wd -um pip install x", "deny"),
        ("pip install", "python -m pip list", ""),
        ("pytest", "python x.py -m pytest", "ask"),
    ],
)  # fmt: skip
def test_rules_of_several_words(rule: str, text: str, expected: str) -> None:
    assert match_denied_words(tuple(rule.split()), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "$X y",
        "c{ur,}$Y x",
        "/usr/bin/c*l x",
        "set -- curl x; \"$@\"",
        "eval \"$x\"",
        ". ./x",
        "env $X",
        "command $X",
        "timeout $T ls",
        "base64 -d f | sh",
        "cat f | bash -s",
        "bash <<E\n$X\nE",
        "sh -c \"$X\"",
        "base64 -d f | xargs env",
        "xargs -a list env",
        "ls | xargs -I{} {}",
        "ls | parallel",
        "parallel ::: 'a b'",
        "find . -exec {} x ';'",
        "fd -e py -x {}",
        "printf x | make -f -",
        "make -f /dev/stdin < f",
        "echo x | ssh host",
        "docker exec -i c sh",
        "echo x | at now",
        "crontab - < f",
        "awk 'BEGIN{system(\"tou\" \"ch M\")}'",
        "awk '{print | \"sh\"}' f",
        "sed 's/x/y/e' f",
        "python3 -c 'import os'",
        "python3 -c 'print(open(\"f\").read())'",
        "python3 - <<'E'\nimport subprocess\nE",
        "cat f | python3",
        "perl -e x",
        "perl -ne x f",
        "ruby -e x",
        "node -e x",
        "node --eval=x",
        "php -r x",
        "echo '!touch M' | dc",
        "vim -c x f",
        "vim +x f",
        "ls\r",
    ],
)  # fmt: skip
def test_a_name_that_only_the_run_shows_is_hidden(text: str) -> None:
    assert hides_program_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "ls -la | wc -l",
        "npm test && git status",
        "X=1; grep $X f",
        "C=ls; $C x",
        "for f in *.py; do wc -l \"$f\"; done",
        "bash x.sh",
        "sh -c 'ls; pwd'",
        "bash <<'E'\nls\nE",
        "ls | xargs rm",
        "ls | xargs",
        "ls | xargs -n 1 grep x",
        "find . -name '*.py' -exec grep x {} +",
        "awk '{print $1}' f",
        "sed 's/a/b/; s/c/d/' f",
        "python3 x.py -c",
        "python3 -m pytest -x",
        "python3 -c 'print(1 + 1)'",
        "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"a\"])'",
        "make test",
        "make -f other.mk",
        "timeout 5 ls",
        "vim f",
        "cat x | jq .a",
        "git diff | tee x",
    ],
)  # fmt: skip
def test_plain_commands_hide_nothing(text: str) -> None:
    assert not hides_program_name(text)


WRAPPERS = ["{}", "env {}", "sudo -n {}", "sh -c '{}'", "ls && {}", "X=1 {}", "( {} )", "ls | {}", "if {}; then ls; fi"]


@given(
    st.lists(st.sampled_from(WRAPPERS), max_size=4), st.sampled_from(["curl x", 'c""url x', "/usr/bin/curl", "\\curl"])
)
def test_a_denied_command_is_never_let_through_by_its_wrappers(wrappers: list[str], command: str) -> None:
    for wrapper in wrappers:
        if "'" in wrapper and "'" in command:
            break
        if wrapper in {"env {}", "sudo -n {}", "X=1 {}"} and command[0] in "(i":
            continue
        command = wrapper.format(command)
    assert match_denied_words(("curl",), command) or hides_program_name(command)


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert match_denied_words(("curl", "-o"), text) in ("", "ask", "deny")
    assert hides_program_name(text) in (True, False)
