// Asks for the overview again and again and draws it. Text goes into the page as text only, never as markup.

const PERIOD = 1000; // milliseconds between two looks
const COLUMN = 190, ROW = 44, BOX = { width: 160, height: 32 };
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
let group = new URLSearchParams(location.search).get("group") ?? "";
let drawn = "";

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function mood(state) {
  if (state === "Succeeded" || state === "Ready") return "good";
  return state === "Failed" || state === "Canceled" ? "bad" : "busy";
}

function shortType(type) {
  return type.split("/").slice(1).join("/");
}

// A resource stands one column right of the rightmost one that it refers to; circles end where they began.
function columns(resources) {
  const byKey = new Map(resources.map((resource) => [resource.id.toLowerCase(), resource]));
  const depth = new Map();
  function depthOf(key, above) {
    if (depth.has(key)) return depth.get(key);
    if (above.has(key)) return 0;
    const inside = new Set(above).add(key);
    const below = byKey.get(key).refersTo.map((other) => depthOf(other, inside) + 1);
    depth.set(key, Math.max(0, ...below));
    return depth.get(key);
  }
  for (const key of byKey.keys()) depthOf(key, new Set());
  return depth;
}

function drawGraph(resources) {
  const depth = columns(resources), filled = [], places = new Map();
  for (const resource of resources) {
    const key = resource.id.toLowerCase(), column = depth.get(key);
    filled[column] = (filled[column] ?? -1) + 1;
    places.set(key, { x: 12 + column * COLUMN, y: 10 + filled[column] * ROW });
  }
  const graph = byId("graph");
  graph.replaceChildren();
  graph.setAttribute("width", 24 + filled.length * COLUMN);
  graph.setAttribute("height", 20 + Math.max(1, ...filled.map((count) => (count ?? 0) + 1)) * ROW);
  for (const resource of resources) {
    const from = places.get(resource.id.toLowerCase());
    for (const other of resource.refersTo) {
      const to = places.get(other), x = to.x + BOX.width, y = to.y + BOX.height / 2, half = (from.x - x) / 2;
      graph.append(shape("path", { d: `M${x},${y} c${half},0 ${half},${from.y - to.y} ${from.x - x},${from.y - to.y}` }));
    }
  }
  for (const resource of resources) {
    const at = places.get(resource.id.toLowerCase());
    const box = shape("g", {});
    box.append(
      shape("title", {}, `${resource.id}\n${resource.state}`),
      shape("rect", { x: at.x, y: at.y, rx: 4, class: mood(resource.state), ...BOX }),
      shape("text", { x: at.x + 8, y: at.y + 14 }, shorten(resource.name, 23)),
      shape("text", { x: at.x + 8, y: at.y + 26, class: "kind" }, shorten(shortType(resource.type), 28)),
    );
    graph.append(box);
  }
}

function shorten(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function drawGroups(overview) {
  byId("no-groups").hidden = overview.groups.length > 0;
  byId("groups").replaceChildren(...overview.groups.map((one) => {
    const button = element("button", one.name, { type: "button", "aria-current": String(one.name === overview.group) });
    button.append(document.createElement("br"), element("small", `${one.location} · ${one.resources} resources · ${one.state}`));
    button.addEventListener("click", () => { group = one.name; look(); });
    const item = element("li", null);
    item.append(button);
    return item;
  }));
}

function drawResources(overview) {
  byId("title").textContent = overview.group ?? "Resources";
  const states = Object.entries(overview.states).map(([state, count]) => `${count} ${state}`).join(", ");
  const more = overview.resourcesInGroup - overview.resources.length;
  byId("summary").textContent = states + (more > 0 ? ` (${more} more are not drawn)` : "");
  byId("resources").replaceChildren(...overview.resources.map((resource) => {
    const row = element("tr", null, { title: resource.id });
    row.append(element("td", resource.name), element("td", shortType(resource.type)), element("td", resource.location),
      element("td", resource.state, { class: mood(resource.state) }));
    return row;
  }));
  drawGraph(overview.resources);
}

function drawOperations(overview) {
  byId("no-operations").hidden = overview.operations.length > 0;
  byId("operation-count").textContent = overview.operationsRunning ? `(${overview.operationsRunning})` : "";
  byId("operations").replaceChildren(...overview.operations.map((one) => {
    const item = element("li", `${one.verb} ${one.resource.split("/").slice(-2).join("/")} `);
    item.append(element("small", `${one.secondsLeft} s left`), element("progress", null, { max: 100, value: one.percent }));
    return item;
  }));
}

function drawRequests(overview) {
  byId("requests").tBodies[0].replaceChildren(...overview.requests.map((one) => {
    const row = element("tr", null, { title: `${one.caller ?? ""} ${one.durationMs ?? ""} ms` });
    row.append(element("td", one.method), element("td", shorten(one.path.split("/").slice(-3).join("/"), 60)),
      element("td", `${one.status}${one.code ? ` ${one.code}` : ""}`, { class: one.status < 400 ? "good" : "bad" }));
    return row;
  }));
}

async function look() {
  try {
    const answer = await fetch(`/emulator/overview?group=${encodeURIComponent(group)}`);
    const text = await answer.text(), overview = JSON.parse(text);
    const { now, speed } = overview.clock;
    byId("clock").textContent = `${now.replace("T", " ").slice(0, 19)} · ${speed === 0 ? "the clock stands still" : `${speed}× real time`}`;
    drawOperations(overview);
    drawRequests(overview);
    const resources = JSON.stringify([overview.groups, overview.group, overview.resources]);
    if (resources !== drawn) {
      drawGroups(overview);
      drawResources(overview);
      drawn = resources;
    }
  } catch {
    byId("clock").textContent = "The emulator does not answer. This page goes on by itself when it does.";
  }
}

look();
setInterval(look, PERIOD);
