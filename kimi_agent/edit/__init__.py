"""Edits as values: parse a patch, match it, plan the change. Pure but for `disk` and `alone`; the workspace commits.

Other programs need one function of it: `apply(root, patch)`, which gives a Report or raises EditError.
"""

from kimi_agent.edit.alone import EditError, Report, apply
from kimi_agent.edit.change import Change, Done
from kimi_agent.edit.diff import diff_view, file_diff
from kimi_agent.edit.disk import Disk, carry_out
from kimi_agent.edit.patch import Section, parse
from kimi_agent.edit.plan import PlanError, plan_patch
from kimi_agent.edit.replace import Replacement, plan_replacement
from kimi_agent.edit.report import applied, edited
from kimi_agent.edit.state import FileState, View
from kimi_agent.edit.syntax import trouble as syntax_trouble

__all__ = [
    "Change",
    "Disk",
    "Done",
    "EditError",
    "FileState",
    "PlanError",
    "Replacement",
    "Report",
    "Section",
    "View",
    "applied",
    "apply",
    "carry_out",
    "diff_view",
    "edited",
    "file_diff",
    "parse",
    "plan_patch",
    "plan_replacement",
    "syntax_trouble",
]
