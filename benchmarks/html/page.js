"use strict";
// The results, whole, as they lie in the page: decompressed once, when first needed.
const texts = new Map();
function resultText(run) {
  if (!texts.has(run)) {
    const packed = document.querySelector(`script.results[data-run="${run}"]`).textContent;
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    texts.set(run, new Response(plain).text());
  }
  return texts.get(run);
}

const parsed = new Map();
async function results(run) {
  if (!parsed.has(run)) parsed.set(run, JSON.parse(await resultText(run)));
  return parsed.get(run);
}

function node(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function shortTime(seconds) {
  const units = [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]];
  const [size, name] = units.find(([size]) => seconds >= size) ?? units[3];
  return `${Number((seconds / size).toPrecision(3))} ${name}`;
}

function secondsOf(sample) {
  const single = sample.durations_ns;
  if (single.length) return single.reduce((sum, each) => sum + each, 0) / single.length / 1e9;
  return sample.elapsed_ns / sample.operations / 1e9;
}

// Every sample as a dot, block by block; those of discarded blocks are hollow.
function drawSamples(comparison) {
  const names = comparison.instances, row = 22, left = 170, width = 760, right = 14;
  const dots = [];
  for (const block of comparison.blocks)
    for (const name of names)
      for (const sample of block.samples[name] ?? [])
        dots.push({ name, block, seconds: secondsOf(sample) });
  const times = dots.map((dot) => Math.log(dot.seconds));
  const low = Math.min(...times), span = Math.max(...times) - low || 1;
  const x = (seconds) => left + (width - left - right) * (Math.log(seconds) - low) / span;
  const height = names.length * row + 22;
  const svg = node("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "all samples",
  });
  names.forEach((name, index) => {
    svg.append(node("text", { x: left - 8, y: index * row + 15, class: "end" }, name));
    svg.append(node("line", {
      x1: left, x2: width - right, y1: index * row + 20, y2: index * row + 20, class: "grid",
    }));
  });
  for (const dot of dots) {
    const jitter = dot.block.number % 4 * 2 - 3;
    const circle = node("circle", {
      cx: x(dot.seconds).toFixed(1), cy: names.indexOf(dot.name) * row + 11 + jitter, r: 2.4,
      fill: dot.block.is_discarded ? "none" : "currentColor", stroke: "currentColor",
      "fill-opacity": 0.55, "stroke-opacity": 0.7,
    });
    const redone = dot.block.is_discarded ? `, discarded: ${dot.block.disturbance}` : "";
    circle.append(node("title", {}, `block ${dot.block.number}, ${shortTime(dot.seconds)}${redone}`));
    svg.append(circle);
  }
  for (const share of [0, 0.5, 1]) {
    const seconds = Math.exp(low + share * span);
    const at = ["start", "middle", "end"][share * 2];
    svg.append(node("text", {
      x: x(seconds), y: height - 6, class: "tick", "text-anchor": at,
    }, shortTime(seconds)));
  }
  return svg;
}

for (const cell of document.querySelectorAll("details.cell"))
  cell.addEventListener("toggle", async () => {
    const place = cell.querySelector(".samples");
    if (!cell.open || place.dataset.drawn) return;
    place.dataset.drawn = "yes";
    const [run, number] = place.dataset.place.split("/").map(Number);
    const comparison = (await results(run)).comparisons[number];
    const figure = document.createElement("figure");
    figure.style.maxWidth = "none";
    const caption = document.createElement("figcaption");
    caption.textContent = "Every sample: a row a target, each block at a height of its own.";
    figure.append(caption, drawSamples(comparison));
    place.append(figure);
  });

document.getElementById("save")?.addEventListener("click", async () => {
  for (const script of document.querySelectorAll("script.results")) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await resultText(Number(script.dataset.run))]));
    link.download = `results-${Number(script.dataset.run) + 1}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
});

for (const button of document.querySelectorAll("button.copy"))
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "copied";
  });

for (const button of document.querySelectorAll(".legend button"))
  button.addEventListener("click", () => {
    const isPressed = button.getAttribute("aria-pressed") === "true";
    for (const other of document.querySelectorAll(".legend button"))
      other.setAttribute("aria-pressed", String(other === button && !isPressed));
    document.body.classList.toggle("alone", !isPressed);
    for (const line of document.querySelectorAll(".t[data-target]"))
      line.classList.toggle("chosen", line.dataset.target === button.dataset.target);
  });

// A click on a title sorts: by number where the column has numbers, times by length.
const SIZES = { s: 1, ms: 1e-3, us: 1e-6, ns: 1e-9, "GiB/s": 2 ** 30, "MiB/s": 2 ** 20, "KiB/s": 2 ** 10 };
function sortKey(cell) {
  const [value, unit] = cell.textContent.trim().split(" ");
  return value === "" || isNaN(value) ? cell.textContent : Number(value) * (SIZES[unit] ?? 1);
}
for (const title of document.querySelectorAll(".sort thead th"))
  title.addEventListener("click", () => {
    const body = title.closest("table").tBodies[0];
    const sign = title.dataset.up ? -1 : 1;
    title.dataset.up = title.dataset.up ? "" : "yes";
    const rows = [...body.rows].sort((a, b) => {
      const [one, two] = [a, b].map((row) => sortKey(row.cells[title.cellIndex]));
      if (typeof one !== typeof two) return typeof one === "number" ? -1 : 1;
      return sign * (one < two ? -1 : one > two ? 1 : 0);
    });
    body.append(...rows);
  });

// A link to a cell opens it.
function openLinked() {
  const linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (linked?.tagName === "DETAILS") linked.open = true;
}
window.addEventListener("hashchange", openLinked);
openLinked();
