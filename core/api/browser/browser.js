"use strict";
// Shows the OpenAPI document. All text comes in as text nodes, never as HTML.

const methods = ["get", "post", "put", "patch", "delete"];
const list = document.getElementById("operations");
const filter = document.getElementById("filter");
const count = document.getElementById("count");
let doc;

function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function resolve(s) {
  if (s && s.$ref) return [s.$ref.split("/").pop(), doc.components.schemas[s.$ref.split("/").pop()] || {}];
  if (s && s.allOf && s.allOf.length === 1) return resolve(s.allOf[0]);
  return ["", s || {}];
}

function typeOf(s) {
  const [name, r] = resolve(s);
  if (r.type === "array") return typeOf(r.items) + "[]";
  if (r.enum) return r.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (name) return name;
  return (r.type || "any") + (r.format ? " (" + r.format + ")" : "");
}

function properties(s, depth) {
  const [, r] = resolve(s);
  if (r.type === "array") return properties(r.items, depth);
  if (r.oneOf) return el("p", {}, "One of: " + r.oneOf.map(typeOf).join(", "));
  if (!r.properties) return "";
  const required = new Set(r.required || []);
  const body = el("tbody");
  for (const name of Object.keys(r.properties).sort()) {
    const p = r.properties[name];
    const notes = [required.has(name) ? "required" : "", p.nullable ? "nullable" : "", p.readOnly ? "read-only" : "", p.writeOnly ? "write-only" : ""].filter(Boolean);
    const what = el("td", {}, notes.join(", ") + (p.description ? (notes.length ? ". " : "") + p.description : ""));
    const [component, inner] = resolve(p.type === "array" ? p.items : p);
    if (component && inner.properties && depth < 2) {
      const more = el("details", {}, el("summary", {}, component));
      more.addEventListener("toggle", () => { if (more.children.length === 1) more.append(properties(inner, depth + 1)); });
      what.append(more);
    }
    body.append(el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, typeOf(p)), what));
  }
  return el("table", {}, body);
}

function content(c) { return c && c["application/json"] ? c["application/json"].schema : null; }

function tryIt(path, op) {
  const form = el("form");
  for (const p of op.parameters || []) {
    form.append(el("label", {}, p.name, el("input", { name: p.in + ":" + p.name, autocomplete: "off", ...(p.required ? { required: "" } : {}) })));
  }
  form.append(el("button", {}, "Send"));
  const out = el("pre", { hidden: "", tabindex: "0" });
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    let url = "/api/v3" + path;
    const query = new URLSearchParams();
    for (const [key, value] of new FormData(form)) {
      const [where, ...rest] = key.split(":");
      if (where === "path") url = url.replace("{" + rest.join(":") + "}", encodeURIComponent(value));
      else if (value !== "") query.append(rest.join(":"), value);
    }
    if (query.size) url += "?" + query;
    out.hidden = false;
    out.textContent = "…";
    try {
      const r = await fetch(url, { headers: { Accept: "application/json" }, redirect: "manual" });
      const text = await r.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      out.textContent = "GET " + url + "\n" + (r.status || "redirect") + " " + r.statusText + "\n\n" + shown;
    } catch (err) {
      out.textContent = "GET " + url + "\n" + err;
    }
  });
  return [form, out];
}

function details(path, method, op) {
  const box = el("div", { class: "body" });
  box.append(el("p", { class: "dim" }, op.operationId + ((op.security || []).some((s) => !Object.keys(s).length) ? " · anonymous" : "")));
  if (op.description) box.append(el("p", {}, op.description));
  if ((op.parameters || []).length) {
    const body = el("tbody");
    for (const p of op.parameters) {
      body.append(el("tr", {}, el("td", {}, el("code", {}, p.name)), el("td", {}, p.in), el("td", {}, typeOf(p.schema)), el("td", {}, p.description || "")));
    }
    box.append(el("h3", {}, "Parameters"), el("table", {}, body));
  }
  const request = op.requestBody && content(op.requestBody.content);
  if (request) box.append(el("h3", {}, "Request: " + typeOf(request)), properties(request, 0));
  for (const [status, r] of Object.entries(op.responses || {})) {
    const s = content(r.content);
    box.append(el("h3", {}, status + (s ? ": " + typeOf(s) : "")));
    if (s && status < "300") box.append(properties(s, 0));
  }
  if (method === "get") box.append(el("h3", {}, "Try it"), ...tryIt(path, op));
  return box;
}

function show() {
  const want = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const tags = new Map();
  let shown = 0;
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      const op = item[method];
      if (!op) continue;
      const text = (method + " " + path + " " + op.operationId + " " + (op.tags || []).join(" ")).toLowerCase();
      if (!want.every((w) => text.includes(w))) continue;
      shown++;
      const tag = (op.tags || ["other"])[0];
      const d = el("details", {}, el("summary", {}, el("span", { class: "method " + method }, method.toUpperCase()), el("code", {}, path)));
      d.addEventListener("toggle", () => { if (d.children.length === 1) d.append(details(path, method, op)); });
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(d);
    }
  }
  list.replaceChildren(...[...tags.keys()].sort().map((t) => el("section", {}, el("h2", {}, t), ...tags.get(t))));
  count.textContent = shown + " operations";
}

fetch("/api/v3/schema/?format=json").then((r) => {
  if (!r.ok) throw new Error("status " + r.status);
  return r.json();
}).then((d) => {
  doc = d;
  document.title = document.getElementById("title").textContent = d.info.title + " API " + d.info.version;
  filter.addEventListener("input", show);
  show();
}).catch((err) => { list.textContent = "The document could not be loaded: " + err.message; });
