// The acts of a TypeScript client, written once; ts_v1.mjs and ts_v2.mjs say how each SDK does them.

import { pathToFileURL } from "node:url";
import { join } from "node:path";

const ACT_MS = 25_000;
const ELICITED = { name: "Ada Lovelace", check: true, integer: 36 };
const SAMPLED = "a sampled answer";
const AMBIGUOUS = { topic: "python", ambiguous: true };

/** The client cannot do an act; the message says why. */
export class Unsupported extends Error {}

/** A connected client. A subclass overrides what its SDK does differently. */
export class Peer {
  constructor(plan) {
    this.plan = plan;
    this.asked = [];
    this.progress = [];
    this.updated = signal();
    this.logged = signal();
  }

  /** Note an elicitation and accept it. */
  elicited(params) {
    const mode = params.mode ?? "form";
    this.asked.push(`elicitation:${mode}`);
    return mode === "url" ? { action: "accept" } : { action: "accept", content: ELICITED };
  }

  /** Note a sampling request and answer it. */
  sampled(params) {
    this.asked.push("sampling");
    const asked = [params.messages[0].content].flat()[0].text;
    const content = { type: "text", text: `${SAMPLED} to: ${asked}` };
    return { role: "assistant", model: "none", content };
  }

  /** Note a roots request and answer it. */
  rooted() {
    this.asked.push("roots");
    return { roots: [{ uri: pathToFileURL(this.plan.folder).href, name: "work" }] };
  }

  /** Call a tool as a task of one's own: how it was when it was looked at, and its result. */
  async task() {
    throw new Unsupported("its library has no tasks");
  }

  /** Names (URIs, templates) of `tools`, `resources`, `templates` or `prompts`, all pages. */
  async names(kind) {
    const [verb, field, name] = {
      tools: ["listTools", "tools", "name"],
      resources: ["listResources", "resources", "uri"],
      templates: ["listResourceTemplates", "resourceTemplates", "uriTemplate"],
      prompts: ["listPrompts", "prompts", "name"],
    }[kind];
    const found = [];
    for (let cursor; ; ) {
      const page = await this.client[verb](cursor === undefined ? undefined : { cursor });
      found.push(...page[field].map((item) => item[name]));
      cursor = page.nextCursor;
      if (cursor === undefined) return found;
    }
  }

  async read(uri) {
    return (await this.client.readResource({ uri })).contents.map((part) => part.text).join("");
  }

  async prompt(name, args) {
    const { messages } = await this.client.getPrompt({ name, arguments: args });
    return messages.map((message) => message.content.text).join("\n");
  }

  async complete(prompt, name, value) {
    const result = await this.client.complete({ ref: { type: "ref/prompt", name: prompt }, argument: { name, value } });
    return result.completion.values;
  }

  async watching(uri, work) {
    await this.client.subscribeResource({ uri });
    const facts = await work();
    await this.client.unsubscribeResource({ uri });
    return facts;
  }

  async logLevel(level) {
    await this.client.setLoggingLevel(level);
  }
}

function signal() {
  const made = { set: false };
  made.arrived = new Promise((resolve) => {
    made.resolve = () => {
      made.set = true;
      resolve();
    };
  });
  return made;
}

function within(ms, promise, otherwise) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => (otherwise ? reject(otherwise) : resolve()), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function facts(result, more = {}) {
  const text = result.content.filter((block) => block.type === "text").map((block) => block.text);
  return {
    text: text.join("\n"),
    error: result.isError ?? false,
    kinds: result.content.map((block) => block.type),
    structured: result.structuredContent ?? null,
    ...more,
  };
}

async function asking(peer, tool, args) {
  peer.asked.length = 0;
  return facts(await peer.call(tool, args), { asked: [...peer.asked] });
}

async function task(peer) {
  peer.asked.length = 0;
  const [seen, result] = await peer.task("simulate-research-query", AMBIGUOUS);
  return facts(result, { asked: [...peer.asked], seen });
}

async function files(peer) {
  const path = join(peer.plan.folder, `${peer.plan.token}.txt`);
  const wrote = await peer.call("write_file", { path, content: `written by ${peer.plan.token} €\n` });
  return facts(await peer.call("read_text_file", { path }), { wrote: facts(wrote).text, path });
}

// server-filesystem asks for the roots at the start of its session; until it has them it serves its own.
async function ownRoots(peer) {
  if (peer.connection().era === "modern")
    throw new Unsupported("a modern client can be asked in the course of a call only, not at a session's start");
  let result;
  for (let tries = 0; tries < 20; tries += 1) {
    result = facts(await peer.call("list_allowed_directories", {}), { folder: peer.plan.folder });
    if (result.text.split("\n").includes(peer.plan.folder)) break;
    await within(250, new Promise(() => {}));
  }
  return result;
}

async function memory(peer) {
  const entity = { name: peer.plan.token, entityType: "client", observations: ["was here"] };
  await peer.call("create_entities", { entities: [entity] });
  return facts(await peer.call("open_nodes", { names: [peer.plan.token] }));
}

async function progress(peer) {
  peer.progress.length = 0;
  const result = await peer.call("trigger-long-running-operation", { duration: 0.8, steps: 4 });
  return facts(result, { progress: [...peer.progress] });
}

// Something the server sends every five seconds while it is switched on.
async function whileToggled(peer, tool, arrival) {
  let result = facts(await peer.call(tool, {}));
  // An earlier client of the same server may have left it on.
  if (result.text.startsWith("Stopped")) result = facts(await peer.call(tool, {}));
  try {
    await within(12_000, arrival.arrived);
  } finally {
    await within(5_000, peer.call(tool, {}));
  }
  return { ...result, arrived: arrival.set };
}

async function watch(peer) {
  const uri = "demo://resource/dynamic/text/1";
  return peer.watching(uri, () => whileToggled(peer, "toggle-subscriber-updates", peer.updated));
}

async function logging(peer) {
  await peer.logLevel("debug");
  return whileToggled(peer, "toggle-simulated-logging", peer.logged);
}

async function cancel(peer) {
  const abort = AbortSignal.timeout(700);
  let cancelled = false;
  try {
    await peer.call("trigger-long-running-operation", { duration: 20, steps: 40 }, { signal: abort });
  } catch {
    cancelled = abort.aborted;
  }
  return facts(await peer.call("echo", { message: "still here" }), { cancelled });
}

async function refused(request) {
  try {
    const result = await request;
    return { refused: result.isError ?? false, code: null, message: result.content?.[0]?.text ?? "" };
  } catch (error) {
    return { refused: true, code: error.code ?? null, message: error.message };
  }
}

const call = async (peer, name, args) => facts(await peer.call(name, args));

const ACTS = {
  connect: (p) => p.connection(),
  tools: async (p) => ({ names: await p.names("tools") }),
  resources: async (p) => ({ names: await p.names("resources") }),
  templates: async (p) => ({ names: await p.names("templates") }),
  prompts: async (p) => ({ names: await p.names("prompts") }),
  echo: (p) => call(p, "echo", { message: `hello ${p.plan.token} ✓` }),
  sum: (p) => call(p, "get-sum", { a: 2, b: 40.5 }),
  structured: (p) => call(p, "get-structured-content", { location: "Chicago" }),
  image: (p) => call(p, "get-tiny-image", {}),
  time: (p) => call(p, "get_current_time", { timezone: "Europe/Paris" }),
  git: (p) => call(p, "git_status", { repo_path: p.plan.repository }),
  files,
  "own-roots": ownRoots,
  memory,
  read: async (p) => ({ text: await p.read("demo://resource/static/document/features.md") }),
  "read-template": async (p) => ({ text: await p.read("demo://resource/dynamic/text/7") }),
  "read-memory": async (p) => ({ text: await p.read("memory://knowledge-graph") }),
  prompt: async (p) => ({ text: await p.prompt("args-prompt", { city: "Oslo", state: "Norway" }) }),
  complete: async (p) => ({ values: await p.complete("completable-prompt", "department", "E") }),
  progress,
  elicit: (p) => asking(p, "trigger-elicitation-request", {}),
  "elicit-url": (p) => asking(p, "trigger-url-elicitation", { url: "https://example.com/sign-in" }),
  sample: (p) => asking(p, "trigger-sampling-request", { prompt: "Say hi", maxTokens: 20 }),
  roots: (p) => asking(p, "get-roots-list", {}),
  research: (p) => asking(p, "simulate-research-query", AMBIGUOUS),
  task,
  watch,
  logging,
  cancel,
  "tool-error": (p) => call(p, "read_text_file", { path: "/etc/hostname" }),
  "unknown-tool": (p) => refused(p.call("no-such-tool", {})),
  "unknown-resource": (p) => refused(p.read("demo://resource/nowhere")),
};

const print = (act, outcome) => process.stdout.write(JSON.stringify({ act, ...outcome }) + "\n");

function reason(error) {
  console.error(error);
  return `${error.name}: ${error.message}`;
}

/** Perform the plan in argv, one JSON line an act on stdout. */
export async function main(connect) {
  const plan = JSON.parse(process.argv[2]);
  let peer;
  try {
    peer = await within(ACT_MS, connect(plan), new Error("no connection in time"));
  } catch (error) {
    for (const act of [...plan.acts, "close"]) print(act, { failed: reason(error) });
    process.exit(0);
  }
  for (const act of plan.acts) {
    try {
      print(act, { facts: await within(ACT_MS, ACTS[act](peer), new Error("no answer in time")) });
    } catch (error) {
      print(act, error instanceof Unsupported ? { unsupported: error.message } : { failed: reason(error) });
    }
  }
  try {
    await within(ACT_MS, peer.close(), new Error("no end in time"));
    print("close", { facts: {} });
  } catch (error) {
    print("close", { failed: reason(error) });
  }
  process.exit(0);
}
