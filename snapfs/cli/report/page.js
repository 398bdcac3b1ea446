"use strict";
(() => {
  const map = document.getElementById("map");
  const trail = document.getElementById("trail");
  const root = JSON.parse(document.getElementById("tree").textContent);
  const COLOURS = 12;
  const TITLE = 18;
  let path = [root];

  const bytes = (size) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit++; }
    return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
  };

  // Squarified (Bruls, Huizing, van Wijk): rows along the shorter side, each closed
  // before its worst proportion gets worse.
  const layOut = (nodes, x, y, width, height, draw) => {
    let left = nodes.filter((node) => node.b > 0);
    let total = left.reduce((sum, node) => sum + node.b, 0);
    while (left.length && width > 0 && height > 0) {
      const side = Math.min(width, height);
      const scale = (width * height) / total;
      let count = 0, sum = 0, worst = Infinity;
      while (count < left.length) {
        const next = sum + left[count].b;
        const most = left[0].b * scale, least = left[count].b * scale;
        const area = next * scale * next * scale;
        const now = Math.max((side * side * most) / area, area / (side * side * least));
        if (now > worst) break;
        worst = now; sum = next; count++;
      }
      const thick = (sum * scale) / side;
      let at = 0;
      for (const node of left.slice(0, count)) {
        const long = (node.b * scale) / thick;
        if (width >= height) draw(node, x, y + at, thick, long);
        else draw(node, x + at, y, long, thick);
        at += long;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
      total -= sum;
      left = left.slice(count);
    }
  };

  const put = (node, above, x, y, width, height, depth) => {
    const full = [...above, node].map((each) => each.n).join("/") || "/";
    const box = document.createElement("button");
    box.type = "button";
    box.style.left = `${x}px`; box.style.top = `${y}px`;
    box.style.width = `${width}px`; box.style.height = `${height}px`;
    box.className = node.l ? `l${(node.l - 1) % COLOURS}` : "rest";
    const files = node.c || node.d ? `, ${node.f} file${node.f === 1 ? "" : "s"}` : "";
    const layer = node.l ? `, layer ${node.l}` : "";
    box.title = `${full}\n${bytes(node.b)}${files}${layer}`;
    box.setAttribute("aria-label", box.title.replace("\n", ", "));
    if (width > 30 && height > 14) {
      const label = document.createElement("span");
      label.textContent = `${node.n}${node.c || node.d ? "/" : ""} ${bytes(node.b)}`;
      box.append(label);
    }
    map.append(box);
    if (!node.c) { box.tabIndex = width * height > 900 ? 0 : -1; return; }
    box.classList.add("group", "opens");
    const target = [...above, node];
    box.addEventListener("click", () => { path = target; show(); });
    if (depth && width > 60 && height > TITLE + 24) {
      layOut(node.c, x + 2, y + TITLE, width - 4, height - TITLE - 2,
        (below, ...place) => put(below, target, ...place, depth - 1));
    }
  };

  const show = () => {
    const here = path[path.length - 1];
    map.replaceChildren();
    layOut(here.c || [here], 0, 0, map.clientWidth, map.clientHeight,
      (node, ...place) => put(node, here.c ? path : path.slice(0, -1), ...place, 3));
    trail.replaceChildren(...path.map((node, index) => {
      const link = document.createElement("button");
      link.type = "button";
      link.textContent = index ? `${node.n}/` : "/";
      link.addEventListener("click", () => { path = path.slice(0, index + 1); show(); });
      return link;
    }), Object.assign(document.createElement("span"), {
      textContent: ` ${bytes(here.b)} in ${here.f} file${here.f === 1 ? "" : "s"}`,
    }));
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && path.length > 1) { path = path.slice(0, -1); show(); }
  });
  new ResizeObserver(show).observe(map);
  show();
})();
