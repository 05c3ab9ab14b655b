"""Which of our environment a child gets."""

import pytest

from kimi_agent.workspace.process.environ import DEFAULT_PATH, allowed_environ, shell_environ


def test_a_child_gets_what_builds_need_and_no_keys() -> None:
    wanted = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LC_TIME": "C",
        "CONDA_PREFIX": "/c",
        "GOPATH": "/go",
        "GO111MODULE": "on",
        "XDG_CACHE_HOME": "/x",
        "SSL_CERT_FILE": "/pem",
        "VIRTUAL_ENV": "/v",
    }
    secret = {
        "KIMI_API_KEY": "k",
        "MOONSHOT_API_KEY": "k",
        "AWS_SECRET_ACCESS_KEY": "k",
        "GITHUB_TOKEN": "k",
        "GOOGLE_API_KEY": "k",
        "GOOGLE_APPLICATION_CREDENTIALS": "/k",
        "CONDA_TOKEN": "k",
        "LD_PRELOAD": "/x.so",
        "BASH_ENV": "/x",
        "PYTHONPATH": "/x",
        "SSH_AUTH_SOCK": "/s",
        "RIPGREP_CONFIG_PATH": "/rc",
    }
    assert allowed_environ({**wanted, **secret}) == wanted


@pytest.mark.parametrize("proxy", ["http://user:pw@proxy:3128", "user:pw@proxy:3128", "http://token@proxy"])
def test_a_proxy_with_a_login_stays_here(proxy: str) -> None:
    kept = allowed_environ(
        {"HTTPS_PROXY": proxy, "https_proxy": "http://proxy:3128", "GOPROXY": proxy, "NO_PROXY": "a,b"}
    )
    assert kept == {"https_proxy": "http://proxy:3128", "NO_PROXY": "a,b", "PATH": DEFAULT_PATH}


def test_the_users_config_can_let_more_through() -> None:
    assert allowed_environ({"PATH": "/bin", "DATABASE_URL": "x", "OTHER": "y"}, ["DATABASE_URL", "ABSENT"]) == {
        "PATH": "/bin",
        "DATABASE_URL": "x",
    }


def test_an_empty_environment_still_finds_programs() -> None:
    assert allowed_environ({}) == {"PATH": DEFAULT_PATH}


def test_what_no_process_can_be_given_is_dropped() -> None:
    garbage = {"": "x", "LC_A=B": "x", "LC_X": "a\0b", "LC_Y": "\ud800", "LC_Z": "\udcff"}
    assert allowed_environ({"PATH": "/bin", **garbage}) == {"PATH": "/bin", "LC_Z": "\udcff"}


def test_a_shell_has_no_pager_and_a_locale_only_where_there_is_none() -> None:
    plain = shell_environ({"PATH": "/bin", "TERM": "xterm"})
    assert (plain["TERM"], plain["PAGER"], plain["GIT_TERMINAL_PROMPT"], plain["NO_COLOR"]) == ("dumb", "cat", "0", "1")
    assert plain["LC_ALL"] == "C.UTF-8"
    assert "CI" not in plain
    assert "LC_ALL" not in shell_environ({"LANG": "th_TH.UTF-8"})
