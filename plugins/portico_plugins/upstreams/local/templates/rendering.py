"""Templates compiled and rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from jinja2 import Template, TemplateSyntaxError

from portico_plugins.upstreams.local.templates import Failed
from portico_plugins.upstreams.local.templates.budget import BUDGET, Budget, TooMuch
from portico_plugins.upstreams.local.templates.language import Metered, Unwritable, judge
from portico_plugins.upstreams.local.templates.sandbox import Sandbox

_SANDBOX: Final = Sandbox()
_NAME: Final = "<template>"


@attrs.frozen
class Compiled:
    """A template, ready to be filled in."""

    _template: Template

    def render(self, values: Mapping[str, str], budget: Budget) -> str:
        """Fill it in; see `templates.render`."""
        budget.spend(sum(map(len, values.values())))
        token = BUDGET.set(budget)
        try:
            context = self._template.new_context(dict(values))
            return "".join(self._template.root_render_func(context))
        except TooMuch:
            raise
        except Exception as error:  # whatever a template can come to, it is the template's
            raise Failed(f"line {self._line_of(error)}: {error}") from None
        finally:
            BUDGET.reset(token)

    def _line_of(self, error: Exception) -> int:
        line, trace = 1, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _NAME:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


def compiled(text: str, names: tuple[str, ...]) -> Compiled | str:
    """A template, or what is wrong with it, with its line."""
    try:
        tree = _SANDBOX.parse(text)
        judge(tree, names)
        code = _SANDBOX.compile(Metered(_SANDBOX).visit(tree), None, _NAME)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except Unwritable as error:
        return f"line {error.line}: {error}"
    except (RecursionError, SyntaxError, MemoryError):  # nested deeper than Python goes
        return "line 1: too deeply nested"
    except (ValueError, OverflowError) as error:  # a number longer than Python reads
        return f"line 1: {error}"
    return Compiled(Template.from_code(_SANDBOX, code, _SANDBOX.make_globals(None)))
