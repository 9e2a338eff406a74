"""Answers questions of servers (elicitation) by asking on the terminal: on stderr, results have stdout."""

from __future__ import annotations

import sys
from typing import Any

import click

from portico._core.contracts.json import Json
from portico.cli.failures import Failure
from portico.cli.show import line, safe


def can_ask() -> bool:
    """Whether somebody is there."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(method: str, params: Json) -> Json:
    """The result of one elicitation: what the user says.

    Raises:
        Failure: It is another kind of question than this program said it can answer.
    """
    if method != "elicitation/create":
        raise Failure(f"the server asks for {safe(method)}, which this program cannot answer")
    click.echo(f"\nThe server asks: {safe(params.get('message', ''))}", err=True)
    if params.get("mode") == "url":
        click.echo(f"  Open this page yourself if you trust it: {safe(params.get('url'))}", err=True)
        return {"action": _action("Have you")}
    action = _action("Answer")
    if action != "accept":
        return {"action": action}
    schema = params.get("requestedSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    required = schema.get("required") if isinstance(schema, dict) else None
    content: Json = {}
    for name, field in (properties if isinstance(properties, dict) else {}).items():
        needed = isinstance(required, list) and name in required
        value = _field(name, field if isinstance(field, dict) else {}, needed=needed)
        if value is not None:
            content[name] = value
    return {"action": "accept", "content": content}


def _action(question: str) -> str:
    answer: str = click.prompt(
        f"{question}? (accept, decline, cancel)",
        type=click.Choice(["accept", "decline", "cancel"]),
        default="accept",
        show_choices=False,
        err=True,
    )
    return answer


def _field(name: str, field: Json, *, needed: bool) -> Any:
    """One value; None when it is left out."""
    label = line(field.get("title") or name)
    if field.get("description"):
        click.echo(f"  {line(field['description'])}", err=True)
    kind = field.get("type", "string")
    if kind == "boolean":
        return click.confirm(f"  {label}", default=bool(field.get("default", False)), err=True)
    choices = _choices(field.get("items") if kind == "array" else field)
    if choices:
        label += f" ({', '.join(line(choice) for choice in choices)})"
    while True:
        default = field.get("default")
        if kind == "array" and isinstance(default, list):
            default = ",".join(map(str, default))
        text = str(click.prompt(f"  {label}", default="" if default is None else default, err=True)).strip()
        if not text and not needed:
            return None
        try:
            return _value(kind, text, choices)
        except ValueError as error:
            click.echo(f"  {error}", err=True)


def _choices(field: Any) -> list[str]:
    """The allowed values: `enum`, or the `const`s of titled choices."""
    if not isinstance(field, dict):
        return []
    titled = field.get("oneOf") or field.get("anyOf")
    if isinstance(titled, list):
        return [str(each["const"]) for each in titled if isinstance(each, dict) and "const" in each]
    enum = field.get("enum")
    return [str(each) for each in enum] if isinstance(enum, list) else []


def _value(kind: str, text: str, choices: list[str]) -> Any:
    if kind == "array":
        items = [item.strip() for item in text.split(",") if item.strip()]
        for item in items:
            _value("string", item, choices)
        return items
    if kind == "integer":
        return int(text)
    if kind == "number":
        return float(text)
    if not text:
        raise ValueError("an answer is needed here")
    if choices and text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    return text
