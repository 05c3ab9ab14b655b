"""The patch engine: parse a patch, place its hunks, plan the change. Pure but for workspace_files.py, standalone.py.

The workspace commits what is planned. Other programs need one function of it: `apply(root, patch)`, which gives a
report or raises EditError.
"""

from kimi_agent.edit.files_adapter import WorkspaceFiles, commit_plan
from kimi_agent.edit.parsing.parse_patch import parse_patch
from kimi_agent.edit.patch import PatchSection
from kimi_agent.edit.planning.edit_plan import EditPlan, FileResult
from kimi_agent.edit.planning.file_state import FileState, FileView
from kimi_agent.edit.planning.plan_patch import PlanError, plan_patch
from kimi_agent.edit.planning.plan_replacement import Replacement, plan_replacement
from kimi_agent.edit.planning.syntax_check import find_new_syntax_error
from kimi_agent.edit.rendering.diff_view import make_diff_view, make_file_diff
from kimi_agent.edit.rendering.result_text import format_edit_result, format_patch_result
from kimi_agent.edit.standalone import EditError, PatchReport, apply

__all__ = [
    "EditError",
    "EditPlan",
    "FileResult",
    "FileState",
    "FileView",
    "PatchReport",
    "PatchSection",
    "PlanError",
    "Replacement",
    "WorkspaceFiles",
    "apply",
    "commit_plan",
    "find_new_syntax_error",
    "format_edit_result",
    "format_patch_result",
    "make_diff_view",
    "make_file_diff",
    "parse_patch",
    "plan_patch",
    "plan_replacement",
]
