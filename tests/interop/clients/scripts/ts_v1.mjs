// The TypeScript SDK v1.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { main, Peer } from "./acts.mjs";

const OVER = { http: StreamableHTTPClientTransport, sse: SSEClientTransport, websocket: WebSocketClientTransport };

function transport({ way, url, command: [command, ...args] }) {
  return command ? new StdioClientTransport({ command, args }) : new OVER[way](new URL(url));
}

class V1 extends Peer {
  connection() {
    return { era: "legacy", version: this.version, server: this.client.getServerVersion().name };
  }

  call(name, args, options = {}) {
    const onprogress = () => {};
    return this.client.callTool({ name, arguments: args }, CallToolResultSchema, { onprogress, ...options });
  }

  async task(name, args) {
    const seen = [];
    const options = { task: { ttl: 60_000 } };
    for await (const message of this.client.experimental.tasks.callToolStream(
      { name, arguments: args },
      CallToolResultSchema,
      options,
    )) {
      if (message.type === "taskStatus") seen.push(message.task.status);
      if (message.type === "error") throw message.error;
      if (message.type === "result") return [seen, message.result];
    }
  }

  async close() {
    await this.transport.terminateSession?.();
    await this.client.close();
  }
}

function tell(peer, told) {
  return function (version) {
    peer.version = version;
    told?.call(this, version);
  };
}

await main(async (plan) => {
  const peer = new V1(plan);
  const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } };
  const client = new Client({ name: "ts-v1", version: "1" }, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => peer.elicited(params));
  client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => peer.sampled(params));
  client.setRequestHandler(ListRootsRequestSchema, () => peer.rooted());
  client.setNotificationHandler(LoggingMessageNotificationSchema, () => peer.logged.resolve());
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, () => peer.updated.resolve());
  peer.client = client;
  peer.transport = transport(plan);
  // Only some transports keep the version; all that keep one are told.
  peer.transport.setProtocolVersion = tell(peer, peer.transport.setProtocolVersion);
  await client.connect(peer.transport);
  // The SDK drops progress that comes in one piece with the answer: what counts here is what arrives.
  const { onmessage } = peer.transport;
  peer.transport.onmessage = (message, extra) => {
    if (message.method === "notifications/progress") peer.progress.push(message.params.progress);
    onmessage(message, extra);
  };
  return peer;
});
