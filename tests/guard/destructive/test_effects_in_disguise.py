"""Catastrophes by their effect: through pipes, variables, links, other programs' options and strings (rules.md R8)."""

from pathlib import Path

import pytest

from kimi_agent.guard.destructive.forbidden import find_forbidden_effect
from kimi_agent.guard.destructive.losses import find_losses
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect

HOME, WORKSPACE = Path("/home/me"), Path("/home/me/src/app")

# One a line; % stands for a line break.
CERTAIN = r"""
X='rm -rf /home/me'; $X
X='rm -rf /home/me'; $X -v
X='rm -rf '; X+='/home/me'; $X
X=rm; Y=-rf; Z=~; $X $Y $Z
A=(rm -rf ~); "${A[@]}"
D=~; E=$D; rm -rf "$E"
X='rm -rf ~'; eval $X
ln -s ~ lnk; rm -rf lnk/*
mkdir d && ln -s / d/top && rm -rf d/top/*
ln -s ~ lnk && cd lnk && rm -rf *
find ~ -type f -print0 | xargs -0 rm -f
find / -type f | xargs rm -f
find / -xdev -type f -print0 | xargs -0 shred -u
find ~ -type f | sort | xargs -n 5 truncate -s 0
find ~ -type f | parallel rm -f
ls -d ~ | xargs rm -rf
echo ~ | xargs -I{} rm -rf {}
parallel rm -rf ::: ~ /tmp/x
xargs rm -rf <<< ~
rm -f $(find ~ -type f)
find ~ -type f | while read f; do rm -f "$f"; done
find ~ -type f -exec truncate -s 0 {} +
find ~ -type f -exec dd if=/dev/null of={} \;
find ~ -type f -exec cp /dev/null {} \;
find ~ -type f -exec sed -i d {} +
find ~ -exec chmod 000 {} +
find ~ -exec sh -c 'rm -rf "$1"' _ {} \;
find ~ -maxdepth 1 -exec mv {} /tmp/x \;
fd . ~ -x rm -rf
rsync -a --delete /tmp/empty/ ~/
rsync -a --delete --exclude x /tmp/e/ /home/me
tar -cf /dev/null --remove-files ~
zip -rm x.zip ~
make -f - <<'E'%all:%	rm -rf ~%E
git -c alias.x='!rm -rf ~' x
git -c core.pager='rm -rf ~' log
git submodule foreach 'rm -rf ~'
git rebase -x 'rm -rf ~' main
npm exec -c 'rm -rf ~'
vim -c '!rm -rf ~'
awk 'BEGIN{system("rm -rf ~")}'
perl -e 'system("rm -rf ~")'
ruby -e '`rm -rf ~`'
python3 -c 'import os; os.system("rm -rf ~")'
node -e 'require("child_process").execSync("rm -rf ~")'
bash <(echo 'rm -rf ~')
source /dev/stdin <<< 'rm -rf ~'
cat <<E | sh%rm -rf ~%E
at now <<< 'rm -rf ~'
script -c 'rm -rf ~' /dev/null
busybox sh -c 'rm -rf ~'
sudo -E env X=1 nice -n 3 rm -rf ~
chroot / rm -rf /home
docker run -v /:/h alpine rm -rf /h
docker run --rm -v "$HOME":/h alpine sh -c 'rm -rf /h/*'
docker run --rm --mount type=bind,source=/,target=/h alpine rm -rf /h/home
chattr -R +i ~
setfacl -R -m u::--- ~
alias x='rm -rf'%x ~
IFS=,; c=rm,-rf,/; $c
sh < <(echo 'rm -rf ~')
git bisect run rm -rf ~
screen -dm rm -rf ~
tmux new -d 'rm -rf ~'
nvme format
cryptsetup erase /dev/sda1
hdparm --security-erase x /dev/sda
zfs destroy -r tank
lvremove -f vg/lv
mount --bind /tmp/empty ~
""".strip().splitlines()

UNCERTAIN = r"""
xargs rm -rf < list
cat list | xargs rm -rf
xargs -a <(echo ~) rm -rf
foo --run 'rm -rf ~'
lua -e 'x("rm -rf ~")'
{rm,-rf,/}
python3 -c 'import shutil, os; shutil.rmtree(os.path.expanduser("~"))'
find ~ -type f | grep x | xargs rm -f
docker run -v /:/h alpine rm -rf /h/$X
echo 'unfinished; rm -rf ~
PAGER='rm -rf ~;' git -p log
GIT_SSH_COMMAND='rm -rf ~;' git fetch
reboot
shutdown -h now
systemctl poweroff
kill -9 -1
""".strip().splitlines()

HARMLESS = r"""
git commit -m "rm -rf ~"
grep -rn "rm -rf /" .
echo rm -rf /
gh pr create --title x --body "do not rm -rf ~"
psql -c "select 'rm -rf ~'"
sed -i 's/rm -rf ~/x/' README.md
cat > x.sh <<'E'%rm -rf ~%E
docker run --rm -v "$PWD":/w image make
docker run --rm -v "$PWD":/w -w /w image rm -rf build
docker run --rm image rm -rf /
docker run --rm -v /home/me/data:/data image rm -rf /data/tmp
npm test && git add -A
npm run build -- --out "rm"
jq '.a | .b' x.json
awk '{print $1}' f
find . -name '*.py' -exec sed -i s/a/b/ {} +
find . -type f -exec sed -i s/a/b/ {} +
find . -type f -exec chmod 644 {} +
find . -name '*.o' | xargs rm -f
fd -e pyc -x rm
ls *.tmp | xargs rm -f
git ls-files -z '*.orig' | xargs -0 rm -f
xargs rm -f < list
rsync -a --delete src/ build/
rsync -a --delete ./ backup:/x
rsync -a --delete ./ ~/backup/app/
tar -czf x.tgz src
cp -r src ~/backup
cd build || exit 1; rm -rf *
set -e%cd build%rm -rf *
for f in *.o; do rm -f "$f"; done
git -c core.pager=cat log
git -c alias.x='log --oneline' x
PAGER=cat git log
kill 123
kill -1 123
systemctl status nginx
echo aGk= | base64 -d
ln -s ../shared lib && rm -rf build
mount
""".strip().splitlines()


def seen(text: str) -> ForbiddenEffect | None:
    return find_forbidden_effect(text.replace("%", "\n"), home=HOME, workspace=WORKSPACE)


@pytest.mark.parametrize("text", CERTAIN)
def test_what_surely_reaches_the_home_or_a_disk_is_certain(text: str) -> None:
    found = seen(text)
    assert found is not None
    assert found.certain


@pytest.mark.parametrize("text", UNCERTAIN)
def test_what_may_reach_it_is_uncertain(text: str) -> None:
    found = seen(text)
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize("text", HARMLESS)
def test_everyday_commands_stay_silent(text: str) -> None:
    assert seen(text) is None


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    home, workspace = tmp_path / "home", tmp_path / "home" / "src" / "app"
    workspace.mkdir(parents=True)
    return home, workspace


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("rm -rf lnk/*", True),
        ("rm -rf lnk/", True),
        ("cd lnk && rm -rf *", True),
        ("rm -rf up/../*", True),
        ("rm -rf sub/up/../../*", True),
        ("chmod -R 000 lnk", True),
        ("rsync -a --delete /tmp/e/ lnk/", True),
        ("rm -rf lnk", False),
        ("rm -rf other/*", False),
    ],
)
def test_a_link_on_the_disk_is_followed_as_the_kernel_does(places: tuple[Path, Path], text: str, refused: bool) -> None:
    home, workspace = places
    (workspace / "lnk").symlink_to(home)
    (workspace / "up").symlink_to(home / "src")
    (workspace / "sub").mkdir()
    (workspace / "sub" / "up").symlink_to(home / "src" / "app")
    (workspace / "other").symlink_to(workspace / "sub")
    found = find_forbidden_effect(text, home=home, workspace=workspace)
    assert (found is not None and found.certain) == refused


def test_a_home_that_is_a_link_is_protected_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "real")
    for name in ("home/", "real"):
        assert (
            find_forbidden_effect(f"rm -rf {tmp_path}/{name}", home=tmp_path / "home", workspace=Path("/w")) is not None
        )


def test_a_pattern_as_a_name_is_tried_by_the_files_that_fit(tmp_path: Path) -> None:
    (tmp_path / "rm").touch()
    first = find_forbidden_effect(f"{tmp_path}/r? -rf ~", home=HOME, workspace=WORKSPACE)
    (tmp_path / "ra").touch()
    second = find_forbidden_effect(f"{tmp_path}/r? -rf ~", home=HOME, workspace=WORKSPACE)
    assert [found and found.certain for found in (first, second, seen("/nowhere/r? -rf ~"))] == [True, False, False]


OUTSIDE = r"""
mv ~/.bashrc /tmp/x
sed -i d ~/.bashrc
sed -i -e d ~/.bashrc
perl -pi -e 's/a/b/' ~/.bashrc
awk -i inplace 1 ~/.bashrc
patch ~/.bashrc x.diff
echo ~/.bashrc | xargs rm
ls ~/.bashrc | xargs rm
find ~/Documents -type f | xargs rm -f
find ~/Documents -type f -exec rm {} +
find ~/Documents -type f -exec mv {} /tmp \;
tar -cf /dev/null --remove-files ~/.bashrc
zip -m x.zip ~/.bashrc
rsync -a --delete /tmp/e/ ~/Documents/
rsync -a --remove-source-files ~/Documents out/
curl -o ~/.bashrc http://localhost
sort -o ~/.bashrc x
truncate -s 0 ~/.bashrc
bash -c 'mv ~/.bashrc /tmp/x'
X='rm -f /home/me/.bashrc'; $X
docker run -v ~:/h alpine rm /h/.bashrc
""".strip().splitlines()


@pytest.mark.parametrize("text", OUTSIDE)
def test_files_outside_are_asked_about_and_not_promised_back(text: str) -> None:
    there = {"/home/me/.bashrc", "/home/me/Documents"}
    found = find_losses(text, home=HOME, workspace=WORKSPACE, exists=there.__contains__)
    assert found
    assert not any(loss.covered for loss in found)
