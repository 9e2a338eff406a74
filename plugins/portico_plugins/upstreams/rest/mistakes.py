"""Names in a configuration that the document has nothing for."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from portico.api import nearest

from .document import Document, Unfit
from .operations import operations
from .servers import variables_of

if TYPE_CHECKING:
    from .config import RestConfig
    from .options import Match
    from .tools import Lot

Mistakes = list[tuple[tuple[str, str], str]]
"""Where it is said, and why that is of no use."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"})
"""One of these may well be in no operation, and be meant."""


def mistakes_in(lot: Lot) -> Mistakes:
    """What is configured of operations, security schemes and variables that there are not."""
    config, every = lot.config, lot.operations.values()
    operations = {one.id for one in every} | {one.key for one in every}
    variables: set[str] = set()
    if config.server_variables:
        variables.update(*(variables_of(lot.document, one) for one in every))
    return [
        *(
            (("operations", key), f"no such operation is selected{nearest(key, operations)}")
            for key in config.operations
            if key not in operations and key not in config.tools
        ),
        *(
            (("security", key), f"the document has no such security scheme{nearest(key, lot.schemes)}")
            for key in config.security
            if key not in lot.schemes
        ),
        *(
            (("server_variables", key), f"no server has such a variable{nearest(key, variables)}")
            for key in config.server_variables
            if key not in variables
        ),
    ]


def mistakes_at_start(config: RestConfig) -> Mistakes:
    """Those in a configuration that has the whole document in it; others are found when it has come."""
    named = config.operations or config.security or config.server_variables
    if not (config.openapi_inline and named) or config.ref_origins:
        return []
    from .tools import Lot  # which knows of configurations

    try:
        return mistakes_in(Lot(Document(config.openapi_inline), config))
    except (Unfit, RecursionError):
        return []  # it is of no use at all, and the upstream says why


def idle_patterns(document: Document, config: RestConfig) -> Iterator[tuple[str, str, str]]:
    """Patterns that fit no operation of the document: where they stand, the pattern, the nearest name."""
    matches: list[tuple[str, Match]] = [
        *((f"include[{n}]", one) for n, one in enumerate(config.include)),
        *((f"exclude[{n}]", one) for n, one in enumerate(config.exclude)),
        *((f"shapes[{n}].match", one.match) for n, one in enumerate(config.shapes) if one.match),
    ]
    if not matches:
        return
    every = list(operations(document))
    tags = {tag for one in every for tag in one.tags}
    ids, paths = {one.id for one in every if one.id}, {one.path for one in every}
    methods = {one.method for one in every} | _METHODS
    for place, match in matches:
        upper = tuple(method.upper() for method in match.methods)
        for key, patterns, names in (
            ("tags", match.tags, tags),
            ("operations", match.operations, ids),
            ("paths", match.paths, paths),
            ("methods", upper, methods),
        ):
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    yield f"{place}.{key}", pattern, nearest(pattern, names)[2:]
