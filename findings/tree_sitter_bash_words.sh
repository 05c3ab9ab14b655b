#!/bin/sh
# tree-sitter-bash reads some valid commands as other words than bash does, and reports no error.
#
# Seen with tree-sitter 0.26.1, tree-sitter-bash 0.25.1 and bash 5.2.15 (Debian 12), Python 3.11:
#   - words behind a redirect are further targets of the redirect: in `printf '[%s]' >f a b` the grammar has the
#     arguments ['[%s]'] and three destinations, where bash passes a and b to printf and writes to f alone;
#   - a word that goes on behind a backslash and a line end is two words, where bash has one;
#   - valid commands that it calls broken: `cat <>f`, and two here-documents on one command.
# Why it matters: a program that judges a command by this tree judges other words than those that run.
#
# Prints "as seen", and ends with 1 where a version behaves differently.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-bash==0.25.1

# What bash does.
[ "$(bash -c "printf '[%s]' >f a b; cat f; ls")" = "[a][b]f
venv" ] || { echo "bash no longer passes the words behind a redirect on"; exit 1; }
rm f
[ "$(bash -c 'printf "[%s]" a\
b')" = "[ab]" ] || { echo "bash no longer joins a continued word"; exit 1; }
bash -n -c 'cat <>f' && bash -n -c 'cat <<A <<B
A
B' || { echo "bash no longer takes these commands"; exit 1; }

# What the grammar reads.
cat > read.py <<'PY'
import tree_sitter
import tree_sitter_bash

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def tree(text):
    return PARSER.parse(text.encode()).root_node


def texts(node, kind):
    found = [child.text.decode() for child in node.children if child.type == kind]
    return found + [text for child in node.children for text in texts(child, kind)]


def redirect_words(node):
    if node.type == "file_redirect":
        return [child.text.decode() for child in node.children_by_field_name("destination")]
    return [word for child in node.children for word in redirect_words(child)]


redirected = tree("printf '[%s]' >f a b")
assert not redirected.has_error
assert redirect_words(redirected) == ["f", "a", "b"], redirect_words(redirected)
continued = tree("printf x a\\\nb")
assert not continued.has_error
assert texts(continued, "word") == ["x", "a", "b", "printf"], texts(continued, "word")
assert tree("cat <>f").has_error
assert tree("cat <<A <<B\nA\nB\n").has_error
PY
venv/bin/python read.py || { echo "the grammar reads these commands differently now"; exit 1; }
echo "as seen"
