"""What a template may consist of: a part of Jinja's language that cannot reach or cost anything.

Checked when a template is written, by its syntax tree. What is left out (methods, macros, inheritance,
includes) is named with the place; what costs something is rewritten so that it is paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from jinja2 import meta, nodes
from jinja2.visitor import NodeTransformer

from portico_plugins.upstreams.local.templates.filters import (
    CONCATENATED,
    EACH,
    FILTERS,
    SCALAR,
    TESTS,
    WEIGHED,
)
from portico_plugins.upstreams.local.templates.sandbox import Sandbox

MAX_DEPTH: Final = 60
MAX_NODES: Final = 5_000
"""The most names, constants, operators and tags a template may have together: it is compiled in the loop."""

_GLOBALS: Final = ("range", "namespace")
_SAID: Final[dict[type[nodes.Node], str]] = {
    nodes.Include: "other templates cannot be included",
    nodes.Import: "other templates cannot be imported",
    nodes.FromImport: "other templates cannot be imported",
    nodes.Extends: "other templates cannot be extended",
    nodes.Block: "there are no blocks",
    nodes.Macro: "there are no macros",
    nodes.CallBlock: "there are no macros",
}
_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef,
    nodes.If, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos,
    nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
    nodes.Pow, nodes.Concat, nodes.Filter, nodes.Test, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Call,
    nodes.For, nodes.Assign, nodes.AssignBlock, nodes.FilterBlock, nodes.With,
)  # fmt: skip


class Unwritable(ValueError):
    """A template that is none.

    Attributes:
        line: Where, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


def judge(tree: nodes.Template, names: Iterable[str]) -> None:
    """Whether a template is written in this language, and uses no names but these.

    Raises:
        Unwritable: It is not.
    """
    waiting: list[tuple[nodes.Node, int, int]] = [(tree, 0, 1)]
    count = 0
    while waiting:
        node, depth, line = waiting.pop()
        line = node.lineno or line  # some of Jinja's have none
        count += 1
        if count > MAX_NODES:
            raise Unwritable(
                f"there is too much to do in it: at most {MAX_NODES} names, values and tags", line
            )
        if depth > MAX_DEPTH:
            raise Unwritable("too deeply nested", line)
        _judge_one(node, line)
        waiting += [(child, depth + 1, line) for child in node.iter_child_nodes()]
    unknown = sorted(meta.find_undeclared_variables(tree) - {*names, *_GLOBALS})
    if unknown:
        known = ", ".join(names) or "none"
        raise Unwritable(f"{unknown[0]!r} is unknown; there are: {known}", _line_of(tree, unknown[0]))


def _judge_one(node: nodes.Node, line: int) -> None:
    wrong = _SAID.get(type(node), "this is not possible here") if not isinstance(node, _ALLOWED) else ""
    if isinstance(node, nodes.For) and node.recursive:
        wrong = "loops cannot be recursive"
    elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
        wrong = f"there is no filter {node.name!r}; there are: {', '.join(sorted(FILTERS))}"
    elif isinstance(node, nodes.Test) and node.name not in TESTS:
        wrong = f"there is no test {node.name!r}; there are: {', '.join(sorted(TESTS))}"
    elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        wrong = f"there is no attribute {node.attr!r}"
    elif isinstance(node, nodes.Call) and not _callable(node.node):
        wrong = "nothing can be called but `range`, `namespace` and `loop.cycle`; there are filters"
    elif isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
        wrong = "arguments are written one by one"
    elif isinstance(node, nodes.Name) and node.name == "self":
        wrong = "'self' is unknown"
    if wrong:
        raise Unwritable(wrong, line)


def _callable(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and (node.node.name, node.attr) == ("loop", "cycle")
    return isinstance(node, nodes.Name) and node.name in _GLOBALS


def _line_of(tree: nodes.Template, name: str) -> int:
    return min(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)


class Metered(NodeTransformer):
    """Rewrites a tree that has been judged: what would be free of charge is none."""

    def __init__(self, environment: Sandbox) -> None:
        self._environment = environment
        self._rules: dict[type[nodes.Node], Callable[..., Any]] = {
            nodes.TemplateData: self._text,
            nodes.For: self._loop,
            nodes.Compare: self._comparison,
            nodes.Test: self._test,
            nodes.Getitem: self._item,
            nodes.Concat: self._concatenation,
            nodes.List: self._list,
            nodes.Tuple: self._tuple,
            nodes.Pair: self._pair,
        }

    def get_visitor(self, node: nodes.Node) -> Callable[..., Any] | None:
        """The rule for a node; what is below it comes first."""
        rule = self._rules.get(type(node))
        return None if rule is None else lambda each: rule(self.generic_visit(each))

    def _text(self, node: nodes.TemplateData) -> Any:
        """Text between tags; in a loop it is put out often."""
        return self._at(nodes.Const(node.data), node)

    def _loop(self, node: nodes.For) -> Any:
        """Every turn of a loop is paid for, by the size of what is in the loop."""
        turn = sum(1 for _ in node.find_all(nodes.Node))
        node.iter = self._filtered(node.iter, EACH, nodes.Const(turn))
        return node

    def _comparison(self, node: nodes.Compare) -> Any:
        """Comparing and searching take time."""
        node.expr = self._filtered(node.expr, WEIGHED)
        for operand in node.ops:
            operand.expr = self._filtered(operand.expr, WEIGHED)
        return node

    def _test(self, node: nodes.Test) -> Any:
        """Likewise."""
        if node.name not in ("defined", "undefined"):
            node.node = self._filtered(node.node, WEIGHED)
        node.args = [self._filtered(each, WEIGHED) for each in node.args]
        return node

    def _item(self, node: nodes.Getitem) -> Any:
        """A part of a text is a copy."""
        return self._filtered(node, WEIGHED) if isinstance(node.arg, nodes.Slice) else node

    def _concatenation(self, node: nodes.Concat) -> Any:
        """`~`."""
        return self._filtered(self._at(nodes.List(node.nodes), node), CONCATENATED)

    def _list(self, node: nodes.List) -> Any:
        """What is in a list is no list, unless that is written out in it."""
        node.items = [self._scalar(each) for each in node.items]
        return node

    def _tuple(self, node: nodes.Tuple) -> Any:
        """Likewise; but a tuple may also be what a loop or `set` names."""
        if node.ctx == "load":
            node.items = [self._scalar(each) for each in node.items]
        return node

    def _pair(self, node: nodes.Pair) -> Any:
        """Likewise in tables."""
        node.key, node.value = self._scalar(node.key), self._scalar(node.value)
        return node

    def _scalar(self, node: nodes.Expr) -> nodes.Expr:
        written = isinstance(node, nodes.Const | nodes.List | nodes.Dict | nodes.Tuple)
        return node if written else self._filtered(node, SCALAR)

    def _filtered(self, node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
        made: nodes.Filter = self._at(nodes.Filter(node, name, list(args), [], None, None), node)
        return made

    def _at(self, made: Any, node: nodes.Node) -> Any:
        return made.set_lineno(node.lineno).set_environment(self._environment)
