"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, classes = "", text = "") => {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  if (text) node.textContent = text;
  return node;
};

window.addEventListener("error", (event) => {
  $("trouble").textContent = `Something is wrong: ${event.message}. A newer browser may help.`;
  $("trouble").hidden = false;
});

const model = JSON.parse($("model").textContent);
const network = unpacked(model, $("weights").textContent);
const ids = new Map(model.symbols.map((symbol, id) => [symbol, id]));
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const AT_ONCE = 1000; // characters that one press of the button writes
const SHOWN = 8; // alternatives of a character
const ROWS = 12; // of the table
const FEW = 80; // units of a layer, unless all are wanted
// A text is kept with its states: at most so many characters, and so many numbers.
const numbers = begin(network).reduce((sum, S) => sum + Object.values(S).reduce((a, x) => a + x.length, 0), 0);
const LONGEST = Math.min(10000, Math.ceil(1.6e7 / numbers));

/* Characters as they are shown: what has no shape of its own gets one. */

const NAMES = { "\n": "⏎", "\t": "⇥", " ": "␣" };
// Joiners and variation selectors belong to what stands before them.
const JOINS = /^[\u200c\u200d\ufe00-\ufe0f]$/;

const code = (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

function visible(symbol) {
  const points = [...symbol];
  return points
    .map((c, i) => {
      if (i > 0 && JOINS.test(c)) return c;
      if (i === 0 && /\p{M}/u.test(c)) return `◌${c}`;
      return NAMES[c] || (/[\p{C}\p{Z}]/u.test(c) ? code(c) : c);
    })
    .join("");
}

// Within the text, spaces and line ends are themselves, and so are joiners.
function isStrange(symbol) {
  return [...symbol].some((c) => /[\p{C}\p{Zl}\p{Zp}]/u.test(c) && !/[\n\t\u200c\u200d]/.test(c));
}

function percent(p) {
  if (p >= 0.9995 && p < 1) return "> 99.9 %";
  if (p < 0.0005) return p > 0 ? "< 0.1 %" : "0 %";
  return `${(100 * p).toFixed(1)} %`;
}

const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

function level(p) {
  return p === null || p >= 0.5 ? 0 : p >= 0.2 ? 1 : p >= 0.05 ? 2 : p >= 0.01 ? 3 : 4;
}

/* The text: entries {symbol, id, given, before, after, p}; states before and after reading it, both null if unknown. */

let entries = [];
let spans = [];
let states = null; // after all that was read
let random = seeded(1);
let running = false;
let turn = 0; // the number of the loop that may write: one that was stopped may still have a frame to come
let left = 0; // characters to write before a rest
let toSay = ""; // written since a screen reader was last told
let chosen = null; // by click or key
let pointed = null; // by the mouse, for as long as it is there

const longestSymbol = model.symbols.reduce((longest, symbol) => Math.max(longest, [...symbol].length), 1);

// What is typed, as symbols of the vocabulary, the longest first, and characters that it lacks.
function encoded(text) {
  const points = [...(model.normalize ? text.normalize(model.normalize) : text)];
  const found = [];
  for (let i = 0; i < points.length; ) {
    let n = Math.min(longestSymbol, points.length - i);
    while (n > 1 && !ids.has(points.slice(i, i + n).join(""))) n--;
    const symbol = points.slice(i, i + n).join("");
    found.push({ symbol, id: ids.has(symbol) ? ids.get(symbol) : null });
    i += n;
  }
  return found;
}

function tellUnknown() {
  const lacking = [...new Set(encoded($("prompt").value).filter((x) => x.id === null).map((x) => x.symbol))];
  $("unknown").replaceChildren();
  if (!lacking.length) return;
  $("unknown").append("Unknown to the network, and skipped: ");
  for (const symbol of lacking.slice(0, 20)) $("unknown").append(make("mark", "symbol", visible(symbol)), " ");
  if (lacking.length > 20) $("unknown").append(`and ${lacking.length - 20} more`);
}

function take(symbol, id, given) {
  const before = states;
  const p = before && id !== null ? softmax(logits(network, before))[id] : null;
  // The symbol that ends a piece begins the next one, which knows nothing of it.
  if (id !== null) states = read(network, id, id !== model.end && states || begin(network));
  entries.push({ symbol, id, given, before, after: id === null ? null : states, p });
  if (!given) toSay += symbol;
}

// Back to what is typed. What of it has been read already stays.
function start() {
  running = false;
  chosen = pointed = null;
  $("text").removeAttribute("aria-activedescendant");
  toSay = "";
  random = seeded(Number($("seed").value) || 0);
  const typed = encoded($("prompt").value);
  let same = 0;
  const stays = ({ symbol }, i) => entries[i] && entries[i].given && entries[i].symbol === symbol;
  while (same < typed.length && stays(typed[same], same)) same++;
  for (const span of spans.splice(same)) {
    const line = span.parentElement;
    span.remove();
    if (!line.firstChild) line.remove();
  }
  entries.length = same;
  const piece = model.end === null ? null : read(network, model.end, begin(network));
  states = entries.reduce((last, entry) => entry.after || last, piece);
  for (const { symbol, id } of typed.slice(same)) take(symbol, id, true);
  // Without a beginning, the network begins a line.
  if (!states) states = read(network, ids.has("\n") ? ids.get("\n") : 0, begin(network));
  show();
  label();
  $("said").textContent = "";
}

function writeOne() {
  const id = choose(logits(network, states), temperature(), random);
  take(model.symbols[id], id, false);
}

const temperature = () => Number($("temperature").value);

/* The loop: a character a frame; where motion is unwelcome, some lines a second. */

function go() {
  running = true;
  left = AT_ONCE;
  label();
  frame(++turn);
}

function frame(of) {
  if (!running || of !== turn) return;
  const until = performance.now() + (calm.matches ? 30 : 0);
  do {
    if (!left || entries.length >= LONGEST) return rest();
    left--;
    writeOne();
  } while (performance.now() < until);
  show();
  if (calm.matches) setTimeout(() => frame(of), 500);
  else requestAnimationFrame(() => frame(of));
}

function rest() {
  running = false;
  show();
  label();
  $("said").textContent = toSay ? `Written: ${toSay}` : "";
  toSay = "";
}

function label() {
  $("go").textContent = running ? "Stop" : entries.length && !entries[entries.length - 1].given ? "Continue" : "Write";
  const full = entries.length >= LONGEST;
  $("go").disabled = full && !running;
  $("full").textContent = full ? `The page keeps ${LONGEST} characters, and no more: start over.` : "";
}

/* What is shown: the text, the panel of the chosen character, the layers, the table. */

function spanOf(entry, i) {
  const classes = [entry.id === null ? "unknown" : `p${level(entry.p)}`];
  if (entry.given) classes.push("given");
  const ends = /^\r?\n$/.test(entry.symbol);
  const strange = !ends && isStrange(entry.symbol);
  if (ends) classes.push("newline");
  if (strange) classes.push("strange");
  const node = make("span", classes.join(" "), strange ? visible(entry.symbol) : ends ? "\n" : entry.symbol);
  node.id = `c${i}`;
  node.setAttribute("role", "option");
  node.setAttribute("aria-selected", "false");
  return node;
}

function show() {
  const text = $("text");
  const follows = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
  // A line is a block of its own: what is added leaves the layout of all others as it is.
  let line = spans.length ? spans[spans.length - 1].parentElement : null;
  for (let i = spans.length; i < entries.length; i++) {
    spans.push(spanOf(entries[i], i));
    if (!line || (i && spans[i - 1].classList.contains("newline"))) {
      line = make("div");
      line.setAttribute("role", "presentation");
      text.append(line);
    }
    line.append(spans[i]);
  }
  if (follows && chosen === null) text.scrollTop = text.scrollHeight;
  showChosen();
}

const focus = () => (pointed !== null ? pointed : chosen !== null ? chosen : entries.length - 1);

let marked = null;
function showChosen() {
  const i = focus();
  const fixed = pointed !== null ? pointed : chosen;
  if (marked) {
    marked.classList.remove("chosen");
    marked.setAttribute("aria-selected", "false");
  }
  marked = fixed === null ? null : spans[fixed];
  if (marked) {
    marked.classList.add("chosen");
    marked.setAttribute("aria-selected", "true");
  }
  showPanel(i);
  showStrips(i);
  showTable(i);
}

// The most probable symbols, of which there are few, and the rank of `id`.
function ranking(A, count, id) {
  const best = [];
  let rank = 1;
  for (let i = 0; i < A.length; i++) {
    if (id !== null && (A[i] > A[id] || (A[i] === A[id] && i < id))) rank++;
    if (best.length === count && A[i] <= A[best[count - 1]]) continue;
    let at = best.length;
    while (at > 0 && A[best[at - 1]] < A[i]) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return { best, rank };
}

function bar(share) {
  const track = make("span", "track");
  const filled = make("span", "bar");
  filled.style.width = `${(100 * share).toFixed(2)}%`;
  track.append(filled);
  return track;
}

function showPanel(i) {
  const panel = $("panel");
  panel.replaceChildren();
  const entry = entries[i];
  if (!entry) {
    panel.append(make("p", "hint", "The probabilities of a character, and what else could have stood there."));
    return;
  }
  const head = make("p");
  head.append(make("span", "symbol big", visible(entry.symbol)), " ");
  panel.append(head);
  if (entry.id === null) {
    head.append("unknown to the network, and skipped");
    return;
  }
  if (!entry.before) {
    head.append("the first character: nothing stands before it to predict it");
    return;
  }
  const A = softmax(logits(network, entry.before));
  const { best, rank } = ranking(A, SHOWN, entry.id);
  head.append(make("strong", "", percent(A[entry.id])));
  const typed = entry.given ? "typed; " : "";
  panel.append(make("p", "hint", `${typed}${rank === 1 ? "the most probable" : `number ${rank}`} of ${A.length}`));
  const list = make("ol");
  for (const id of best.includes(entry.id) ? best : [...best.slice(0, SHOWN - 1), entry.id]) {
    const row = make("li", id === entry.id ? "this" : "");
    row.append(make("span", "symbol", visible(model.symbols[id])), bar(A[id]), make("span", "number", percent(A[id])));
    list.append(row);
  }
  panel.append(list);
}

function spoken(i) {
  const { id, before, symbol } = entries[i];
  const name = visible(symbol);
  if (id === null) return `${name}, unknown`;
  if (!before) return `${name}, the first`;
  const A = softmax(logits(network, before));
  const others = ranking(A, 4, null).best.filter((other) => other !== id).slice(0, 3);
  const said = others.map((other) => `${visible(model.symbols[other])} ${percent(A[other])}`);
  return `${name}, ${percent(A[id])}; also ${said.join(", ")}`;
}

/* The layers: a strip each, a column a step, a row a unit. */

const strips = [];
let steps = [];

network.layers.forEach((W, l) => {
  for (const key of Object.keys(begin(network)[l])) {
    const figure = make("figure");
    const caption = make("figcaption");
    const box = make("div", "strip");
    const canvas = make("canvas");
    const here = make("div", "here");
    canvas.setAttribute("role", "img");
    box.append(canvas, here);
    figure.append(caption, box);
    $("strips").append(figure);
    strips.push({ l, key, canvas, here, caption, units: W.units });
    canvas.addEventListener("click", (event) => {
      const { left, width } = canvas.getBoundingClientRect();
      const step = steps[Math.floor(((event.clientX - left) / width) * columns())];
      // A choice of the state after a character is a choice of the character that it predicts.
      if (step !== undefined) choosing(Math.min(step + 1, entries.length - 1));
    });
  }
});
$("all-units").hidden = strips.every(({ units }) => units <= FEW);
const letters = make("div", "letters");
letters.setAttribute("aria-hidden", "true");
$("strips").append(letters);

const columns = () => Math.max(16, Math.min(64, Math.floor($("strips").clientWidth / 16)));

const styles = getComputedStyle(document.documentElement);
function colour(name) {
  const hex = styles.getPropertyValue(name).trim();
  return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
}

function showStrips(i) {
  const N = columns();
  const known = [];
  for (let k = entries.length - 1; k >= 0 && known.length < N + entries.length - i; k--) {
    if (entries[k].after) known.unshift(k);
  }
  // The state that gave the chosen character was there before it; where nothing is chosen, the newest counts.
  const follows = pointed === null && chosen === null;
  let place = known.length - 1;
  if (!follows) while (place >= 0 && known[place] >= i) place--;
  const end = Math.min(known.length, Math.max(N, place + 1 + Math.floor(N / 4)));
  steps = known.slice(Math.max(0, end - N), end);
  const column = place - Math.max(0, end - N);
  const [low, zero, high] = ["--low", "--zero", "--high"].map(colour);
  for (const { l, key, canvas, here, caption, units: all } of strips) {
    const units = $("all").checked ? all : Math.min(all, FEW);
    const some = units < all ? `the first ${units} of ` : "";
    canvas.style.height = `${units * Math.max(1, Math.round(160 / units))}px`;
    if (canvas.width !== N || canvas.height !== units) [canvas.width, canvas.height] = [N, units];
    let scale = 1;
    for (const k of steps) for (const x of entries[k].after[l][key]) scale = Math.max(scale, Math.abs(x));
    const full = scale > 1 ? `, in full colour at ±${scale.toFixed(1)}` : "";
    caption.textContent = `Layer ${l + 1}, ${key}: ${some}${all} units${full}`;
    canvas.setAttribute("aria-label", `Layer ${l + 1}, ${key}: ${units} units over ${steps.length} steps`);
    const context = canvas.getContext("2d");
    const image = context.createImageData(N, units);
    steps.forEach((k, t) => {
      const x = entries[k].after[l][key];
      for (let j = 0; j < units; j++) {
        const share = x[j] / scale;
        const to = share < 0 ? low : high;
        const at = 4 * (j * N + t);
        for (let c = 0; c < 3; c++) image.data[at + c] = zero[c] + (to[c] - zero[c]) * Math.abs(share);
        image.data[at + 3] = 255;
      }
    });
    context.putImageData(image, 0, 0);
    here.hidden = column < 0;
    here.style.left = `${(100 * column) / N}%`;
    here.style.width = `${100 / N}%`;
  }
  while (letters.childElementCount < N) letters.append(make("span"));
  while (letters.childElementCount > N) letters.lastChild.remove();
  [...letters.children].forEach((node, t) => {
    const entry = entries[steps[t]];
    node.textContent = entry ? visible(entry.symbol) : "";
    node.classList.toggle("chosen", t === column);
  });
}

/* From the state to the probabilities. */

function showTable(i) {
  const follows = pointed === null && chosen === null;
  const entry = entries[i];
  const state = follows ? states : entry && entry.before;
  const body = $("table").tBodies[0];
  body.replaceChildren();
  $("units").textContent = network.layers[network.layers.length - 1].units;
  $("at").textContent = temperature() === 0 ? "temperature 0" : `temperature ${temperature().toFixed(2)}`;
  $("table").hidden = !state;
  $("after").replaceChildren();
  if (!state) {
    $("after").textContent = entry ? "Nothing stands before the first character." : "";
    return;
  }
  const before = entries.slice(0, follows ? i + 1 : i).filter((x) => x.id !== null).slice(-24);
  const context = before.map(({ symbol }) => (symbol === " " ? symbol : visible(symbol))).join("");
  $("after").append("after ", make("span", "symbol", before.length ? `…${context}` : "a line’s beginning"));
  const b = network.b_a;
  const Z = logits(network, state);
  const A = softmax(Z);
  const { best } = ranking(A, Math.min(ROWS, A.length), null);
  const drawn = temperature() === 0 ? A.map((_, id) => (id === best[0] ? 1 : 0)) : softmax(Z, temperature());
  for (const id of best) {
    const row = make("tr", !follows && id === entry.id ? "this" : "");
    row.append(make("td", "symbol", visible(model.symbols[id])));
    for (const x of [Z[id] - b[id], b[id]]) row.append(make("td", "number more", signed(x)));
    row.append(make("td", "number", signed(Z[id])));
    const track = make("td", "track-cell");
    track.append(bar(A[id]));
    row.append(track, make("td", "number", percent(A[id])), make("td", "number", percent(drawn[id])));
    body.append(row);
  }
  const others = A.length - best.length;
  if (!others) return;
  const rest = (P) => percent(Math.max(0, 1 - best.reduce((sum, id) => sum + P[id], 0)));
  const row = make("tr", "rest");
  row.append(make("td", "", `${others} more`), make("td", "more"), make("td", "more"), make("td"), make("td"));
  for (const P of [A, drawn]) row.append(make("td", "number", rest(P)));
  body.append(row);
}

/* Choosing a character: mouse, finger, keys. */

function choosing(i) {
  chosen = i;
  pointed = null;
  const text = $("text");
  if (i === null) {
    text.removeAttribute("aria-activedescendant");
    text.scrollTop = text.scrollHeight;
  } else {
    spans[i].setAttribute("aria-label", spoken(i));
    text.setAttribute("aria-activedescendant", spans[i].id);
    const [top, bottom] = [spans[i].offsetTop - text.offsetTop, spans[i].offsetTop - text.offsetTop + 32];
    if (top < text.scrollTop) text.scrollTop = top - 32;
    else if (bottom > text.scrollTop + text.clientHeight) text.scrollTop = bottom - text.clientHeight;
  }
  showChosen();
}

const placeOf = (target) => (/^c\d+$/.test(target.id) ? Number(target.id.slice(1)) : null);

// The nearest character in the line above (−1) or below (1).
function beside(i, way) {
  const at = spans[i].offsetLeft;
  let k = i;
  let line = null;
  let nearest = i;
  while (spans[k + way]) {
    k += way;
    const top = spans[k].offsetTop;
    if (Math.abs(top - spans[i].offsetTop) < 8) continue;
    if (line === null) [line, nearest] = [top, k];
    if (Math.abs(top - line) >= 8) break;
    if (Math.abs(spans[k].offsetLeft - at) < Math.abs(spans[nearest].offsetLeft - at)) nearest = k;
  }
  return nearest;
}

$("text").addEventListener("keydown", (event) => {
  if (!entries.length || event.ctrlKey || event.metaKey || event.altKey) return;
  const last = entries.length - 1;
  const i = chosen === null ? last : chosen;
  const before = () => Math.max(0, chosen === null ? last : i - 1);
  const after = () => Math.min(last, i + 1);
  const [left, right] = getComputedStyle($("text")).direction === "rtl" ? [after, before] : [before, after];
  const moves = {
    ArrowLeft: left,
    ArrowRight: right,
    ArrowUp: () => beside(i, -1),
    ArrowDown: () => beside(i, 1),
    Home: () => 0,
    End: () => last,
    Enter: () => i,
    " ": () => i,
    Escape: () => null,
  };
  if (!Object.hasOwn(moves, event.key)) return;
  event.preventDefault();
  choosing(moves[event.key]());
});
$("text").addEventListener("pointerover", (event) => {
  if (event.pointerType !== "mouse") return;
  pointed = placeOf(event.target);
  showChosen();
});
$("text").addEventListener("pointerleave", () => {
  pointed = null;
  showChosen();
});
$("text").addEventListener("click", (event) => {
  const i = placeOf(event.target);
  if (i !== null) choosing(i === chosen ? null : i);
});
$("text").addEventListener("focus", () => {
  if (entries.length && chosen === null && !running && $("text").matches(":focus-visible")) choosing(entries.length - 1);
});

/* The controls. */

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) rest();
  else go();
});
$("again").addEventListener("click", start);
$("other").addEventListener("click", () => {
  $("seed").value = String(Math.floor(Math.random() * 1e6));
  start();
  go();
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  $("controls").requestSubmit();
});
$("prompt").addEventListener("input", () => {
  tellUnknown();
  start();
});
$("seed").addEventListener("input", start);
$("temperature").addEventListener("input", () => {
  $("degrees").textContent = temperature().toFixed(2);
  showChosen();
});

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    showChosen();
  });
}
$("all").addEventListener("change", redraw);
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

/* The code of the network, part by part beside its equations: the text of the script that runs. */

const parts = new Map();
for (const part of $("network").textContent.split(/^\/\/\/ /m).slice(1)) {
  parts.set(part.slice(0, part.indexOf(":")), part.slice(part.indexOf("\n") + 1).trim());
}
for (const pre of document.querySelectorAll("pre[data-part]")) pre.append(make("code", "", parts.get(pre.dataset.part)));

$("prompt").value = model.prompt;
tellUnknown();
start();
