"""Where templates run: Jinja's immutable sandbox, made smaller still.

Nothing has attributes or methods but loops and tables, nothing can be called but `range` and `namespace`,
and what is calculated is paid for.
"""

from __future__ import annotations

import operator
from typing import Any, Final

from jinja2 import StrictUndefined, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from portico_plugins.upstreams.local.templates.budget import BUDGET, spend
from portico_plugins.upstreams.local.templates.filters import (
    FILTERS,
    INTERNAL,
    TESTS,
    Unfit,
    bounded,
    text_of,
)

LOOP: Final = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"}
)
"""What a loop tells of itself."""

MAX_RANGE: Final = 10_000
_MAX_EXPONENT: Final = 64


def _range(*bounds: Any) -> list[int]:
    if not all(isinstance(bound, int) for bound in bounds):
        raise Unfit("`range` takes integers")
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise Unfit(f"`range` gives at most {MAX_RANGE} numbers")
    spend(len(found))
    return list(found)


@pass_context
def _put_out(context: Context, value: Any) -> str:
    # Given the context, Jinja cannot calculate constant expressions when it compiles, where nothing is paid.
    text = text_of(value)
    BUDGET.get().put_out(len(text))
    return text


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str | list) and type(left) is type(right):
        spend(len(left) + len(right))
        return operator.add(left, right)
    return _calculate("+", left, right)


def _multiply(left: Any, right: Any) -> Any:
    text, times = (left, right) if isinstance(left, str) else (right, left)
    if isinstance(text, str) and isinstance(times, int):
        spend(len(text) * max(times, 0))
        return text * times
    return _calculate("*", left, right)


def _calculate(symbol: str, left: Any, right: Any) -> Any:
    for value in (left, right):
        if not isinstance(value, int | float):
            raise Unfit(f"`{symbol}` takes numbers; `|int` and `|float` make one of text")
        bounded(value)
    if symbol == "**" and (not isinstance(right, int) or abs(right) > _MAX_EXPONENT):
        raise Unfit(f"`**` takes an exponent of at most {_MAX_EXPONENT}")
    spend()
    return bounded(_OPERATIONS[symbol](left, right))


_OPERATIONS: Final = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates; there is no loader, so a template has no other to include."""

    intercepted_binops = frozenset(_OPERATIONS)

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            finalize=_put_out,
            optimized=False,
            keep_trailing_newline=True,
            auto_reload=False,
            cache_size=0,
        )
        self.globals = {"range": _range, "namespace": Namespace}
        self.filters = {**FILTERS, **INTERNAL}
        self.tests = dict(TESTS)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate."""
        special = {"+": _add, "*": _multiply}.get(operator)
        return special(left, right) if special is not None else _calculate(operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What a loop, a table or a namespace has of this name; nothing else has anything."""
        spend()
        if isinstance(obj, LoopContext) and attribute in LOOP:
            return getattr(obj, attribute)
        if isinstance(obj, LoopContext) and attribute == "cycle":
            return obj.cycle
        if isinstance(obj, Namespace) and not attribute.startswith("_"):
            # One looks attributes up in a dictionary of its own, and has no others.
            return getattr(obj, attribute, self.undefined(f"there is no {attribute!r} in the namespace"))
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a list, text or table."""
        spend()
        if isinstance(obj, dict) and isinstance(argument, str):
            try:
                return obj[argument]
            except KeyError:
                return self.undefined(f"there is no {argument!r}")
        if isinstance(obj, list | tuple | str) and isinstance(argument, int):
            try:
                return obj[argument]
            except IndexError:
                return self.undefined(f"there is no item {argument}")
        return self.undefined(f"there is no {str(argument)[:40]!r} in it")

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call one of the few things that can be."""
        spend(len(args) + len(kwargs))
        for passed_by_jinja in ("_loop_vars", "_block_vars"):
            kwargs.pop(passed_by_jinja, None)
        if obj is _range or obj is Namespace:
            return obj(*args, **kwargs)
        if isinstance(getattr(obj, "__self__", None), LoopContext) and obj.__name__ == "cycle":
            return obj(*args)
        raise Unfit("this cannot be called")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No attribute is reached by any other way."""
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        """Nor can anything else be called."""
        return False
