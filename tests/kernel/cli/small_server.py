"""A small MCP server on stdin and stdout (2025-11-25) with something of every kind; starts in no time."""

import json
import sys

TOOLS = [
    {
        "name": "add",
        "description": "Adds two integers.\nSlowly.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["a", "b"],
        },
    },
    {"name": "echo", "description": "Gives its arguments back.", "inputSchema": {"type": "object"}},
    {"name": "fail", "description": "Fails \x1b[31mloudly.", "inputSchema": {"type": "object"}},
    {"name": "greet", "description": "Asks who you are.", "inputSchema": {"type": "object"}},
]
RESOURCES = [
    {"uri": "notes://one", "name": "one", "mimeType": "text/plain", "description": "The first note."},
    {"uri": "notes://bytes", "name": "bytes", "mimeType": "application/octet-stream"},
]
TEMPLATES = [{"uriTemplate": "notes://{name}", "name": "any", "description": "Any note."}]
PROMPTS = [{"name": "review", "description": "Reviews.", "arguments": [{"name": "what", "required": True}]}]
QUESTION = {
    "message": "Who are you?",
    "requestedSchema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Your name"},
            "age": {"type": "integer"},
            "mood": {"type": "string", "enum": ["good", "bad"]},
        },
        "required": ["name", "mood"],
    },
}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(value, error=False):
    return {"content": [{"type": "text", "text": value}], **({"isError": True} if error else {})}


def greet():
    send({"id": "q", "method": "elicitation/create", "params": QUESTION})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "q":
            return text(f"hello {json.dumps(message.get('result', message.get('error')), sort_keys=True)}")
    sys.exit()


def call(params):
    name, given = params["name"], params.get("arguments", {})
    if name == "add":
        return text(str(given["a"] + given["b"]) + given.get("note", ""))
    if name == "echo":
        return {**text("see structuredContent"), "structuredContent": given}
    return greet() if name == "greet" else text("it went wrong", error=True)


def read(params):
    uri = params["uri"]
    if uri == "notes://bytes":
        return {"contents": [{"uri": uri, "mimeType": "application/octet-stream", "blob": "AP/+"}]}
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": f"the note {uri[8:]}"}]}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
            "serverInfo": {"name": "small", "version": "1"},
        }
    if method == "prompts/get":
        said = f"Review {params['arguments']['what']}."
        return {"messages": [{"role": "user", "content": {"type": "text", "text": said}}]}
    return {
        "tools/list": lambda: {"tools": TOOLS},
        "resources/list": lambda: {"resources": RESOURCES},
        "resources/templates/list": lambda: {"resourceTemplates": TEMPLATES},
        "prompts/list": lambda: {"prompts": PROMPTS},
        "ping": dict,
        "tools/call": lambda: call(params),
        "resources/read": lambda: read(params),
    }[method]()


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "method" not in message or "id" not in message:
            continue
        try:
            send({"id": message["id"], "result": answer(message["method"], message.get("params") or {})})
        except KeyError:
            send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})


if __name__ == "__main__":
    main()
