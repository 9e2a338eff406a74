// The TypeScript SDK v2.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { main, Peer, Unsupported } from "./acts.mjs";

const MODES = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

const OVER = { http: StreamableHTTPClientTransport, sse: SSEClientTransport };

function transport({ way, url, command: [command, ...args] }) {
  return command ? new StdioClientTransport({ command, args }) : new OVER[way](new URL(url));
}

class V2 extends Peer {
  connection() {
    const { client } = this;
    return {
      era: client.getProtocolEra(),
      version: client.getNegotiatedProtocolVersion(),
      server: client.getServerVersion().name,
    };
  }

  call(name, args, options = {}) {
    const onprogress = () => {};
    return this.client.callTool({ name, arguments: args }, { onprogress, ...options });
  }

  async watching(uri, work) {
    if (this.client.getProtocolEra() === "legacy") return super.watching(uri, work);
    const subscription = await this.client.listen({ resourceSubscriptions: [uri] });
    try {
      return await work();
    } finally {
      await subscription.close();
    }
  }

  async logLevel(level) {
    if (this.client.getProtocolEra() === "modern")
      throw new Unsupported("a modern client gets log messages of its own requests only; the server's are timed");
    await super.logLevel(level);
  }

  async close() {
    if (this.client.getProtocolEra() === "legacy") await this.transport.terminateSession?.();
    await this.client.close();
  }
}

await main(async (plan) => {
  const peer = new V2(plan);
  const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } };
  const versionNegotiation = { mode: MODES[plan.era] };
  const client = new Client({ name: "ts-v2", version: "2" }, { capabilities, versionNegotiation });
  client.setRequestHandler("elicitation/create", ({ params }) => peer.elicited(params));
  client.setRequestHandler("sampling/createMessage", ({ params }) => peer.sampled(params));
  client.setRequestHandler("roots/list", () => peer.rooted());
  client.setNotificationHandler("notifications/message", () => peer.logged.resolve());
  client.setNotificationHandler("notifications/resources/updated", () => peer.updated.resolve());
  peer.client = client;
  peer.transport = transport(plan);
  await client.connect(peer.transport);
  // The SDK drops progress that comes in one piece with the answer: what counts here is what arrives.
  const { onmessage } = peer.transport;
  peer.transport.onmessage = (message, extra) => {
    if (message.method === "notifications/progress") peer.progress.push(message.params.progress);
    onmessage(message, extra);
  };
  return peer;
});
