"""Documents of other programs, and of other gateways, made records of."""

from __future__ import annotations

import attrs
from msgspec import UNSET

from portico.api import Planned, plan_import, read_import
from portico_plugins.transports.management_api.answers import Imported, ImportedItem, Note, Report
from portico_plugins.transports.management_api.bodies import About, Import, Made, Step, read
from portico_plugins.transports.management_api.bulk import Bulks
from portico_plugins.transports.management_api.records import NOUNS
from portico_plugins.transports.management_api.table import Answer, Call

_MADE = ("create", "overwrite")


class Imports:
    """Carries out imports.

    Args:
        bulks: Makes the changes.
    """

    def __init__(self, bulks: Bulks) -> None:
        self._bulks = bulks

    async def __call__(self, call: Call) -> Answer:
        """One import; its status is 200 when each of its items has a report."""
        wanted = read(call.body, Import)
        form, taken = read_import(wanted.document, "the document", wanted.prefer)
        management = call.host.management
        versions = {
            (kind, each.name): each.record.version if each.record else 0
            for kind in (*NOUNS, "pins")
            for each in management.all(kind)
        }
        pins = {each.name: each.config for each in management.all("pins")}
        planned = plan_import(taken.items, versions, wanted.on_conflict, pins)
        conflicts = any(each.action == "conflict" for each in planned)
        chosen = [] if conflicts else [each for each in planned if each.action in _MADE]
        steps = [_step(each, versions) for each in chosen]
        author = attrs.evolve(call.author, via="import")
        made = await self._bulks.make(attrs.evolve(call, author=author), steps, wanted.mode)
        reports = iter(made)
        items = [
            _item(each, next(reports) if not conflicts and each.action in _MADE else None) for each in planned
        ]
        failed = sum(each.action == "conflict" or each.problem is not None for each in items)
        notes = [Note(about, message) for about, message in taken.notes]
        return Answer(200, Imported(form, management.revision, call.dry_run, failed, items, notes))


def _step(each: Planned, versions: dict[tuple[str, str], int]) -> Step:
    item = each.item
    return Step(
        "create" if each.action == "create" else "put",
        item.kind,  # type: ignore[arg-type] # what is planned is of a kind there is
        item.name,
        item.config,
        read(item.about, About),
        versions[item.kind, item.name] if each.action == "overwrite" else UNSET,
        read(item.made, Made) if item.made else UNSET,
    )


def _item(each: Planned, report: Report | None) -> ImportedItem:
    return ImportedItem(
        each.item.kind,
        each.item.name,
        each.was,
        each.action,
        report.status if report else None,
        report.item if report else None,
        report.problem if report else None,
    )
