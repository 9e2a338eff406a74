// Renders /api/openapi.json. Everything is put in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

function table(heads, rows) {
  const head = make("tr", "", ...heads.map((text) => {
    const cell = make("th", text);
    cell.scope = "col";
    return cell;
  }));
  return make("table", "", make("thead", "", head), make("tbody", "", ...rows.map((row) =>
    make("tr", "", ...row.map((cell) => make("td", "", cell))))));
}

// A schema with its references written out, to a depth people can read.
function resolved(schema, all, depth) {
  if (Array.isArray(schema)) return schema.map((each) => resolved(each, all, depth));
  if (!schema || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 0 ? resolved(all[name] || {}, all, depth - 1) : { $ref: name };
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, all, depth)]));
}

function content(title, body, all) {
  const found = Object.entries((body && body.content) || {});
  if (!found.length) return [];
  const [media, { schema }] = found[0];
  const inner = make("details", "", make("summary", media));
  inner.addEventListener("toggle", () => {
    if (inner.open && inner.children.length === 1) {
      inner.append(make("pre", JSON.stringify(resolved(schema, all, 3), null, 2)));
    }
  });
  return [...(title ? [make("h3", title)] : []), inner];
}

function shown(method, path, operation, all) {
  const verb = make("span", method.toUpperCase());
  verb.className = "method";
  const box = make("details", "", make("summary", "", verb, make("code", path), make("span", operation.summary)));
  box.dataset.text = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  box.id = operation.operationId;
  if (operation.parameters.length) {
    box.append(make("h3", "Parameters"), table(["name", "in", "type", ""], operation.parameters.map((each) =>
      [make("code", each.name), each.in, each.schema.type || "", each.description || ""])));
  }
  box.append(...content("Body", operation.requestBody, all), make("h3", "Answers"));
  for (const [status, answer] of Object.entries(operation.responses)) {
    box.append(make("p", "", make("code", status), ` ${answer.description}`), ...(status < 300 ? content("", answer, all) : []));
  }
  return box;
}

async function main() {
  const about = document.getElementById("about");
  const answer = await fetch("/api/openapi.json");
  if (!answer.ok) {
    about.textContent = `The description cannot be loaded: HTTP ${answer.status}`;
    return;
  }
  const api = await answer.json();
  about.textContent = api.info.description;
  const groups = new Map(api.tags.map(({ name }) => [name, make("section", "", make("h2", name))]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS) {
      if (item[method]) groups.get(item[method].tags[0]).append(shown(method, path, item[method], api.components.schemas));
    }
  }
  document.getElementById("operations").replaceChildren(...groups.values());
  document.getElementById("filter").addEventListener("input", (event) => {
    const text = event.target.value.toLowerCase();
    for (const box of document.querySelectorAll("[data-text]")) box.hidden = !box.dataset.text.includes(text);
  });
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.setAttribute("open", "");
}

main();
