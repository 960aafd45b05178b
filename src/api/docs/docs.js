// Renders /openapi.json as a page. Text goes in as text: nothing from the document is read as HTML.
"use strict";

const element = (name, text, children = []) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

const code = (value) => element("pre", "", [element("code", typeof value === "string" ? value : JSON.stringify(value, null, 2))]);

const anchor = (method, path) => `${method}${path}`.replace(/[^a-z0-9]+/gi, "-").toLowerCase();

function deref(root, thing) {
  let found = thing;
  for (let hops = 0; found && found.$ref && hops < 8; hops += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, key) => at && at[key.replace(/~1/g, "/").replace(/~0/g, "~")], root);
  }
  return found || {};
}

function parameters(root, list) {
  const rows = list.map((one) => deref(root, one)).map((one) => element("tr", "", [
    element("td", "", [element("code", one.name)]),
    element("td", one.in + (one.required ? ", required" : "")),
    element("td", one.description || ""),
  ]));
  return rows.length ? [element("h3", "Parameters"), element("table", "", rows)] : [];
}

function content(root, title, media) {
  return Object.entries(media || {}).map(([type, one]) => {
    const parts = [element("summary", `${title} ${type}`)];
    if (one.example !== undefined) parts.push(code(one.example));
    for (const example of Object.values(one.examples || {})) parts.push(code(deref(root, example).value));
    if (one.schema) parts.push(code(deref(root, one.schema)));
    return element("details", "", parts);
  });
}

function route(root, path, method, operation, shared) {
  const made = element("section", "", [element("h2", "", [element("code", `${method.toUpperCase()} ${path}`)])]);
  made.id = anchor(method, path);
  made.append(element("p", operation.summary || ""), element("p", operation.description || ""));
  made.append(...parameters(root, [...shared, ...(operation.parameters || [])]));
  if (operation.requestBody) made.append(element("h3", "Body"), ...content(root, "", deref(root, operation.requestBody).content));
  made.append(element("h3", "Answers"));
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    const found = deref(root, answer);
    made.append(element("p", `${status} — ${found.description || ""}`), ...content(root, status, found.content));
  }
  return made;
}

async function start() {
  const root = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = root.info.description || "";
  const contents = element("ul");
  for (const [path, item] of Object.entries(root.paths)) {
    for (const method of ["get", "post", "put", "patch", "delete"].filter((name) => item[name])) {
      const link = element("a", `${method.toUpperCase()} ${path}`);
      link.href = `#${anchor(method, path)}`;
      contents.append(element("li", "", [link]));
      document.getElementById("routes").append(route(root, path, method, item[method], item.parameters || []));
    }
  }
  document.getElementById("contents").append(contents);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

start().catch((error) => { document.getElementById("about").textContent = `The document could not be read: ${error}`; });
