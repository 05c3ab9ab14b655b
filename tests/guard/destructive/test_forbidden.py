"""What even yolo refuses, and what it must not refuse, spelled in many ways."""

import time
from pathlib import Path

import pytest

from kimi_agent.guard.destructive.forbidden import find_forbidden_effect
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect
from tests.golden_texts import Golden

HOME = Path("/home/me")
WORKSPACE = Path("/home/me/src/app")

CERTAIN = r"""
rm -rf /
rm -fr -- /
rm -r -f ~/
rm / -rf
rm -Rf /
rm --recursive --force /
rm --recur /
rm -rf --no-preserve-root /
rm -rf /*
rm -rf //
rm -rf /.
rm -rf /tmp/..
rm -rf /./*
rm -rf /home/me/../../
sudo rm -rf /*
sudo -u root -- rm -rf /
env X=1 rm -rf /
timeout 5 rm -rf /
nohup nice -n 5 rm -rf / &
command rm -rf /
exec rm -rf /
busybox rm -rf /
\rm -rf /
r\m -rf /
'rm' -rf '/'
r''m -"rf" "/"
$'\x72m' -rf /
/bin/rm -rf /
X=1 rm -rf /
rm -rf "$HOME"
rm -rf $HOME/
rm -rf ${HOME}/*
rm -rf "${HOME:?}"
rm -rf ~
rm -rf ~/*
rm -rf ~/.*
rm -rf ~me
rm -rf /home/me
rm -rf /home
rm -rf /home/*
rm -rf /home/other
rm -rf /h*
rm -rf /usr
rm -rf /usr/bin
rm -rf /etc /var
rm -rf build /
rm -rf build ~
rm -rf /{bin,etc}
rm -rf {/,x}
rm -rf .
rm -rf ./*
rm -rf *
rm -rf .[!.]* *
rm -rf ..
rm -rf ../..
rm -rf ../app
rm -rf /home/me/src
rm -rf /home/me/src/*
rm -rf "$PWD"
rm -rf $(pwd)
rm -rf `pwd`/*
cd / && rm -rf *
cd ~ && rm -rf ./*
cd /tmp && cd / && rm -rf *
(cd / && rm -rf *)
(cd build && make) && rm -rf *
cd build | cat; rm -rf *
cd .. && rm -rf app
true; rm -rf /
true && rm -rf /
false || rm -rf /
ls | rm -rf /
echo "$(rm -rf /)"
echo `rm -rf /`
cat <(rm -rf /)
if true; then rm -rf /; fi
for i in 1; do rm -rf /; done
while true; do rm -rf ~; done
for d in /usr ~; do rm -rf "$d"; done
f() { rm -rf /; }; f
{ rm -rf /; }
! rm -rf /
D=/; rm -rf "$D"
D=$HOME; rm -rf "$D"
sh -c 'rm -rf /'
bash -lc "rm -rf ~"
bash -c 'bash -c "rm -rf /"'
sudo sh -c 'rm -rf /'
eval "rm -rf /"
eval rm -rf /
trap 'rm -rf /' EXIT
su -c 'rm -rf /'
ssh host 'rm -rf /'
ssh host rm -rf /
echo 'rm -rf /' | sh
echo / | xargs rm -rf
find / | xargs rm -rf
find / -delete
find ~ -type f -delete
find / -exec rm -rf {} +
find . -exec rm {} \;
find -delete
find . -name '*' -delete
find .. -mindepth 1 -delete
chmod -R 777 /
chmod -R 000 ~
chown -R me:me /usr
chmod --recursive 777 /*
mv / /x
mv ~ /tmp/x
mv secrets.txt /dev/null
mkfs.ext4 /dev/sda1
mkfs -t ext4 /dev/nvme0n1
sudo mkfs /dev/sdb
mke2fs /dev/sdb
dd if=/dev/zero of=/dev/sda
dd of=/dev/nvme0n1 if=x bs=1M
sudo dd if=x.iso of=/dev/disk2
cat x > /dev/sda
echo hi | sudo tee /dev/sdb
wipefs -a /dev/sda
shred /dev/sda
cp image /dev/mmcblk0
:(){ :|:& };:
:() { : | : & } ; :
bomb() { bomb | bomb & }; bomb
function f { f | f & }; f
""".strip().splitlines()

UNCERTAIN = r"""
rm -rf "$(echo /)"
rm -rf $DIR
rm -rf "$DIR"
rm -rf "$DIR"/*
rm -rf ${DIR:-/}
rm -rf `cat list`
rm -rf /home/me/$X
rm -rf "$HOME/$X"
rm -rf /$X
rm -rf ./$X
rm $OPTIONS /
$TOOL -rf /
cd "$X" && rm -rf *
cd build; rm -rf *
sh -c 'rm -rf "$1"' _ /
while read d; do rm -rf "$d"; done < list
rm -rf .git
rm -rf /scratch
rm -rf /scratch/*
rm -rf /tmp
find / -name '*.pyc' -delete
find ~ -name core -delete
find "$D" -delete
""".strip().splitlines()

HARMLESS = r"""
rm -rf build
rm -rf ./node_modules
rm -rf node_modules dist .venv
rm -rf -- build
rm -rf build/*
rm -rf build/$X
rm -rf "build/$(date +%s)"
rm -rf *.pyc
rm -rf *.egg-info
rm -rf **/__pycache__
rm -rf src/**/build
rm -rf .pytest_cache .mypy_cache
rm -rf /home/me/src/app/build
rm -rf ~/.cache/pip
rm -rf $HOME/.cache/x
rm -rf /tmp/x
rm -rf /tmp/build-*
rm -rf /tmp/*
rm -rf ../sibling
rm -rf ~/src/other
rm -rf /opt/x/y
rm -rf /var/lib/apt/lists/*
rm -rf '/literal/*'
rm -rf './*'
rm -rf '~'
rm -rf '$HOME'
rm -rf "\$HOME"
rm -rf {build,dist}
rm -rf a{b,c}d
D=/tmp/x; rm -rf "$D"
D=$(mktemp -d); rm -rf "$D"
for d in build dist; do rm -rf "$d"; done
rm *
rm -f *.o
rm -f $OBJECTS
rm "$FILE"
rm x
rm -i y
cd build && rm -rf *
cd build && rm -rf ./* && cd ..
(cd build && make clean); rm -rf build
(cd build && rm -rf *)
mkdir x && cd x && rm -rf *
git rm -r x
git rm -rf .
git commit -m "don't rm -rf /"
git commit -m 'rm -rf / is bad'
echo rm -rf /
echo "rm -rf /"
grep -rn "rm -rf /" .
rg 'rm -rf ~' docs
# rm -rf /
ls # rm -rf /
cat > x.sh <<'EOF'
find . -name '*.pyc' -delete
find . -name __pycache__ -exec rm -rf {} +
find . -name __pycache__ | xargs rm -rf
find build -delete
find /tmp/x -delete
find . -type f
find / -name x
chmod -R u+w .
chmod -R 755 build
chmod 755 /usr
chown -R me .
chmod +x run.sh
mv a b
mv src/a.py src/b.py
mkfs.ext4 disk.img
dd if=/dev/zero of=disk.img bs=1M count=1
dd if=/dev/sda of=backup.img
echo x > /dev/null
ls > out 2>&1
cat /dev/sda
command -v rm
which rm
man rm
docker run --rm -it image
npm run rm
f() { echo hi | cat; }; f
make -j4 && ./run | tee log
ps aux | grep rm
sudo apt-get install find
""".strip().splitlines()


def seen(text: str, cwd: Path | None = None) -> ForbiddenEffect | None:
    return find_forbidden_effect(text, home=HOME, workspace=WORKSPACE, cwd=cwd)


@pytest.mark.parametrize("text", CERTAIN)
def test_what_would_surely_be_lost_is_certain(text: str) -> None:
    danger = seen(text)
    assert danger is not None
    assert danger.certain


@pytest.mark.parametrize("text", UNCERTAIN)
def test_what_only_the_run_would_show_is_uncertain(text: str) -> None:
    danger = seen(text)
    assert danger is not None
    assert not danger.certain


@pytest.mark.parametrize("text", HARMLESS)
def test_everyday_work_is_not_refused(text: str) -> None:
    assert seen(text) is None


@pytest.mark.parametrize(
    ("cwd", "text", "certain"),
    [
        (WORKSPACE / "build", "rm -rf *", None),
        (WORKSPACE / "build", "rm -rf ..", True),
        (WORKSPACE / "build", "rm -rf ../../app", True),
        (WORKSPACE, "rm -rf *", True),
        (Path("/"), "rm -rf *", True),
        (Path("/"), "rm -rf home", True),
        (Path("/tmp"), "rm -rf *", None),
    ],
)
def test_it_matters_where_the_command_starts(cwd: Path, text: str, certain: bool | None) -> None:
    danger = seen(text, cwd)
    assert (danger and danger.certain) == certain


def test_a_document_that_is_only_written_down_is_not_run() -> None:
    assert seen("cat > clean.sh <<'EOF'\nrm -rf /\nEOF\nchmod +x clean.sh") is None


@pytest.mark.parametrize(
    "text",
    [
        "bash <<'EOF'\nrm -rf /\nEOF",
        "sudo sh <<EOF\nrm -rf ~\nEOF",
        "cat <<EOF | sh\nrm -rf /\nEOF",
        "bash <<< 'rm -rf /'",
        "cat > x <<EOF\n$(rm -rf /)\nEOF",
        "cat <<'E' > x\nit's\nE\nrm -rf /",
        "ls \\\n-l\nrm \\\n-rf /",
        "rm -rf \\\n/",
        "echo don\\'t; rm -rf /",
        "cd /\nrm -rf *",
    ],
)
def test_text_over_several_lines_is_read_as_the_shell_reads_it(text: str) -> None:
    assert seen(text) is not None


def test_what_stays_is_named(golden: Golden) -> None:
    found = [seen("rm -rf .."), seen("rm -rf ."), seen('rm -rf "$X"')]
    assert [danger and danger.certain for danger in found] == [True, True, False]
    golden(*(danger.why for danger in found if danger))


def test_a_workspace_whose_name_looks_like_a_pattern_is_protected_too() -> None:
    place = Path("/home/me/a[b]*{c,d}~")
    assert find_forbidden_effect("rm -rf '/home/me/a[b]*{c,d}~'", home=HOME, workspace=place) is not None
    assert find_forbidden_effect("rm -rf '/home/me/ab'", home=HOME, workspace=place) is None


HOSTILE = ["a" * 99_000, "$(" * 49_000, "rm -rf " + "{a,b}" * 19_000, "cd x;" * 19_000, "A=b;" * 24_000, "(" * 99_000]
HOSTILE += ["x|" * 49_000, "sudo " * 19_000, "env 'a b' " * 9_000, "eval '" * 16_000, "xargs rm -rf x|" * 6_000]
HOSTILE += [
    "rm -rf " + "*a" * 40_000,
    "rm -rf " + "{," * 40_000 + "}",
    "`\\`" * 30_000,
    "<<x\n" * 20_000,
    "x" * 500_000,
]
HOSTILE += ["A=b;" * 12_000 + "rm -rf " + "$A" * 20_000, "\x00rm\ud800 -rf /\x1b", "'" * 99_999, '"$(' * 30_000]


@pytest.mark.long
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_makes_the_reading_last(text: str) -> None:
    began = time.monotonic()
    seen(text)
    assert time.monotonic() - began < 20
