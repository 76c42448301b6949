"use strict";
// The answer follows the form: a change puts the question into the address and asks for the answer as a part of HTML.
const form = document.getElementById("question");
const answer = document.getElementById("answer");
const status = document.getElementById("status");
const verb = form.dataset.verb;
const slow = Boolean(form.dataset.slow); // what is asked with its progress
const pressed = verb === "recommend"; // a search of seconds waits for its button
const WAIT_MS = slow ? 400 : 20; // until a simulation begins, or a prediction
let asking = null; // what is on its way
let events = null;
let timer = 0;

function read() {
  const query = new URLSearchParams();
  for (const input of form.elements) {
    if (!input.name) continue;
    if (input.type === "checkbox") { if (input.checked) query.set(input.name, "true"); continue; }
    const text = input.value.trim();
    if (text && (text !== input.dataset.usual || input.name === "model" || input.name === "hardware")) query.set(input.name, text);
  }
  return query;
}

function width() { return Math.floor(answer.clientWidth || 640); }

function show(html, ok) {
  answer.innerHTML = html;
  answer.classList.remove("stale");
  const said = ok ? answer.querySelector(".cards b, h2") : answer.querySelector(".error");
  status.textContent = said ? (ok ? "Answered: " : "") + said.textContent : "";
}

function carry(query) { // what other questions share goes along with their tabs
  const shared = ["model", "hardware", "stack", "calibration", "tp", "pp", "dp", "ep", "dtype", "weight_dtype", "kv_dtype",
    "prompt_tokens", "output_tokens"];
  for (const tab of document.querySelectorAll("nav a")) {
    const kept = new URLSearchParams();
    for (const name of shared) {
      const text = query.get(name);
      if (text && !(/[,*]/.test(text))) kept.set(name, text);
    }
    if (tab.pathname === "/simulate" || tab.pathname === "/recommend") kept.set("concurrency", "16");
    if (tab.pathname === "/recommend") { // it chooses these itself
      for (const name of ["hardware", "stack", "calibration", "tp", "pp", "dp", "ep", "dtype", "weight_dtype"]) kept.delete(name);
    }
    if (tab.pathname === "/solve") kept.set("slo", "tpot_s:20ms");
    if (!tab.hasAttribute("aria-current")) tab.search = kept.toString();
  }
}

async function update() {
  const query = read();
  history.replaceState(null, "", "/" + verb + "?" + query);
  carry(query);
  stop();
  answer.classList.add("stale");
  query.set("width", width());
  if (slow) { follow("/view/" + verb + "/events?" + query, verb === "simulate" ? count(query) : 0, show); return; }
  if (asking) asking.abort();
  asking = new AbortController();
  try {
    const found = await fetch("/view/" + verb + "?" + query, { signal: asking.signal });
    show(await found.text(), found.ok);
  } catch (error) {
    if (error.name !== "AbortError") show('<p class="error" role="alert">The page is no longer served.</p>', false);
  }
}

function count(query) {
  return Number(query.get("num_requests")) || (query.get("concurrency") ? 10 * Number(query.get("concurrency")) : 1000);
}

function follow(address, total, done) {
  const box = document.getElementById("progress");
  const bar = document.getElementById("bar");
  box.hidden = false;
  bar.max = total || 1;
  bar.removeAttribute("value");
  document.getElementById("done").textContent = "";
  events = new EventSource(address);
  events.addEventListener("progress", (event) => {
    const [done, of] = JSON.parse(event.data);
    if (of || total) { bar.max = of || total; bar.value = done; }
    document.getElementById("done").textContent = describe(done, of || total);
  });
  events.addEventListener("answer", (event) => { stop(); done(JSON.parse(event.data), true); });
  events.addEventListener("failed", (event) => { stop(); done(JSON.parse(event.data), false); });
  events.onerror = () => {
    if (!events) return;
    stop();
    const query = read();
    fetch("/view/" + verb + "?" + query).then(async (found) => done(await found.text(), found.ok))
      .catch(() => done('<p class="error" role="alert">The page is no longer served.</p>', false));
  };
}

function describe(done, of) {
  if (verb === "solve") return done + " loads tried";
  if (verb === "simulate") return done + " of " + of + " requests";
  return done < of ? done + " of " + of + " layouts estimated" : "simulating the best";
}

function stop() {
  if (events) events.close();
  events = null;
  document.getElementById("progress").hidden = true;
}

function soon() {
  clearTimeout(timer);
  if (!pressed) { timer = setTimeout(update, WAIT_MS); return; }
  stop();
  answer.classList.add("stale");
  status.textContent = "Changed: press Ask";
}

function link(slider) { // a slider's places are values of its input
  const input = document.getElementById(slider.dataset.for);
  const values = slider.dataset.values.split(",").map(Number);
  slider.hidden = false;
  slider.max = values.length - 1;
  const place = () => {
    const value = Number(input.value);
    slider.disabled = Number.isNaN(value);
    if (slider.disabled) return;
    let best = 0;
    values.forEach((one, index) => { if (Math.abs(one - value) < Math.abs(values[best] - value)) best = index; });
    slider.value = best;
    slider.setAttribute("aria-valuetext", input.value || "not set");
  };
  slider.addEventListener("input", () => {
    input.value = values[slider.value];
    slider.setAttribute("aria-valuetext", input.value);
    exclude(input);
    soon();
  });
  input.addEventListener("input", place);
  place();
}

function exclude(input) { // of two that say the same in two ways, the last holds
  if (input.dataset.excludes && input.value) document.getElementById(input.dataset.excludes).value = "";
}

if (!pressed) form.classList.add("live");
form.querySelectorAll("input[type=range]").forEach(link);
form.addEventListener("input", (event) => { if (event.target.name) { exclude(event.target); soon(); } });
form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
document.getElementById("stop").addEventListener("click", () => { stop(); answer.classList.remove("stale"); status.textContent = "Stopped"; });
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) {
    const box = document.getElementById(button.dataset.copy);
    const text = box ? box.textContent : location.href;
    try { await navigator.clipboard.writeText(text); status.textContent = "Copied"; }
    catch { status.textContent = "Not copied: select the text"; if (box) getSelection().selectAllChildren(box); }
    const was = button.textContent;
    button.textContent = status.textContent;
    setTimeout(() => { button.textContent = was; }, 1200);
  } else if (event.target.id === "draw-ladder") {
    const query = read();
    query.set("width", width());
    stop();
    follow("/view/ladder/events?" + query, count(query), (html) => { document.getElementById("ladder").innerHTML = html; status.textContent = "Drawn"; });
  }
});
let wide = width();
addEventListener("resize", () => { if (Math.abs(width() - wide) > 40) { wide = width(); if (!pressed) soon(); } });
carry(read());
if (slow || Math.abs(width() - 640) > 40) { update(); }
