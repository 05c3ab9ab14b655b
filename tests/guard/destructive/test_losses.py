"""What commands destroy, and whether a snapshot brings it back: a table of spellings."""

from pathlib import Path

import pytest

from kimi_agent.guard.destructive.losses import find_losses

WORKSPACE, HOME = Path("/w/repo"), Path("/home/u")
THERE = {"/w/repo/src/a.py", "/w/repo/README.md", "/home/u/.bashrc", "/w/repo/app.db", "/w/other/x"}

COVERED = """\
rm src/a.py
rm -f src/a.py
rm -rf src
rm -r ./src/
\\rm -rf src
/bin/rm -rf src
command rm src/a.py
sudo rm -rf src
env FOO=1 rm -rf src
timeout 5 rm -rf src
nohup rm -rf src &
cd src && rm -rf *
(cd src; rm a.py)
true; rm -rf src
false || rm -rf src
if true; then rm -rf src; fi
for f in src/*.py; do rm "$f"; done
sh -c 'rm -rf src'
bash -lc "rm -rf src"
bash <<< 'rm -rf src'
eval "rm -rf src"
echo $(rm -rf src)
`rm src/a.py`
x=src; rm -rf $x
ls | xargs rm
find . -name '*.py' -delete
find src -type f -exec rm {} +
find src -exec shred {} \\;
unlink src/a.py
shred -u src/a.py
truncate -s 0 src/a.py
rimraf src
npx rimraf src
dd if=/dev/zero of=src/a.py
rsync -a --delete empty/ src/
> src/a.py
: > src/a.py
cat /dev/null > src/a.py
echo hi >| README.md
make &> README.md
git reset --hard
git reset --hard HEAD
git -c a.b=c reset --hard
git reset -q --hard
git reset --merge
git reset --har
git checkout -- .
git checkout .
git checkout -- src/a.py
git checkout src/a.py
git checkout HEAD src/a.py
git checkout -f
git checkout -f main
git checkout --theirs src/a.py
git restore .
git restore src/a.py
git restore -SW src/a.py
git restore --source=HEAD~1 src
git switch -f main
git switch --discard-changes main
git clean -f
git clean -fd
git clean -df
git clean --force -d
git rm src/a.py
git rm -rf src
git stash drop
git stash drop stash@{1}
git stash drop 2
git branch -D topic
git branch -d -f topic
git branch --delete --force topic
git branch -f topic HEAD~3
git branch -M topic main
git checkout -B main origin/main
git switch -C main
git tag -d v1
git tag -f v1
git merge --abort
git rebase --abort
git cherry-pick --abort
git checkout-index -f -a
git read-tree -u --reset HEAD
git submodule deinit -f .
cd src && git checkout -- a.py
sudo git reset --hard
git -C src reset --hard
GIT_DIR=.git git reset --hard
git   reset   --hard
g""it reset --hard
hg update -C
svn revert -R .
python -c 'import shutil; shutil.rmtree("src")'
node -e 'fs.rmSync("src",{recursive:true})'
sqlite3 app.db 'DROP TABLE users'
echo 'delete from users;' | sqlite3 app.db
sqlite3 app.db <<< 'drop table users;'
""".splitlines()

UNCOVERED = """\
rm -rf ../other
rm /w/other/x
rm -rf ~/notes
cd .. && rm -rf other
find /w/other -delete
find .. -name x -exec rm {} +
echo x > ~/.bashrc
truncate -s0 ../other/x
git clean -fdx
git clean -fX
git -C ../other reset --hard
git -C /w/other checkout -- .
git stash clear
git push --force
git push -f origin main
git push --force-with-lease
git push origin +main
git push origin :topic
git push --delete origin topic
git push -d origin topic
git push --mirror
git reflog expire --expire=now --all
git gc --prune=now
git filter-branch --tree-filter x
git filter-repo --path x
git update-ref -d refs/heads/x
git worktree remove --force ../w
git branch -D $(git branch)
psql -c 'DROP TABLE users'
psql -c "truncate users"
echo 'drop database x' | psql
mysql -e 'DROP DATABASE x'
mysql x <<< 'delete from users;'
psql <<SQL
DROP TABLE users;
SQL
redis-cli FLUSHALL
mongosh --eval 'db.dropDatabase()'
dropdb x
rails db:drop
python manage.py flush --no-input
npx prisma migrate reset
php artisan migrate:fresh
docker volume rm data
docker system prune -af
docker compose down -v
kubectl delete ns prod
terraform destroy -auto-approve
terraform apply -destroy
helm uninstall x
aws s3 rm s3://b --recursive
aws ec2 terminate-instances --instance-ids i
gcloud compute instances delete x
gsutil -m rm -r gs://b
gh repo delete x
gh api -X DELETE /repos/x
npm unpublish x
npm publish
cargo publish
twine upload dist/*
gem push a.gem
terraform apply -auto-approve
docker rm -f c1
iptables -F
systemctl stop nginx
apt-get remove -y git
echo x | sudo tee -a /etc/hosts
echo x >> /etc/hosts
rsync -a --delete ./ host:/srv
ssh host rm -rf src
crontab -r
curl -X DELETE http://localhost/x
""".replace("psql <<SQL\nDROP TABLE users;\nSQL\n", "psql <<SQL\\nDROP TABLE users;\\nSQL\n").splitlines()

HARMLESS = """\
ls -la
git status
git log --oneline
git diff
git add -A
git commit -m "remove rm -rf"
git checkout main
git checkout -b topic
git switch topic
git reset
git reset HEAD~1
git reset --soft HEAD~1
git restore --staged src/a.py
git stash
git stash pop
git stash list
git clean -n
git clean -fn
git clean -nfd
git branch topic
git branch -d merged
git tag v2
git push
git push origin main
git push -n --force
git rm --cached src/a.py
git reflog
git gc
rmdir empty
rm -rf /tmp/x
rm --help
echo rm -rf src
grep -r 'DROP TABLE' src
cat migrations/drop.sql
psql -c 'select 1'
psql -c 'delete from users where id = 1'
sqlite3 app.db .tables
echo x > new.txt
echo x >> README.md
make 2>&1
make > /dev/null
make > /tmp/log
cat < README.md
cp a b
mv a b
find . -name x
docker ps
docker compose up -d
kubectl get pods
terraform plan
aws s3 ls
gh pr list
curl http://localhost/x
python -c 'print(1)'
cargo publish --dry-run
apt-get install -y git
systemctl status nginx
iptables -L
npm install
echo 'git reset --hard'
""".splitlines()


def lost(text: str) -> tuple[bool, bool]:
    """Whether anything is destroyed, and whether a snapshot covers all of it."""
    found = find_losses(text.replace("\\n", "\n"), home=HOME, workspace=WORKSPACE, exists=THERE.__contains__)
    return bool(found), all(loss.covered for loss in found)


@pytest.mark.parametrize("text", COVERED)
def test_what_a_snapshot_brings_back_is_seen_and_not_asked(text: str) -> None:
    assert lost(text) == (True, True)


@pytest.mark.parametrize("text", UNCOVERED)
def test_what_no_snapshot_brings_back_is_seen(text: str) -> None:
    assert lost(text) == (True, False)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_destroys_nothing_is_left_in_peace(text: str) -> None:
    assert lost(text) == (False, True)


def test_the_table_is_long_enough() -> None:
    assert len(COVERED) + len(UNCOVERED) >= 150


def paths(text: str) -> set[str]:
    found = find_losses(text, home=HOME, workspace=WORKSPACE, cwd=WORKSPACE / "src", exists=THERE.__contains__)
    return {path for loss in found for path in loss.paths}


def test_what_a_command_names_is_told_whether_git_ignores_it_or_not() -> None:
    assert paths("rm .env") == {"src/.env"}
    assert paths("rm -rf ../node_modules ../data build") == {"node_modules", "data", "src/build"}
    assert paths("> a.py") == {"src/a.py"}
    assert paths("rm $X") == set()


def test_what_refs_held_comes_back_by_name() -> None:
    found = find_losses("git branch -D a/b; git stash drop 1; git tag -d v1", home=HOME, workspace=WORKSPACE)
    assert [(loss.refs, loss.restore.format(commit="c0ffee")) for loss in found] == [
        (("refs/heads/a/b",), "git branch a/b c0ffee"),
        (("stash@{1}",), "git stash store c0ffee"),
        (("refs/tags/v1",), "git tag v1 c0ffee"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "\0", "rm", "git", "git -C", "git push", "((((", "rm -rf " * 3000, "$(" * 500, "x" * 200_000, "rm '\udcff'"],
)
def test_no_text_makes_it_fail(text: str) -> None:
    find_losses(text, home=HOME, workspace=WORKSPACE)
