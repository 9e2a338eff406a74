// The TypeScript SDK v1.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { main, Peer } from "./acts.mjs";

class V1 extends Peer {
  connection() {
    return { era: "legacy", version: this.transport.protocolVersion, server: this.client.getServerVersion().name };
  }

  call(name, args, options = {}) {
    const onprogress = ({ progress }) => this.progress.push(progress);
    return this.client.callTool({ name, arguments: args }, CallToolResultSchema, { onprogress, ...options });
  }

  async close() {
    await this.transport.terminateSession();
    await this.client.close();
  }
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
  peer.transport = new StreamableHTTPClientTransport(new URL(plan.url));
  await client.connect(peer.transport);
  return peer;
});
