"""Resources: what is listed of them, and what is read at a URI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from portico.api import INVALID_PARAMS, Json, Refused
from portico_plugins.upstreams.local import uris
from portico_plugins.upstreams.local.config import Annotations, LocalConfig, Resource
from portico_plugins.upstreams.local.filling import filling
from portico_plugins.upstreams.local.media import type_of


def words(title: str, description: str) -> Json:
    """What people are told of something."""
    return {key: value for key, value in (("title", title), ("description", description)) if value}


def annotated(annotations: Annotations) -> Json:
    """Annotations as definitions and content have them; nothing where there are none."""
    said: Json = {}
    if annotations.audience:
        said["audience"] = list(annotations.audience)
    if annotations.priority is not None:
        said["priority"] = annotations.priority
    if annotations.last_modified:
        said["lastModified"] = annotations.last_modified
    return {"annotations": said} if said else {}


def definition(name: str, resource: Resource) -> Json:
    """The definition of a resource, or of a resource template."""
    about = words(resource.title, resource.description)
    kind = {"mimeType": kind_of(resource)}
    if resource.names:
        return {"uriTemplate": resource.uri, "name": name, **about, **kind, **annotated(resource.annotations)}
    size = {"size": resource.size}
    return {"uri": resource.uri, "name": name, **about, **kind, **size, **annotated(resource.annotations)}


def kind_of(resource: Resource) -> str:
    """Its type."""
    return resource.mime_type or type_of(resource.uri, resource.content)


class Resources:
    """The resources of one table.

    Args:
        config: The table.
    """

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._by_uri = {each.uri: each for each in config.resources.values() if not each.names}
        self._templates = [each for each in config.resources.values() if each.names]

    def find(self, uri: str) -> tuple[Resource, Mapping[str, str]] | None:
        """What is at a URI, and what the URI says its variables are."""
        found = self._by_uri.get(uri)
        if found is not None:
            return found, {}
        for each in self._templates:
            values = uris.pattern(each.uri).values(uri)
            if values is not None and _within(each, values):
                return each, values
        return None

    async def content(self, uri: str) -> Json:
        """What is read at a URI.

        Raises:
            Refused: -32602: nothing is there; see `filling` for what else.
        """
        found = self.find(uri)
        if found is None:
            raise Refused(INVALID_PARAMS, "Resource not found", {"uri": uri})
        resource, values = found
        about: Json = {"uri": uri, "mimeType": kind_of(resource)}
        if resource.blob is not None:
            return {**about, "blob": resource.blob}
        template = resource.text or ""
        if not resource.names:
            return {**about, "text": template}
        size = self._config.max_size
        return {**about, "text": await filling("the resource", values, size, lambda fill: fill(template))}

    def by_template(self, template: str) -> Resource | None:
        """The resource that has this URI template."""
        return next((each for each in self._templates if each.uri == template), None)

    def changed(self, before: Resources, watched: Iterable[str]) -> list[str]:
        """Those of the URIs that led somewhere before, and lead to something else now."""
        out: list[str] = []
        for uri in watched:
            then, now = before.find(uri), self.find(uri)
            if then is not None and now is not None and then != now:
                out.append(uri)
        return out


def _within(resource: Resource, values: Mapping[str, str]) -> bool:
    """Whether all variables have values they may have."""
    return all(
        not each.closed or values[name] in each.values or (not values[name] and _optional(resource, name))
        for name, each in resource.variables.items()
    )


def _optional(resource: Resource, name: str) -> bool:
    return name in uris.pattern(resource.uri).query
