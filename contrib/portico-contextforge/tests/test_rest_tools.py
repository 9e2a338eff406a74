"""REST tools: created, listed, called, changed and deleted the way ContextForge has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias

import msgspec
import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
SCHEMA: Final = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string"}},
    "required": ["id", "days"],
}
ARGUMENTS: Final = {"id": "a b", "days": 3, "unit": "°C"}


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def _echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        asked = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
        answer = msgspec.json.encode(asked)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _echo  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The URL of an HTTP API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def asked(forge: Forge, name: str, arguments: Any, **more: Any) -> Any:
    """What a call of a tool has the API asked."""
    result = await forge.ask("POST", f"/tools/invoke/{name}", {"arguments": arguments}, **more)
    assert not result.get("isError"), result
    return msgspec.json.decode(result["content"][0]["text"])


@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_rest_tool_is_listed_as_one_and_called(forge: Forge, api: str, wrapped: bool) -> None:
    tool = {
        "name": "weather_now", "url": f"{api}/v1/{{id}}/now?lang=en", "integrationType": "REST",
        "requestType": "POST", "inputSchema": SCHEMA, "description": "The weather.", "title": "Weather",
        "headers": {"X-Key": "s3cret-key", "Content-Type": "application/json"}, "tags": ["sky"],
    }  # fmt: skip
    made = await forge.ask("POST", "/tools", {"tool": tool} if wrapped else tool)
    assert (await forge.ask("GET", "/tools")) == [made]
    assert (await forge.ask("GET", f"/tools/{made['id']}")) == made
    assert (made["name"], made["originalName"], made["url"]) == ("weather-now", "weather_now", tool["url"])
    assert (made["integrationType"], made["requestType"], made["gatewayId"]) == ("REST", "POST", None)
    assert (made["title"], made["description"]) == ("Weather", "The weather.")
    assert made["inputSchema"]["properties"].keys() == {"id", "days", "unit"}
    assert set(made["inputSchema"]["required"]) == {"id", "days"}
    assert [tag["label"] for tag in made["tags"]] == ["sky"]
    assert made["headers"] == {"X-Key": "*****"}
    assert await forge.ask("GET", "/gateways") == []
    for name in ("weather-now", "weather_now", made["id"]):
        seen = await asked(forge, name, ARGUMENTS)
        assert (seen["method"], seen["path"]) == ("POST", "/v1/a%20b/now?lang=en")
        assert msgspec.json.decode(seen["body"]) == {"days": 3, "unit": "°C"}
        assert seen["headers"]["X-Key"] == "s3cret-key"
    called = await forge.rpc("tools/call", {"name": "weather-now", "arguments": ARGUMENTS})
    assert "a%20b" in called["result"]["content"][0]["text"]
    (listed,) = (await forge.rpc("tools/list"))["result"]["tools"]
    assert (listed["name"], listed["inputSchema"]) == ("weather-now", made["inputSchema"])
    wrong = await forge.ask("POST", "/tools/invoke/weather-now", {"arguments": {"id": "x", "days": "no"}})
    assert wrong["isError"]
    export = (await forge.ask("GET", "/export"))["entities"]
    assert (export["gateways"], export["tools"][0]["url"]) == ([], tool["url"])
    assert "s3cret-key" not in str(export)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_arguments_of_get_and_delete_are_in_the_query(forge: Forge, api: str, method: str) -> None:
    tool = {"name": "w", "url": f"{api}/{{id}}", "request_type": method, "input_schema": SCHEMA}
    await forge.ask("POST", "/tools", tool)
    seen = await asked(forge, "w", ARGUMENTS)
    assert (seen["method"], seen["path"], seen["body"]) == (method, "/a%20b?days=3&unit=%C2%B0C", "")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_arguments_nobody_described_are_in_the_body(forge: Forge, api: str, method: str) -> None:
    await forge.ask("POST", "/tools", {"name": "w", "url": api, "request_type": method})
    seen = await asked(forge, "w", {"body": 1, "any": [True]})
    assert (seen["method"], msgspec.json.decode(seen["body"])) == (method, {"body": 1, "any": [True]})


async def test_mcp_clients_call_a_rest_tool_of_a_virtual_server(forge: Forge, api: str) -> None:
    made = await forge.ask(
        "POST", "/tools", {"name": "my_tool", "url": f"{api}/{{id}}", "inputSchema": SCHEMA}
    )
    body = {"server": {"name": "s", "associatedTools": [made["id"]]}}
    server = await forge.ask("POST", "/servers", body, 201)
    assert (server["associatedTools"], server["associatedToolIds"]) == (["my-tool"], [made["id"]])
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}

    async def mcp(method: str, params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await forge.http.post(f"/servers/{server['id']}/mcp", json=message, headers=headers)
        if "mcp-session-id" in answer.headers:
            headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        text = answer.text.rpartition("data: ")[2].splitlines()[0]
        return msgspec.json.decode(text)["result"]

    given = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    await mcp("initialize", given)
    (listed,) = (await mcp("tools/list", {}))["tools"]
    assert (listed["name"], listed["inputSchema"]["required"]) == ("my-tool", ["id", "body"])
    result = await mcp("tools/call", {"name": "my-tool", "arguments": {"id": "x", "body": {"days": 2}}})
    seen = msgspec.json.decode(result["content"][0]["text"])
    assert (seen["path"], seen["body"]) == ("/x", '{"days":2}')


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"auth_type": "bearer", "auth_token": "t"}, {"Authorization": "Bearer t"}),
        ({"auth": {"auth_type": "basic", "username": "u", "password": "p"}}, {"Authorization": "Basic dTpw"}),
        ({"auth_type": "authheaders", "auth_headers": [{"key": "X-A", "value": "v"}]}, {"X-A": "v"}),
    ],
)
async def test_credentials_are_sent_and_never_shown(forge: Forge, api: str, auth: Any, sent: Any) -> None:
    made = await forge.ask("POST", "/tools", {"name": "w", "url": api, **auth})
    assert set(made["headers"].values()) == {"*****"}
    seen = await asked(forge, "w", {}, headers={"x-upstream-authorization": "Bearer other"})
    assert seen["headers"] == {**seen["headers"], **sent}
    assert "Bearer other" not in str(seen)
    change = {"url": f"{api}/new", "headers": {**made["headers"], "X-More": "m"}}
    await forge.ask("PUT", f"/tools/{made['id']}", change)
    seen = await asked(forge, "w", {})
    assert seen["headers"] == {**seen["headers"], **sent, "X-More": "m"}
    assert seen["path"] == "/new"
    shown = await forge.ask("GET", f"/tools/{made['id']}")
    again = await forge.ask("PUT", f"/tools/{made['id']}", shown)
    assert {**again, "updatedAt": 0, "version": 0} == {**shown, "updatedAt": 0, "version": 0}
    assert (await asked(forge, "w", {}))["headers"] == seen["headers"]


async def test_a_tool_without_credentials_gets_those_for_the_upstream(forge: Forge, api: str) -> None:
    await forge.ask("POST", "/tools", {"name": "w", "url": api})
    seen = await asked(forge, "w", {}, headers={"x-upstream-authorization": "Bearer mine"})
    assert seen["headers"]["Authorization"] == "Bearer mine"


async def test_a_rest_tool_is_changed_taken_out_of_use_and_deleted(forge: Forge, api: str) -> None:
    made = await forge.ask("POST", "/tools", {"name": "w", "url": api, "annotations": {"title": "W"}})
    path = f"/tools/{made['id']}"
    change = {
        "request_type": "GET",
        "input_schema": SCHEMA,
        "description": "New",
        "tags": ["b"],
        "name": "zy",
    }
    changed = await forge.ask("PUT", path, {**change, "visibility": "private"})
    assert (changed["id"], changed["requestType"], changed["url"]) == (made["id"], "GET", f"{api}/")
    assert (changed["name"], changed["description"], changed["visibility"]) == ("zy", "New", "private")
    assert [tag["label"] for tag in changed["tags"]] == ["b"]
    assert changed["annotations"]["title"] == "W"
    assert (await asked(forge, "zy", ARGUMENTS))["path"].startswith("/?id=a%20b&")
    await forge.ask("PUT", path, {"request_type": "SSE"}, 422)
    off = await forge.ask("POST", f"{path}/state?activate=false")
    assert off["tool"]["enabled"] is False
    assert await forge.ask("GET", "/tools") == []
    (hidden,) = await forge.ask("GET", "/tools?include_inactive=true")
    assert (hidden["id"], hidden["inputSchema"]) == (made["id"], changed["inputSchema"])
    await forge.ask("POST", f"{path}/state?activate=true")
    assert (await forge.ask("GET", "/tools"))[0]["enabled"] is True
    assert (await forge.ask("DELETE", path))["status"] == "success"
    assert await forge.ask("GET", "/tools?include_inactive=true") == []
    await forge.ask("GET", path, status=404)
    again = await forge.ask("POST", "/tools", {"name": "w", "url": api})
    assert (again["id"], again["name"], again["annotations"].get("title")) == (made["id"], "w", None)


async def test_a_rest_tool_of_a_virtual_server_is_deleted(forge: Forge, api: str) -> None:
    made = await forge.ask("POST", "/tools", {"name": "w", "url": api})
    server = await forge.ask("POST", "/servers", {"name": "s", "associated_tools": [made["id"]]}, 201)
    await forge.ask("POST", f"/tools/{made['id']}/state?activate=false")
    await forge.ask("DELETE", f"/tools/{made['id']}")
    assert await forge.ask("GET", "/tools?include_inactive=true") == []
    assert (await forge.ask("GET", f"/servers/{server['id']}"))["associatedTools"] == []


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"name": ""}, 422, "name"),
        ({"name": "°"}, 422, "letters"),
        ({"url": None}, 422, "url"),
        ({"url": "ftp://x"}, 422, "http://host"),
        ({"url": "http://u:p@x/"}, 422, "http://host"),
        ({"url": "http://{host}/"}, 422, "http://host"),
        ({"url": "http://x/{a"}, 422, "url"),
        ({"url": "http://x/{body}"}, 422, "body"),
        ({"request_type": "SSE"}, 422, "GET"),
        ({"integration_type": "MCP"}, 422, "/gateways"),
        ({"integration_type": "A2A"}, 501, "A2A"),
        ({"input_schema": {"type": "array"}}, 422, "object"),
        ({"input_schema": {"properties": {"a": {"$ref": "#/x"}}}}, 501, "$ref"),
        ({"headers": {"Host": "x"}}, 422, "Host"),
        ({"headers": {"Content-Type": "text/xml"}}, 422, "application/json"),
        ({"output_schema": {"type": "object"}}, 501, "output_schema"),
        ({"jsonpath_filter": "$.a"}, 501, "jsonpath_filter"),
        ({"timeout_ms": -1}, 422, "timeout_ms"),
    ],
)
async def test_what_can_be_no_tool_is_refused(forge: Forge, more: Any, status: int, said: str) -> None:
    body = {"name": "w", "url": "https://w.example/", **more}
    assert said in (await forge.ask("POST", "/tools", body, status))["message"]
    assert await forge.ask("GET", "/tools?include_inactive=true") == []


async def test_a_name_is_taken_once(forge: Forge, api: str) -> None:
    await forge.ask("POST", "/tools", {"name": "a_tool", "url": api})
    for name in ("a_tool", "a-tool"):
        await forge.ask("POST", "/tools", {"name": name, "url": api}, 409)
    await forge.ask("POST", "/tools", {"name": "n" * 64, "url": api})
    await forge.ask("POST", "/gateways", {"name": "rest--x", "url": forge.clock_url}, 422)


async def test_cloud_metadata_is_never_called(forge: Forge) -> None:
    for url in ("http://169.254.169.254/latest", "http://2852039166/latest"):
        said = await forge.ask("POST", "/tools", {"name": "w", "url": url}, 422)
        assert "address_not_allowed (metadata)" in said["message"]
    answer = await forge.http.post("/tools/invoke/w", json={})
    assert answer.status_code == 404, answer.text


async def test_many_tools_are_imported_and_called(forge: Forge, api: str) -> None:
    tools = [{"name": name, "url": f"{api}/{name}", "request_type": "GET"} for name in ("a", "b", "a")]
    report = await forge.ask("POST", "/admin/tools/import", tools)
    assert (report["created_count"], report["failed_count"], report["errors"][0]["index"]) == (2, 1, 2)
    assert "already exists" in report["details"]["failed"][0]["error"]
    assert (await asked(forge, "b", {}))["path"] == "/b"
