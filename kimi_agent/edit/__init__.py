"""Edits as values: parse a patch, match it, plan the change. Pure but for `disk`; the workspace commits."""

from kimi_agent.edit.diff import diff_view, file_diff
from kimi_agent.edit.disk import Disk, carry_out
from kimi_agent.edit.patch import Section, parse
from kimi_agent.edit.plan import Change, Done, PlanError, plan_patch
from kimi_agent.edit.replace import Replacement, plan_replacement
from kimi_agent.edit.report import applied, edited
from kimi_agent.edit.state import FileState, View

__all__ = [
    "Change",
    "Disk",
    "Done",
    "FileState",
    "PlanError",
    "Replacement",
    "Section",
    "View",
    "applied",
    "carry_out",
    "diff_view",
    "edited",
    "file_diff",
    "parse",
    "plan_patch",
    "plan_replacement",
]
