"""Table of the options of git's own commands, in the form of `git log`'s and `git diff`'s manual pages.

Left out are those that run a program (`--ext-diff`, `--upload-pack`, `-O`, a format's `%G`), write to a file
(`--output`), read one that no path names (`--contents`, `--pathspec-from-file`), leave the repository (`--no-index`,
`-C`) or do more than the command's name says (`push --force`, `branch -D`, `commit --no-verify`).
"""

from dataclasses import replace

from kimi_agent.guard.shell.options.spec import CommandSpec

_NO_SIGNATURES = dict.fromkeys(("format", "pretty"), r"(?!.*(?:%G|signature)).*")  # %G? and %(signature) start gpg
_NO_HELPER = r"(?!.*::)(?![+:]).*"  # ext::COMMAND runs it; +ref forces, :ref deletes
_DIFF_SHORT = "pusabwzWRDU:B::M::C::G:S:l:"
_DIFF_LONG = (
    "patch no-patch unified= raw patch-with-raw patch-with-stat indent-heuristic no-indent-heuristic minimal patience "
    "histogram anchored= diff-algorithm= stat=? compact-summary numstat shortstat dirstat=? cumulative summary "
    "name-only name-status color=? no-color color-moved=? no-color-moved color-moved-ws= word-diff=? word-diff-regex= "
    "color-words=? no-renames rename-empty no-rename-empty check ws-error-highlight= full-index binary abbrev=? "
    "break-rewrites=? find-renames=? find-copies=? find-copies-harder irreversible-delete diff-filter= find-object= "
    "pickaxe-all pickaxe-regex text ignore-cr-at-eol ignore-space-at-eol ignore-space-change ignore-all-space "
    "ignore-blank-lines ignore-matching-lines= inter-hunk-context= function-context exit-code quiet no-ext-diff "
    "no-textconv ignore-submodules=? src-prefix= dst-prefix= no-prefix line-prefix= ita-invisible-in-index relative=? "
    "no-relative skip-to= rotate-to= output-indicator-new= output-indicator-old= output-indicator-context= "
)
_DIFF_TEXTS = (
    "G S anchored word-diff-regex color-words ignore-matching-lines src-prefix dst-prefix line-prefix "
    "output-indicator-new output-indicator-old output-indicator-context I "
)
_LOG_SHORT = "giEFPqmtrn:0123456789L:I:"
_LOG_LONG = (
    "oneline graph no-graph all branches=? tags=? remotes=? decorate=? no-decorate decorate-refs= "
    "decorate-refs-exclude= max-count= skip= since= after= until= before= author= committer= grep= grep-reflog= "
    "all-match invert-grep regexp-ignore-case basic-regexp extended-regexp fixed-strings perl-regexp merges no-merges "
    "min-parents= max-parents= no-min-parents no-max-parents first-parent not glob= exclude= reflog walk-reflogs "
    "boundary simplify-by-decoration full-history dense sparse simplify-merges ancestry-path show-pulls date-order "
    "author-date-order topo-order reverse no-walk=? do-walk format= pretty=? abbrev-commit no-abbrev-commit encoding= "
    "expand-tabs=? no-expand-tabs notes=? no-notes date= relative-date parents children left-right cherry-mark "
    "cherry-pick cherry left-only right-only full-diff follow log-size source mailmap use-mailmap no-mailmap "
    "no-use-mailmap show-linear-break=? diff-merges= no-diff-merges combined-all-paths cc merge "
)
_LOG_TEXTS = (
    "L I grep grep-reflog author committer format pretty glob branches tags remotes exclude decorate-refs date "
)
_LOG = CommandSpec(
    short=_LOG_SHORT + _DIFF_SHORT,
    long=_LOG_LONG + _DIFF_LONG,
    values=_NO_SIGNATURES,
    texts=_LOG_TEXTS + _DIFF_TEXTS,
)
_LISTED_REFS = (
    "contains= no-contains= merged= no-merged= points-at= sort= format= color=? ignore-case column=? no-column"
)
_REMOTES = {"URL": _NO_HELPER}
_PICK = CommandSpec(
    short="nxm:",
    long="no-commit no-edit edit mainline= abort continue skip quit signoff allow-empty",
    operands="TEXT...",
)

GIT_OPTIONS = CommandSpec(
    short="Pvh", long="no-pager no-optional-locks literal-pathspecs version help no-replace-objects", stops=True
)
"""Of git itself, in front of the command's name."""

GIT_COMMANDS = {
    "git status": CommandSpec(
        short="sbvzu::M::",
        long="short branch show-stash porcelain=? long verbose untracked-files=? ignore-submodules=? ignored=? "
        "column=? no-column ahead-behind no-ahead-behind renames no-renames find-renames=?",
    ),
    "git log": _LOG,
    "git diff": CommandSpec(
        short=_DIFF_SHORT + "I:0123",
        long=_DIFF_LONG + "staged cached merge-base base ours theirs cc",
        texts=_DIFF_TEXTS,
    ),
    "git show": _LOG,
    "git shortlog": CommandSpec(
        short="nsec" + _LOG_SHORT.replace("n:", ""), long="numbered summary email group= " + _LOG_LONG, texts=_LOG_TEXTS
    ),
    "git whatchanged": _LOG,
    "git rev-list": _LOG,
    "git reflog": replace(
        _LOG, operands="TEXT...", values={**_NO_SIGNATURES, "TEXT": r"(?!(?:expire|delete|drop)$).*"}
    ),
    "git diff-tree": CommandSpec(
        short="rtm" + _DIFF_SHORT, long=_DIFF_LONG + "root no-commit-id stdin", texts=_DIFF_TEXTS
    ),
    "git blame": CommandSpec(
        short="bltsewfnpcL:M::C::",
        long="porcelain line-porcelain incremental show-name show-number show-email date= since= ignore-rev= root "
        "show-stats abbrev= first-parent reverse encoding= color-lines color-by-age progress no-progress",
        texts="L date",
    ),
    "git add": CommandSpec(
        short="nvAuN",
        long="dry-run verbose all no-all ignore-removal no-ignore-removal update intent-to-add refresh ignore-errors "
        "ignore-missing sparse renormalize chmod=",
    ),
    "git ls-files": CommandSpec(
        short="cdmoiskutvzfx:",
        long="cached deleted modified others ignored stage unmerged killed directory no-empty-directory eol "
        "deduplicate exclude= exclude-standard full-name error-unmatch with-tree= abbrev=? resolve-undo sparse debug "
        "format=",
        texts="x exclude format",
    ),
    "git rev-parse": CommandSpec(
        short="q",
        long="verify quiet short=? abbrev-ref=? symbolic symbolic-full-name git-dir absolute-git-dir git-common-dir "
        "show-toplevel show-prefix show-cdup show-superproject-working-tree is-inside-work-tree is-inside-git-dir "
        "is-bare-repository is-shallow-repository all branches=? tags=? remotes=? glob= revs-only no-revs flags "
        "no-flags not since= until= path-format= show-object-format=? show-ref-format local-env-vars",
    ),
    "git grep": CommandSpec(
        short="iIwvEFGPnlLczahHoqpWe:A:B:C:m:0123456789",
        long="ignore-case word-regexp invert-match extended-regexp basic-regexp fixed-strings perl-regexp line-number "
        "files-with-matches name-only files-without-match count null text full-name only-matching quiet show-function "
        "function-context after-context= before-context= context= max-depth= max-count= cached untracked "
        "exclude-standard no-exclude-standard heading break column color=? no-color and or not all-match threads=",
        operands="PATTERN PATH...",
        texts="e",
        displacing="e",
    ),
    "git describe": CommandSpec(
        long="all tags always long contains dirty=? broken=? abbrev= match= exclude= first-parent"
    ),
    "git show-ref": CommandSpec(
        short="s::dq", long="head heads tags branches hash=? abbrev=? dereference verify quiet exists"
    ),
    "git for-each-ref": CommandSpec(long=_LISTED_REFS + " count=", values=_NO_SIGNATURES, texts="format"),
    "git ls-tree": CommandSpec(
        short="drtlz", long="long name-only name-status object-only full-name full-tree abbrev=?"
    ),
    "git cat-file": CommandSpec(short="ptse", operands="TEXT TEXT"),
    "git merge-base": CommandSpec(short="a", long="all octopus independent is-ancestor fork-point", operands="TEXT..."),
    "git name-rev": CommandSpec(long="tags refs= exclude= all name-only always", operands="TEXT..."),
    "git check-ignore": CommandSpec(short="qvnz", long="quiet verbose non-matching no-index"),
    "git branch": CommandSpec(
        short="arvql",
        long="list all remotes show-current verbose quiet abbrev= no-abbrev no-color " + _LISTED_REFS,
        values=_NO_SIGNATURES,
        operands="TEXT...",
        texts="format",
    ),
    "git tag": CommandSpec(
        short="alin::m:",
        long="annotate list message= " + _LISTED_REFS,
        operands="TEXT...",
        values=_NO_SIGNATURES,
        texts="m message format",
    ),
    "git remote": CommandSpec(
        short="v",
        long="verbose all push",
        operands="TEXT...",
        values={"TEXT": r"(?!(?:add|set-url|set-head|set-branches|rename|remove|rm|prune|update)$)" + _NO_HELPER},
    ),
    "git stash": CommandSpec(short="uqm:", long="include-untracked message= quiet index keep-index", texts="m message"),
    "git worktree": CommandSpec(long="porcelain"),
    "git commit": CommandSpec(
        short="avqsm:",
        long="all message= amend no-edit allow-empty allow-empty-message verbose quiet signoff dry-run short branch "
        "porcelain long date= author= fixup= squash= reset-author status no-status only",
        texts="m message author date",
    ),
    "git push": CommandSpec(
        short="uqvn",
        long="set-upstream quiet verbose dry-run tags follow-tags porcelain progress no-progress atomic",
        operands="URL...",
        values=_REMOTES,
    ),
    "git fetch": CommandSpec(
        short="pqvtn46j:",
        long="all prune tags no-tags depth= unshallow dry-run quiet verbose progress no-progress jobs= shallow-since=",
        operands="URL...",
        values=_REMOTES,
    ),
    "git pull": CommandSpec(
        short="qvr",
        long="rebase=? no-rebase ff ff-only no-ff autostash no-autostash quiet verbose all prune tags no-tags depth=",
        operands="URL...",
        values={**_REMOTES, "rebase": "(?:true|false|merges|)"},
    ),
    "git clone": CommandSpec(
        short="qvb:",
        long="depth= branch= single-branch no-tags quiet verbose progress",
        operands="URL PATH",
        values={"URL": r"(?!.*::).*"},
    ),
    "git ls-remote": CommandSpec(
        short="htq", long="heads branches tags refs quiet symref exit-code", operands="URL...", values=_REMOTES
    ),
    "git checkout": CommandSpec(short="qb:", long="quiet detach track=? guess no-guess progress no-progress"),
    "git switch": CommandSpec(short="qdc:", long="create= detach track=? guess no-guess quiet", operands="TEXT..."),
    "git restore": CommandSpec(short="SWqs:", long="staged worktree source= quiet"),
    "git merge": CommandSpec(
        short="qm:",
        long="ff no-ff ff-only commit no-commit squash no-squash abort continue quit stat no-stat no-edit message= "
        "quiet",
        operands="TEXT...",
        texts="m message",
    ),
    "git rebase": CommandSpec(
        short="q", long="abort continue skip quit onto= autostash autosquash quiet stat no-stat", operands="TEXT..."
    ),
    "git cherry-pick": _PICK,
    "git revert": _PICK,
    "git reset": CommandSpec(short="q", long="soft mixed hard quiet"),
    "git rm": CommandSpec(short="rqn", long="cached quiet dry-run ignore-unmatch"),
    "git mv": CommandSpec(short="nvk", long="dry-run verbose"),
    "git init": CommandSpec(short="qb:", long="quiet initial-branch="),
}
