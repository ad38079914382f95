"""What the text of a reader's function shows without running it: slips that every Python has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# Calls that only give a result: to drop it is a slip.
PURE = {"Value", "sorted", "reversed", "sum", "len", "max", "min", "zip", "list", "linear"}
PURE |= {"softmax", "rmsnorm", "add", "attend", "keep", "sequence_loss", "as_value"}
LOOPS = (ast.For, ast.While)


@dataclass(frozen=True)
class Function:
    """A function of a reader's file, with the class that it is in and the file's lines."""

    name: str  # qualified, such as Value.relu
    node: ast.FunctionDef
    scope: ast.ClassDef | None
    lines: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it but a docstring, `pass` and `...`."""
        return all(
            isinstance(statement, ast.Pass)
            or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
            for statement in self.node.body
        )


def functions(source: str) -> dict[str, Function]:
    """Return all functions of a file under their qualified names; none if it cannot be read."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    lines = source.splitlines()
    found = {}
    for node in tree.body:
        scope = node if isinstance(node, ast.ClassDef) else None
        for inner in scope.body if scope else [node]:
            if isinstance(inner, ast.FunctionDef):
                name = f"{scope.name}.{inner.name}" if scope else inner.name
                found[name] = Function(name, inner, scope, lines)
    return found


def slips(function: Function) -> list[str]:
    """Return what is surely wrong in a function, one sentence or two for each."""
    found = sorted({slip for look in SURE for slip in look(function)})
    return [f"Line {line}: {text}" for line, text in found]


def doubts(function: Function) -> list[str]:
    """Return what may be wrong: what is given, computed or written down and never used."""
    used = {n.id for n in ast.walk(function.node) if isinstance(n, ast.Name)}
    arguments = [argument.arg for argument in function.node.args.args]
    unused = [name for name in arguments if name not in used | {"self", "cls"}]
    names = " and ".join(f"`{name}`" for name in unused)
    text = [f"{function.name} does not use {names}."] if unused else []
    found = sorted([*unused_names(function), *is_never_reached(function)])
    return text + [f"Line {line}: {slip}" for line, slip in found]


def returns_nothing(ran: list[Function]) -> list[str]:
    """Return where functions that return something may end without it, one sentence for each."""
    found = []
    for function in ran:
        returns = [n for n in ast.walk(function.node) if isinstance(n, ast.Return) and n.value]
        if returns and _ends(function.node.body):
            found.append(
                f"{function.name} can come to its end without a `return`, and then gives None: "
                f"line {returns[-1].lineno} is not always reached. Return something at the end."
            )
    return found


def _ends(body: list[ast.stmt]) -> bool:
    """Return whether a run can go on after these lines."""
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise):
        return False
    if isinstance(last, ast.If):
        return not last.orelse or _ends(last.body) or _ends(last.orelse)
    if isinstance(last, ast.With):
        return _ends(last.body)
    if isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and last.test.value:
        return any(isinstance(node, ast.Break) for node in ast.walk(last))
    return not isinstance(last, ast.Try | ast.Match)


# ---------------------------------------------------------------- one slip each

Slips = Iterator[tuple[int, str]]


def _loops(function: Function) -> Iterator[ast.For | ast.While]:
    return (node for node in ast.walk(function.node) if isinstance(node, LOOPS))


def ends_in_the_first_round(function: Function) -> Slips:
    """Find loops whose last line leaves them whatever has happened."""
    for loop in _loops(function):
        last = loop.body[-1]
        if any(isinstance(node, ast.Continue) for node in ast.walk(loop)):
            continue
        if isinstance(last, ast.Return):
            yield (
                last.lineno,
                "this `return` is inside the loop, which therefore ends in its first round. Move "
                f"it to the left, below the `{_word(loop)}`.",
            )
        elif isinstance(last, ast.Break):
            yield (
                last.lineno,
                "this `break` ends the loop in its first round. Indent it, so that it belongs to "
                "the `if` above it.",
            )


def _word(loop: ast.For | ast.While) -> str:
    return "for" if isinstance(loop, ast.For) else "while"


def starts_anew_in_each_round(function: Function) -> Slips:
    """Find lists and sums that are made inside the loop that fills them, and read after it."""
    for loop in _loops(function):
        end = loop.end_lineno or loop.lineno
        later = {
            node.id
            for node in ast.walk(function.node)
            if isinstance(node, ast.Name) and node.lineno > end
        }
        for statement in loop.body:
            if not (isinstance(statement, ast.Assign) and _is_beginning(statement.value)):
                continue
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id in later & _changed(loop, FILLING):
                    yield (
                        statement.lineno,
                        f"`{target.id}` is made anew in each round of the loop, so that only the "
                        f"last round is left in it. Make it above the `{_word(loop)}`.",
                    )


def _is_beginning(value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict):
        return not (value.elts if isinstance(value, ast.List) else value.keys)
    return isinstance(value, ast.Constant) and value.value in (0, 0.0, b"", "")


FILLING = {"append", "extend", "add"}
CHANGING = FILLING | {"insert", "update", "pop", "sort", "reverse", "remove"}


def _changed(node: ast.AST, methods: set[str]) -> set[str]:
    """Return the names of what these methods, `+=` or `x[i] = ...` change in the node."""
    names = set()
    for n in ast.walk(node):
        if isinstance(n, ast.AugAssign):
            names.add(getattr(n.target, "id", ""))
        if isinstance(n, ast.Attribute) and n.attr in methods:
            names.add(getattr(n.value, "id", ""))
        if isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load):
            names.add(getattr(n.value, "id", ""))
    return names - {""}


def is_never_reached(function: Function) -> Slips:
    """Find lines that stand after a `return`."""
    for node in ast.walk(function.node):
        body = getattr(node, "body", [])
        if not isinstance(body, list):
            continue
        for statement, after in pairwise(body):
            if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
                yield after.lineno, f"nothing gets here: line {statement.lineno} leaves before."


def drops_a_result(function: Function) -> Slips:
    """Find lines that compute something and do nothing with it."""
    for node in ast.walk(function.node):
        if not isinstance(node, ast.Expr):
            continue
        value = node.value
        if isinstance(value, ast.Compare) and isinstance(value.ops[0], ast.Eq):
            yield node.lineno, "`==` compares and changes nothing. To set something, write `=`."
        elif isinstance(value, ast.Attribute):
            yield (
                node.lineno,
                f"`{ast.unparse(value)}` alone does nothing. To call it, write brackets: "
                f"{ast.unparse(value)}().",
            )
        elif isinstance(value, ast.BinOp | ast.UnaryOp | ast.Compare | ast.ListComp) or (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id in PURE
        ):
            yield (
                node.lineno,
                "this computes something and then drops it. Is `return` missing, or a name to "
                "keep it under?",
            )


def signs_in_the_wrong_order(function: Function) -> Slips:
    """Find `=-` and `=+` where `-=` and `+=` are meant."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Assign):
            sign = re.search(r"[\w\])]\s*=([-+])\s", function.lines[node.lineno - 1])
            if sign:
                verb = "subtracts" if sign[1] == "-" else "adds"
                yield (
                    node.lineno,
                    f"`={sign[1]}` replaces what was there. `{sign[1]}=` {verb}.",
                )


def lacks_an_f(function: Function) -> Slips:
    """Find {names} in quotes without an f before them."""
    names = {n.id for n in ast.walk(function.node) if isinstance(n, ast.Name)}
    names |= {argument.arg for argument in function.node.args.args}
    inside = {
        id(part)
        for node in ast.walk(function.node)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    docstring = function.node.body[0]
    for node in ast.walk(function.node):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if id(node) in inside or node is getattr(docstring, "value", None):
            continue
        for name in re.findall(r"\{(\w+)\}", node.value):
            if name in names and f".format({name}" not in function.lines[node.lineno - 1]:
                yield (
                    node.lineno,
                    f"the f before the quotes is missing, so that {{{name}}} stays as it is.",
                )


def renames_what_it_should_change(function: Function) -> Slips:
    """Find names that get a new meaning which nothing reads: `p = p - ...`, `grad = 0.0`."""
    node = function.node
    names = {argument.arg for argument in node.args.args} | _loop_names(node)
    for name, place in _unread(function):
        if name in names:
            yield (
                place.lineno,
                f"`{name} = ...` gives the name {name} to something new, and what was called "
                f"{name} before stays as it was. Change what is in it, such as {name}.data.",
            )
        elif _is_attribute(function, name):
            yield (
                place.lineno,
                f"`{name}` is a name inside this call only. To keep it, write self.{name}.",
            )
        elif isinstance(place, ast.AugAssign):
            yield (
                place.lineno,
                f"this changes the number called {name}, and nothing reads it: what it was copied "
                "from stays as it was.",
            )


def unused_names(function: Function) -> Slips:
    """Find what is computed under a name and never used."""
    for name, place in _unread(function):
        yield place.lineno, f"`{name}` is set here, and nothing reads it."


def _loop_names(node: ast.AST) -> set[str]:
    return {
        name.id
        for loop in ast.walk(node)
        if isinstance(loop, ast.For)
        for name in ast.walk(loop.target)
        if isinstance(name, ast.Name)
    }


def _is_attribute(function: Function, name: str) -> bool:
    """Whether the objects of the class have an attribute of this name, or should have one."""
    text = ast.unparse(function.scope) if function.scope else ""
    before = r"\." if function.name.endswith(".__init__") else r"self\."
    return bool(re.search(rf"{before}{name}\b", text))


def _unread(function: Function) -> Iterator[tuple[str, ast.Assign | ast.AugAssign]]:
    """Yield the names that nothing reads once they are set, each with the statement."""
    node = function.node
    shared = {name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}
    last: dict[str, ast.Assign | ast.AugAssign] = {}
    for statement in ast.walk(node):
        if isinstance(statement, ast.Assign | ast.AugAssign):
            target = _target(statement)
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                before = last.get(target.id, statement)
                last[target.id] = max(before, statement, key=lambda each: each.lineno)
    for name, statement in last.items():
        own = _loop_names(node)
        around = [] if name in own else [n for n in _loops(function) if statement in ast.walk(n)]
        first = min((loop.lineno for loop in around), default=statement.lineno + 1)
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        reads = [line for line in _reads(node, name) if line not in lines]
        if name not in shared and not any(line >= first for line in reads):
            yield name, statement


def _target(statement: ast.Assign | ast.AugAssign) -> ast.expr:
    return statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]


def _reads(node: ast.FunctionDef, name: str) -> Iterator[int]:
    """Yield the lines in which a name is read; to set an attribute of it is not to read it."""
    set_on = {
        id(n.value)
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
    }
    for n in ast.walk(node):
        if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load):
            yield from [] if id(n) in set_on else [n.lineno]


def runs_what_a_file_says(function: Function) -> Slips:
    """Find `eval`, which does what a stranger's file says."""
    for node in ast.walk(function.node):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in ("eval", "exec"):
            yield (
                node.lineno,
                f"`{name}` runs whatever the file says, and JSON is not Python: json.loads reads "
                "it.",
            )


def fills_its_default(function: Function) -> Slips:
    """Find arguments whose default is a list or the like, which the function changes."""
    node = function.node
    arguments, defaults = node.args.args, node.args.defaults
    for argument, default in zip(
        arguments[len(arguments) - len(defaults) :], defaults, strict=True
    ):
        if not _is_container(default):
            continue
        names = {argument.arg, *_aliases(node, argument.arg)}
        if names & _changed(node, CHANGING):
            yield (
                default.lineno,
                f"`{argument.arg}={ast.unparse(default)}` is made only once, and what is put into "
                f"it stays there for the next call. Make a new one inside {function.name}.",
            )


def _is_container(node: ast.expr) -> bool:
    name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.List | ast.Dict | ast.Set) or name in ("list", "dict", "set")


def _aliases(node: ast.AST, name: str) -> Iterator[str]:
    """Yield other names for what is called `name`."""
    for n in ast.walk(node):
        if isinstance(n, ast.Assign) and getattr(n.value, "id", "") == name:
            yield from [target.id for target in n.targets if isinstance(target, ast.Name)]


RETURNS_NONE = {"append", "extend", "insert", "sort", "reverse", "shuffle", "clear"}


def keeps_what_is_none(function: Function) -> Slips:
    """Find `return ids.append(x)` and `ids = ids.sort()`: these change the list and give None."""
    for node in ast.walk(function.node):
        if not isinstance(node, ast.Return | ast.Assign):
            continue
        value = node.value
        if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
            continue
        if value.func.attr in RETURNS_NONE and ast.unparse(value.func.value) != "self":
            changed = value.args[0] if value.func.attr == "shuffle" else value.func.value
            yield (
                node.lineno,
                f"`.{value.func.attr}` changes the list and gives None. Call it in a line of its "
                f"own. After that, the list is `{ast.unparse(changed)}`.",
            )


SURE = (
    keeps_what_is_none,
    fills_its_default,
    ends_in_the_first_round,
    starts_anew_in_each_round,
    drops_a_result,
    signs_in_the_wrong_order,
    lacks_an_f,
    renames_what_it_should_change,
    runs_what_a_file_says,
)
