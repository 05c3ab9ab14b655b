"""Project map: the tested projects of a workspace, one for each folder and ecosystem, and which of them owns a file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.projects.folder_index import FolderIndex
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import TestRunner

# Projects that tests or a documentation are about: never run.
_MATERIAL = re.compile(
    r"_*(?:test[-_]?)?(?:fixtures?|data|cases|resources|repos?)_*|testdata|snapshots|__snapshots__|recorded|templates?|"
    r"cookiecutter.*|\{\{.*"
)
# Projects of their own beside the real ones: run only where they were changed.
_ASIDE = re.compile(
    r"examples?|samples?|demos?|tests?|specs?|__tests__|e2e|bench(?:es|marks?)?|docs?|scripts|tools|website"
)
# No test is about these: any run that passed is good enough for them.
_DOCUMENT = re.compile(
    r".*\.(?:md|rst|txt|adoc|org|png|jpe?g|gif|svg|ico|webp|pdf|log)|\..*|"
    r"(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS|CHANGELOG|CHANGES|README|CODEOWNERS|AGENTS)(?:\..*)?"
)
# Code that the tests of another ecosystem commonly build or start: extension modules, and scripts around them.
_EMBEDDED = frozenset({"C/C++", "Shell"})
ANY_ECOSYSTEM = ""


@dataclass(frozen=True)
class Project:
    """The tests of one ecosystem in one folder; `runners` with the evidence for each, in the order they are tried."""

    folder: ProjectFolder
    ecosystem: str
    runners: tuple[tuple[TestRunner, str], ...]

    @property
    def place(self) -> str:
        """Its folder relative to the workspace, "." for the top."""
        return self.folder.below_root or "."

    @property
    def is_aside(self) -> bool:
        """Whether it is an example, a benchmark or the like, run only where it was changed."""
        return any(_ASIDE.fullmatch(part) for part in self.folder.below_root.split("/"))


class ProjectMap:
    """What can be tested where, as the files are now. Everything is found when first asked for."""

    def __init__(self, files: Files, runners: Sequence[TestRunner], index: FolderIndex | None = None) -> None:
        self.index = index or FolderIndex(files.root)
        self._files = files
        self._runners = runners
        self._ecosystems: dict[str, frozenset[str]] = {}
        self._suffixes = {
            suffix: runner.ecosystem for runner in reversed(runners) if not runner.is_task for suffix in runner.suffixes
        }

    @cached_property
    def projects(self) -> tuple[Project, ...]:
        """All tested projects, the nearest to the top first, without those that a project above them covers."""
        found: list[Project] = []
        for folder in self._marked_folders:
            for project in self.projects_at(folder):
                if not any(_covers(above, project) for above in found):
                    found.append(project)
        return tuple(found)

    def projects_at(self, place: str) -> tuple[Project, ...]:
        """The projects in a folder ("" for the top): there any, below it those that have a manifest in it.

        A task runs what the runners beside it would run: it is a project only where there is none, else one of the
        ways to run the first of them.
        """
        here = self._manifest_ecosystems(place)
        runners = [each for each in self._runners if here is None or each.ecosystem in here]
        folders = {each: self._folder(place, each) for each in {runner.ecosystem for runner in runners}}
        hits = [(runner, why) for runner in runners if (why := runner.evidence(folders[runner.ecosystem]))]
        tasks = [(runner, why) for runner, why in hits if runner.is_task]
        groups: dict[str, list[tuple[TestRunner, str]]] = {}
        for runner, why in hits:
            if not runner.is_task and not (tasks and runner.yields_to_tasks(folders[runner.ecosystem])):
                groups.setdefault(runner.ecosystem, []).append((runner, why))
        if not groups and tasks:
            groups[tasks[0][0].ecosystem] = []
        for rows in list(groups.values())[:1]:
            rows += tasks
        return tuple(Project(folders[name], name, tuple(rows)) for name, rows in groups.items())

    def owner(self, path: str) -> Owner | None:
        """The project whose tests a file needs (relative, with slashes); None where any run is good enough for it."""
        name = PurePosixPath(path).name
        if path.startswith(".") or _DOCUMENT.fullmatch(name):
            return None
        ecosystem = self._suffixes.get(_suffix(name)) or self._suffixes.get(name) or self._manifest_of(name)
        above = [project for project in self.projects if _holds(project.place, path)]
        nearest = above[-1].place if above else "."
        if ecosystem is None:
            return self._owner_at(nearest, above)
        own = [project for project in above if project.ecosystem == ecosystem]
        if not own and ecosystem in _EMBEDDED:
            return self._owner_at(nearest, above)
        place = self._nearest_manifest(path, ecosystem, own)
        return Owner(ecosystem, place)

    def run_for(self, owner: Owner) -> tuple[Project, ...]:
        """The projects that are run for a file of `owner`: its own, or a task above it."""
        own = [each for each in self.projects if each.place == owner.folder]
        if owner.ecosystem == ANY_ECOSYSTEM:
            return tuple(own)
        exact = tuple(each for each in own if each.ecosystem == owner.ecosystem)
        tasks = [each for each in self.projects if each.runners[0][0].is_task and _holds(each.place, owner.folder)]
        return exact or tuple(tasks[-1:])

    def users_of(self, owners: Iterable[Owner]) -> tuple[Project, ...]:
        """The projects that use the packages of `owners`, directly or through one another; no examples and the like."""
        folders = {
            owner: self._folder("" if owner.folder == "." else owner.folder, owner.ecosystem) for owner in owners
        }
        waiting = [self._package(folder, owner.ecosystem)[0] for owner, folder in folders.items()]
        found: dict[str, Project] = {}
        while waiting:
            name = waiting.pop()
            for project, (own, used) in self._packages if name else ():
                if name in used and project.place not in found and not project.is_aside:
                    found[project.place] = project
                    waiting.append(own)
        return tuple(found.values())

    def _package(self, folder: ProjectFolder, ecosystem: str) -> tuple[str, frozenset[str]]:
        """The name of a folder's package and of those that it uses, by the first runner of its ecosystem that knows."""
        known = (runner.packages(folder) for runner in self._runners if runner.ecosystem == ecosystem)
        return next((found for found in known if any(found)), ("", frozenset()))

    @cached_property
    def _packages(self) -> list[tuple[Project, tuple[str, frozenset[str]]]]:
        return [(project, self._package(project.folder, project.ecosystem)) for project in self.projects]

    def _owner_at(self, place: str, above: Sequence[Project]) -> Owner | None:
        ecosystems = {project.ecosystem for project in above if project.place == place and not _is_task(project)}
        if not above:
            return None
        return Owner(ecosystems.pop() if len(ecosystems) == 1 else ANY_ECOSYSTEM, place)

    def _nearest_manifest(self, path: str, ecosystem: str, own: Sequence[Project]) -> str:
        """The folder of the project of `ecosystem` that a file belongs to, whether or not it has tests."""
        nearest = own[-1] if own else None
        for folder in map(str, PurePosixPath(path).parents):
            if nearest is not None and folder == nearest.place:
                break
            below = "" if folder == "." else folder
            if folder == "." or not self._has_manifest(below, ecosystem) or _is_material(below):
                continue
            if nearest is None or not _covers_folder(nearest, below):
                return folder
        return nearest.place if nearest is not None else "."

    @cached_property
    def _marked_folders(self) -> tuple[str, ...]:
        """The top, and the folders below it that hold a manifest; without material."""
        folders = (each for each in self.index.walk() if each and not _is_material(each))
        return ("", *(each for each in folders if self._manifest_ecosystems(each)))

    def _manifest_ecosystems(self, folder: str) -> frozenset[str] | None:
        """The ecosystems whose manifests are in a folder; None for the top, where no manifest is needed."""
        if not folder:
            return None
        if folder not in self._ecosystems:
            # Most names are none of any ecosystem: one pattern says so at once.
            marked = filter(self._any_manifest.fullmatch, self.index.names(folder)[0])
            found = (each for name in marked for each, known in self._manifests if known.fullmatch(name))
            self._ecosystems[folder] = frozenset(found)
        return self._ecosystems[folder]

    def _has_manifest(self, folder: str, ecosystem: str) -> bool:
        return ecosystem in (self._manifest_ecosystems(folder) or ())

    def _manifest_of(self, name: str) -> str | None:
        return next((ecosystem for ecosystem, known in self._manifests if known.fullmatch(name)), None)

    @cached_property
    def _any_manifest(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{known.pattern})" for _, known in self._manifests) or "(?!)")

    @cached_property
    def _manifests(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        patterns: dict[str, list[str]] = {}
        for runner in self._runners:
            patterns.setdefault(runner.ecosystem, []).extend(runner.manifests)
        return tuple((name, re.compile("|".join(each))) for name, each in patterns.items() if each)

    def _folder(self, below: str, ecosystem: str) -> ProjectFolder:
        """A folder as the runners of an ecosystem see it: without the projects of that ecosystem below it."""
        start = f"{below}/" if below else ""
        inner = (each for each in self._marked_folders if each != below and each.startswith(start))
        own = tuple(each for each in inner if self._has_manifest(each, ecosystem))
        return ProjectFolder(self._files, self._files.root / below, self.index, own)


def _below(owner: Owner) -> str:
    return "" if owner.folder == "." else owner.folder


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _holds(place: str, path: str) -> bool:
    """Whether a path (or a folder) is in the folder `place`."""
    return place in (".", path) or path.startswith(f"{place}/")


def _is_task(project: Project) -> bool:
    return project.runners[0][0].is_task


def _is_material(folder: str) -> bool:
    return any(_MATERIAL.fullmatch(part) for part in folder.split("/"))


def _covers(above: Project, project: Project) -> bool:
    """Whether a run of `above` runs the tests of `project` too."""
    if above.place == project.place or not _holds(above.place, project.place):
        return False
    if _is_task(above) and _is_task(project):
        return True
    return above.ecosystem == project.ecosystem and _covers_folder(above, project.folder.below_root)


def _covers_folder(above: Project, folder: str) -> bool:
    below = folder.removeprefix(f"{above.folder.below_root}/") if above.folder.below_root else folder
    return above.runners[0][0].covers(above.folder, below)


def select_projects(projects: Iterable[Project], most: int) -> tuple[tuple[Project, ...], tuple[str, ...]]:
    """Those that are run where nothing says what changed, and what is left out, as sentences."""
    real = [project for project in projects if not project.is_aside]
    left = [
        f"{project.place}: {project.runners[0][0].name}, beyond the first {most} projects" for project in real[most:]
    ]
    return tuple(real[:most]), tuple(left)
