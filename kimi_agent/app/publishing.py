"""Publishing of a verified turn, where the person asked for it: a git commit, and a pull request on GitHub."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.call_plan import CallPlan, PlannedCommand
from kimi_agent.errors import UserError
from kimi_agent.faces.evidence_text import evidence_markdown
from kimi_agent.guard.policy.policy import Policy
from kimi_agent.guard.policy.rules import PULL_REQUEST_TOOL
from kimi_agent.log.ask_person import ask_person
from kimi_agent.log.events import Committed, Notice, Published
from kimi_agent.log.messages import Assistant
from kimi_agent.log.questions import Ask, Question
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Evidence, OutputView
from kimi_agent.printable import list_paths
from kimi_agent.rewind.file_plan.authorship import Authorship
from kimi_agent.rewind.tree_changes import read_other_changes, read_tree_changes
from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.repository.agent_changes import find_agent_changes
from kimi_agent.workspace.repository.commit_message import CommitContext
from kimi_agent.workspace.repository.git_commit import BranchChoice, CommitResult, commit_agent_changes
from kimi_agent.workspace.repository.pull_request import PullRequest, open_pull_request, plan_pull_request


@dataclass(frozen=True)
class AutoCommit:
    """Commits what the agent changed since the last commit of this session, once that is verified."""

    workspace: Path
    session: Session
    checkpoints: Checkpoints
    branch: BranchChoice
    environ: Mapping[str, str]

    async def run(self, evidence: Evidence) -> None:
        """Commit; see `commit`."""
        await self.commit(evidence)

    async def commit(self, evidence: Evidence) -> CommitResult | None:
        """Commit, and report it in notices; None where nothing was committed, which a `Published` then says too."""
        # A turn without changes commits those of earlier turns, so its run must have seen the files as they are.
        if not evidence.is_green or evidence.changed_since:
            if evidence.files:
                self._give_up("Not committed: the turn is not verified.")
            return None
        try:
            made = await asyncio.to_thread(self._commit, evidence)
        except UserError as error:
            self._give_up(str(error))
            return None
        if not made.commit:
            self._give_up(*made.sentences)
            return None
        for sentence in made.sentences:
            self.session.emit(Notice(sentence))
        self.session.emit(Committed(made.commit, made.branch, made.files))
        return made

    def _commit(self, evidence: Evidence) -> CommitResult:
        log = list(self.session.events())
        since = max((each.seq for each in log if isinstance(each.event, Committed)), default=0)
        spans = [each for each in read_tree_changes(log) if each.seq > since and not each.failed and each.after]
        began = spans[0].began if spans else 0.0
        authorship = Authorship(self.checkpoints, read_other_changes(self.session.folder, began))
        found = [each for span in spans if span.before != span.after for each in authorship.of(span)]
        ours = [each.change for each in found if each.author == "agent" and each.seen]
        if unsure := sorted({each.change.path for each in found if each.author == "unsure"}):
            why = "Not committed, for you may have written them while a command ran"
            self.session.emit(Notice(f"{why}: {list_paths(unsure)}"))
        story = CommitContext(self.session.conversation.title, self.session.id, evidence)
        changes = find_agent_changes(self.checkpoints, ours)
        return commit_agent_changes(self.workspace, changes, story, branch=self.branch, environ=self.environ)

    def _give_up(self, *sentences: str) -> None:
        for sentence in sentences:
            self.session.emit(Notice(sentence))
        self.session.emit(Published(error=" ".join(sentences)))


@dataclass(frozen=True)
class AutoPullRequest:
    """Pushes such a commit, and opens a pull request for it, once the person or a rule says yes."""

    committing: AutoCommit
    policy: Policy
    ask: Ask
    runner: ProcessRunner
    model: str

    async def run(self, evidence: Evidence) -> None:
        """Commit, push, and open it; what came of it is reported in notices, and as a `Published`."""
        made = await self.committing.commit(evidence)
        if made is None:
            return
        url = error = ""
        try:
            url = await self._open(made, evidence)
        except UserError as refused:
            error = str(refused)
        emit = self.committing.session.emit
        emit(Notice(error or f"Opened {url}"))
        emit(Published(url, error))

    async def _open(self, made: CommitResult, evidence: Evidence) -> str:
        """The address of the new pull request. Raises UserError."""
        committing = self.committing
        session, workspace, environ = committing.session, committing.workspace, committing.environ
        plan = await asyncio.to_thread(
            plan_pull_request,
            workspace,
            title=session.conversation.title,
            body=self._body(evidence),
            base=made.base,
            environ=environ,
        )
        if not await self._allowed(plan):
            raise UserError(f"No pull request was opened; the work is on {made.branch}.")
        return await open_pull_request(plan, workspace=workspace, runner=self.runner, environ=environ)

    def _body(self, evidence: Evidence) -> str:
        session = self.committing.session
        messages: Sequence[object] = session.conversation.messages()
        answer = next((each.text for each in reversed(messages) if isinstance(each, Assistant) and each.text), "")
        parts = (answer.strip(), evidence_markdown(evidence, session=session.id, model=self.model))
        return "\n\n".join(filter(None, parts))

    async def _allowed(self, plan: PullRequest) -> bool:
        """What the rules, the mode or the person say: its commands are judged like any other's."""
        folder = str(self.committing.workspace)
        commands = tuple(PlannedCommand(text, folder, "settings") for text in plan.commands)
        verdict = self.policy.judge(CallPlan(PULL_REQUEST_TOOL, "network", commands=commands))
        if verdict.kind != "ask":
            return verdict.kind == "allow"
        question = Question(PULL_REQUEST_TOOL, plan.question, OutputView("\n".join(plan.commands)), verdict.why)
        async with self.policy.question_lock:
            return (await ask_person(question, self.ask, self.committing.session.emit)).allowed
