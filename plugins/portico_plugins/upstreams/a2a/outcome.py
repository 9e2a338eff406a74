"""What comes of a message: events taken together, and the result of the tool they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from portico.api import Json, Principal, Result
from portico_plugins.a2a.parts import content_of, is_web, name_of
from portico_plugins.a2a.states import (
    AUTH_REQUIRED,
    CANCELED,
    FAILED,
    INPUT_REQUIRED,
    INTERRUPTED,
    REJECTED,
    TERMINAL,
    plain,
)

from .handles import Handles, is_plain, is_sound

_ENDED_BADLY: Final = {
    FAILED: "The agent's task failed.",
    REJECTED: "The agent did not take the task on.",
    CANCELED: "The task was cancelled.",
}


class BadEvent(Exception):
    """What the agent sent is none of the protocol's; says what in one word."""


class Outcome:
    """What has become of one message so far.

    Args:
        paths: Whether the id of a task becomes part of a path.

    Attributes:
        task: The agent's id of the task, "" while there is none.
        context: Its id of the context.
        state: The state of the task, by its name in ProtoJSON.
        status: The whole status.
        message: What was answered instead of a task.
        artifacts: By their ids, in the order they came in.
    """

    def __init__(self, *, paths: bool = False) -> None:
        self._paths = paths
        self.task = ""
        self.context = ""
        self.state = ""
        self.status: Json = {}
        self.message: Json | None = None
        self.artifacts: dict[str, Json] = {}

    def take(self, event: Json) -> None:
        """Take note of a `StreamResponse`, or a `SendMessageResponse`, as ProtoJSON.

        Raises:
            BadEvent: It is neither, or is about another task.
        """
        if "message" in event:
            self.message = event["message"]
            self._about("", self.message.get("contextId", "") if self.message else "")
        elif "task" in event:
            self.take_task(event["task"])
        elif "statusUpdate" in event:
            update = event["statusUpdate"]
            self._about(update.get("taskId", ""), update.get("contextId", ""))
            self._stand(update.get("status", {}))
        elif "artifactUpdate" in event:
            update = event["artifactUpdate"]
            self._about(update.get("taskId", ""), update.get("contextId", ""))
            self._artifact(update.get("artifact", {}), append=bool(update.get("append")))
        else:
            raise BadEvent("empty_event")

    def take_task(self, task: Json) -> None:
        """Take note of the task as it is now.

        Raises:
            BadEvent: It is another one.
        """
        self._about(task.get("id", ""), task.get("contextId", ""))
        if not self.task:
            raise BadEvent("task_without_id")
        self._stand(task.get("status", {}))
        if "artifacts" in task:
            self.artifacts = {}
            for artifact in task["artifacts"]:
                self._artifact(artifact, append=False)

    def _about(self, task: str, context: str) -> None:
        sound = is_plain if self._paths else is_sound
        if (task and not sound(task)) or (context and not is_sound(context)):
            raise BadEvent("bad_task_id")
        if self.task and task and task != self.task:
            raise BadEvent("another_task")
        self.task = self.task or task
        self.context = context or self.context

    def _stand(self, status: Json) -> None:
        self.status = status
        self.state = str(status.get("state", ""))

    def _artifact(self, artifact: Json, *, append: bool) -> None:
        ident = str(artifact.get("artifactId", ""))
        known = self.artifacts.get(ident)
        if append and known is not None:
            known["parts"] = [*known.get("parts", []), *artifact.get("parts", [])]
        else:
            self.artifacts[ident] = dict(artifact)

    def resumed(self) -> None:
        """Something is about to be sent that the task, if there is one, was waiting for."""
        if self.state in INTERRUPTED:
            self.state, self.status = "", {}

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be expected without somebody doing something."""
        return self.message is not None or self.state in TERMINAL or self.state in INTERRUPTED

    @property
    def running(self) -> bool:
        """Whether there is a task that could be cancelled."""
        return bool(self.task) and self.state not in TERMINAL and self.message is None

    def said(self) -> list[Json]:
        """The parts of what the agent says, besides its artifacts."""
        message = self.message if self.message is not None else self.status.get("message", {})
        return list(message.get("parts", []))

    def words(self) -> str:
        """The text of what the agent says."""
        return "\n".join(str(part["text"]) for part in self.said() if "text" in part)

    def result(self, principal: Principal, handles: Handles, upstream: str, most_inline: int) -> Result:
        """The result of the tool.

        Args:
            principal: Who called it.
            handles: Of the upstream.
            upstream: Its name, for the URIs of what is embedded.
            most_inline: The most bytes of a file that is in the result itself.
        """
        content = self._content(principal, handles, upstream, most_inline)
        if self.state in _ENDED_BADLY and not content:
            content.append({"type": "text", "text": _ENDED_BADLY[self.state]})
        structured = self._structured(principal, handles)
        if self.state == INPUT_REQUIRED:
            hint = f"The agent waits for an answer: call again with the taskId {structured['taskId']}"
            content.append({"type": "text", "text": hint})
        value: Json = {
            "content": content,
            "structuredContent": structured,
            "isError": self.state in _ENDED_BADLY,
        }
        if self.state == AUTH_REQUIRED:
            url = self.authorization()
            text = "The agent needs an authorization" + (
                f", to be given at {url}" if url else " that it has not got"
            )
            value["content"].append({"type": "text", "text": text})
            value["isError"] = True
        return Result(value=value)

    def authorization(self) -> str:
        """Where the agent may be given the authorization it asks for, "" if it does not say."""
        for part in self.said():
            for found in (part.get("url"), _in_data(part.get("data"))):
                if isinstance(found, str) and is_web(found):
                    return found
        for word in self.words().split():
            word = word.strip("<>()[]{},;\"'").rstrip(".")
            if word.startswith(("https://", "http://")) and is_web(word):
                return word
        return ""

    def _content(self, principal: Principal, handles: Handles, upstream: str, most: int) -> list[Json]:
        blocks: list[Json] = []
        task = handles.given(principal, "task", self.task) if self.task else ""
        for number, part in enumerate(self.said()):
            blocks.append(content_of(part, f"a2a://{upstream}/messages/{number}"))
        for ident, artifact in self.artifacts.items():
            for number, part in _joined(artifact.get("parts", [])):
                uri = artifact_uri(upstream, task, ident, number)
                if uri and "raw" in part and size_of(part) > most:
                    blocks.append(_link(part, uri))
                else:
                    blocks.append(content_of(part, uri or f"a2a://{upstream}/artifacts/{number}"))
        return blocks

    def _structured(self, principal: Principal, handles: Handles) -> Json:
        made: Json = {"state": plain(self.state) or "completed"}
        if made["state"] == "unspecified":
            made["state"] = "working"
        if self.task:
            made["taskId"] = handles.given(principal, "task", self.task)
        if self.context:
            made["contextId"] = handles.given(principal, "context", self.context)
        words, data = self.words(), [part["data"] for part in self.said() if "data" in part]
        if words:
            made["message"] = words
        if data:
            made["data"] = data
        if self.state == AUTH_REQUIRED and self.authorization():
            made["url"] = self.authorization()
        if self.artifacts:
            made["artifacts"] = [_shown(artifact) for artifact in self.artifacts.values()]
        return made


def artifact_uri(upstream: str, task: str, artifact: str, number: int) -> str:
    """What a part of an artifact goes by; "" where it cannot be asked for again."""
    if not is_plain(task) or not is_plain(artifact):
        return ""
    return f"a2a://{upstream}/tasks/{task}/artifacts/{artifact}/{number}"


def size_of(part: Json) -> int:
    """Bytes of a part that is a file."""
    raw = str(part["raw"])
    return len(raw) * 3 // 4 - raw.count("=", -2)


def _link(part: Json, uri: str) -> Json:
    link: Json = {"type": "resource_link", "uri": uri, "name": name_of(part), "size": size_of(part)}
    if part.get("mediaType"):
        link["mimeType"] = part["mediaType"]
    return link


def _joined(parts: list[Json]) -> Iterator[tuple[int, Json]]:
    """The parts of an artifact, each by its number; text that came in pieces is one again."""
    first, text = 0, ""
    for number, part in enumerate(parts):
        if set(part) == {"text"}:
            first = first if text else number
            text += part["text"]
            continue
        if text:
            yield first, {"text": text}
            text = ""
        yield number, part
    if text:
        yield first, {"text": text}


def _shown(artifact: Json) -> Json:
    made: Json = {"artifactId": str(artifact.get("artifactId", "")), "parts": []}
    for key in ("name", "description"):
        if artifact.get(key):
            made[key] = artifact[key]
    for _, part in _joined(artifact.get("parts", [])):
        shown = {key: value for key, value in part.items() if key != "raw"}
        if "raw" in part:
            shown["bytes"] = size_of(part)
        made["parts"].append(shown)
    return made


def _in_data(data: Any) -> Any:
    if not isinstance(data, dict):
        return None
    names = ("url", "authorizationUrl", "authorization_url", "authUrl", "auth_url", "verification_uri")
    return next((data[name] for name in names if isinstance(data.get(name), str)), None)
