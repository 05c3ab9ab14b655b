"""Edits as values: parse a patch, match it, plan the change. Pure but for `disk` and `alone`; the workspace commits.

Other programs need one function of it: `apply(root, patch)`, which gives a Report or raises EditError.
"""

from kimi_agent.edit.patch import Section, parse
from kimi_agent.edit.planning.edit_plan import Change, Done
from kimi_agent.edit.planning.file_state import FileState, View
from kimi_agent.edit.planning.plan_patch import PlanError, plan_patch
from kimi_agent.edit.planning.plan_replacement import Replacement, plan_replacement
from kimi_agent.edit.planning.syntax_check import trouble as syntax_trouble
from kimi_agent.edit.rendering.diff_view import diff_view, file_diff
from kimi_agent.edit.rendering.result_text import applied, edited
from kimi_agent.edit.standalone import EditError, Report, apply
from kimi_agent.edit.workspace_files import Disk, carry_out

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
