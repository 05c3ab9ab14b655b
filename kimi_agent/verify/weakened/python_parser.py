"""Python test parser by syntax tree: pytest functions, and methods of test classes."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kimi_agent.verify.weakened.parsed_tests import ParsedTest, ParsedTestFile

_SKIP = re.compile(r"^(?:skip|xfail|expectedFailure|importorskip)")
_ASSERTING_NAME = re.compile(r"^_?(?:assert|verify|check|expect|should)(?:_|[A-Z]|$)")
_ASSERTING_CALLS = frozenset({"raises", "warns", "deprecated_call", "fail"})
_ON_CONSTANTS = re.compile(r"assert(?:True|False|(?:Not)?Equal|Is|IsNone|IsNotNone|In|_)")
_BROAD = frozenset({"AssertionError", "Exception", "BaseException"})
_REFLEXIVE_OPERATORS = (ast.Eq, ast.Is, ast.LtE, ast.GtE)
_NO_HELPERS: Mapping[str, int] = {}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse_python_tests(text: str) -> ParsedTestFile | None:
    """What the file holds, None where it can't be parsed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings():  # of invalid escapes and the like, which are not ours to report
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        return _Reader(text.split("\n"), tree).file()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Reader:
    def __init__(self, lines: list[str], tree: ast.Module) -> None:
        self._lines = lines
        self._tree = tree
        self._tests: dict[str, ParsedTest] = {}
        self._other: list[str] = []
        self._helpers: Mapping[str, int] = _NO_HELPERS

    def file(self) -> ParsedTestFile:
        functions = (each for each in ast.walk(self._tree) if isinstance(each, _Function))
        # A helper's assertions are those of each test that calls it: moving some into a helper weakens nothing.
        self._helpers = {each.name: n for each in functions if not _is_test(each) and (n := len(self._checks(each)))}
        skips = self._marks(self._tree.body) + self._stops(self._tree.body)
        self._block(self._tree.body, "", skips)
        return ParsedTestFile(self._tests, tuple(self._other), skips, " ".join(self._outside()))

    def _outside(self) -> Iterator[str]:
        """The code at the top of the file, its tests and test classes left out."""
        for each in self._tree.body:
            if not (isinstance(each, _Function) and _is_test(each)) and not isinstance(each, ast.ClassDef):
                yield ast.unparse(each)

    def _block(self, body: Iterable[ast.stmt], prefix: str, skips: int) -> None:
        for each in body:
            match each:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_test(each):
                    self._tests[prefix + each.name] = self._test(each, prefix + each.name, skips)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._other += self._checks(each)
                case ast.ClassDef(name=name) if _is_collected(each):
                    marks = skips + _skips(each.decorator_list) + self._marks(each.body)
                    self._block(each.body, f"{prefix}{name}::", marks)
                case ast.ClassDef():
                    self._other += [line for part in each.body for line in self._block_checks([part])]
                case ast.If() | ast.Try() | ast.With():
                    for inner in _bodies(each):
                        self._block(inner, prefix, skips)
                case _:
                    pass

    def _test(self, function: _Function, name: str, skips: int) -> ParsedTest:
        skips += _skips(function.decorator_list) + self._stops(function.body)
        rows: int | None = 1
        for decorator in function.decorator_list:
            count = _rows(decorator)
            rows = None if rows is None or count is None else rows * count
        body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        text = "\n".join(map(ast.unparse, body))
        source = "\n".join([*map(ast.unparse, function.decorator_list), text])
        return ParsedTest(name, tuple(self._checks(function)), skips, text, rows, source=source)

    def _text(self, first: ast.AST, last: ast.AST) -> str:
        start, end = getattr(first, "lineno", 1), getattr(last, "end_lineno", 1)
        return " ".join(" ".join(self._lines[start - 1 : end]).split())

    def _marks(self, body: Sequence[ast.stmt]) -> int:
        """How many marks in `pytestmark` skip what follows."""
        values = [each.value for each in body if isinstance(each, ast.Assign) and _named(each.targets, "pytestmark")]
        return _skips(values)

    def _stops(self, body: Sequence[ast.stmt]) -> int:
        """How many statements (not of functions inside) may skip or excuse what runs them."""
        found = 0
        todo: list[ast.AST] = list(body)
        while todo:
            node = todo.pop()
            if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
                continue
            called = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
            found += isinstance(node, ast.Call) and bool(_SKIP.match(_name(called)))
            found += isinstance(node, ast.Raise) and _name(called) == "SkipTest"
            todo += ast.iter_child_nodes(node)
        return found

    def _checks(self, function: _Function) -> list[str]:
        return list(self._block_checks(function.body))

    def _block_checks(self, body: Iterable[ast.stmt]) -> Iterator[str]:
        """The assertions that these statements can reach."""
        for each in body:
            yield from self._statement_checks(each)
            if isinstance(each, ast.Return | ast.Raise | ast.Continue | ast.Break) or _ends_test(each):
                return

    def _statement_checks(self, each: ast.stmt) -> Iterator[str]:
        match each:
            case ast.Assert(test=test):
                if not _always_true(test):
                    yield self._text(each, each)
            case ast.Raise(exc=raised) if _name(raised) == "AssertionError":
                yield self._text(each, each)
            case ast.If(test=test) | ast.While(test=test) if isinstance(test, ast.Constant):
                yield from self._block_checks(each.body if test.value else each.orelse)
            case ast.Try(handlers=handlers) if any(map(_swallows, handlers)):
                yield from self._block_checks([*each.orelse, *each.finalbody])
            case ast.With(items=items) | ast.AsyncWith(items=items) if any(map(_suppresses, items)):
                return
            case ast.ClassDef():
                return
            case _:
                for _, value in ast.iter_fields(each):
                    yield from self._field_checks(value)

    def _field_checks(self, value: object) -> Iterator[str]:
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from self._block_checks(value)
            return
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.expr):
                yield from self._calls(node)
            elif isinstance(node, ast.AST):  # handlers, items of a with, cases of a match
                for _, inner in ast.iter_fields(node):
                    yield from self._field_checks(inner)

    def _calls(self, expression: ast.expr) -> Iterator[str]:
        for node in ast.walk(expression):
            if isinstance(node, ast.Call):
                name = _name(node.func)
                count = self._helpers.get(name, 0) or (bool(_ASSERTING_NAME.match(name)) or name in _ASSERTING_CALLS)
                if count and not (_ON_CONSTANTS.fullmatch(name) and _on_constants(node)):
                    yield from [self._text(node, node)] * count


def _is_test(function: _Function) -> bool:
    return function.name.startswith("test")


def _is_collected(given: ast.ClassDef) -> bool:
    assigned = (each for each in given.body if isinstance(each, ast.Assign))
    off = any(_named(each.targets, "__test__") and _is_false(each.value) for each in assigned)
    return not off and (given.name.startswith("Test") or bool(given.bases))


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and not value.value


def _named(targets: Iterable[ast.expr], name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in targets)


def _name(node: ast.AST | None) -> str:
    """The last name of a dotted one, of what is called where it is a call."""
    match node:
        case ast.Call(func=func):
            return _name(func)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _skips(marks: Iterable[ast.expr]) -> int:
    """How many of the marks skip or excuse; one whose condition always holds counts twice."""
    found = 0
    for mark in marks:
        for node in ast.walk(mark):
            if isinstance(node, ast.Attribute | ast.Name) and _SKIP.match(_name(node)):
                found += 1
            elif isinstance(node, ast.Call) and _SKIP.match(_name(node.func)) and node.args:
                given = node.args[0]
                found += isinstance(given, ast.Constant) and bool(given.value) and not isinstance(given.value, str)
    return found


def _rows(decorator: ast.expr) -> int | None:
    """Over how many rows `parametrize` runs a test; 1 for another decorator, None where they are not literal."""
    if not isinstance(decorator, ast.Call) or _name(decorator) != "parametrize":
        return 1
    given = decorator.args[1] if len(decorator.args) > 1 else None
    return len(given.elts) if isinstance(given, ast.List | ast.Tuple | ast.Set) else None


def _bodies(node: ast.If | ast.Try | ast.With) -> Iterator[list[ast.stmt]]:
    match node:
        case ast.If(test=test, body=body, orelse=orelse):
            if not _is_false(test):
                yield body
            yield orelse
        case ast.Try():
            yield node.body
            yield from (each.body for each in node.handlers)
            yield node.orelse
            yield node.finalbody
        case ast.With():
            yield node.body


def _ends_test(each: ast.stmt) -> bool:
    """A bare call that ends the test: nothing behind it is reached."""
    return isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) and _name(each.value) in ("skip", "skipTest")


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a failed assertion ends here, and nothing is asserted instead."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    if handler.type is not None and not any(_name(each) in _BROAD for each in caught):
        return False
    nodes = [node for each in handler.body for node in ast.walk(each)]
    calls = [_name(node) for node in nodes if isinstance(node, ast.Call)]
    asserts = any(name in _ASSERTING_CALLS or _ASSERTING_NAME.match(name) for name in calls)
    return not asserts and not any(isinstance(node, ast.Raise | ast.Assert) for node in nodes)


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and _name(call) == "suppress" and any(_name(each) in _BROAD for each in call.args)


def _always_true(test: ast.expr) -> bool:
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Tuple(elts=elts):
            return bool(elts)  # assert (x, "message")
        case ast.Lambda():
            return True
        case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
            return not value
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(map(_always_true, values))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(map(_always_true, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return isinstance(op, _REFLEXIVE_OPERATORS) and ast.dump(left) == ast.dump(right)
    return False


def _on_constants(call: ast.Call) -> bool:
    """assertTrue(True), assertEqual(1, 1), assertEqual(x, x)."""
    values = call.args
    if values and all(isinstance(each, ast.Constant) for each in values):
        return True
    return len(values) == 2 and ast.dump(values[0]) == ast.dump(values[1])
