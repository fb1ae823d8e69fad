// Two small things: parts of a page that keep themselves fresh, and tags as chips. Without it the pages work as well.
"use strict";

// An element with data-live holds what its address answers. The answer says in X-Refresh-After when to ask
// again, in milliseconds; without it nothing more will change, and with data-reload the page is loaded anew once.
function keepFresh(element) {
  let failures = 0;

  async function refresh() {
    if (document.hidden) return again(1000);
    const asked = performance.now();
    try {
      const answer = await fetch(element.dataset.live, { headers: { "X-Requested-With": "fetch" }, cache: "no-store" });
      // Signed out: the answer is the login page.
      if (answer.redirected) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      element.innerHTML = await answer.text();
      element.classList.remove("o-stale");
      failures = 0;
      const pause = Number(answer.headers.get("X-Refresh-After"));
      // Where an answer takes long, ask less often: watching must not slow down what is watched.
      if (pause) return again(Math.max(pause, 5 * (performance.now() - asked)));
      if ("reload" in element.dataset) location.reload();
    } catch {
      element.classList.add("o-stale");
      again(Math.min(30000, 2000 * 2 ** failures++));
    }
  }

  function again(milliseconds) {
    setTimeout(refresh, milliseconds);
  }

  again(1000);
}

// A textarea with one tag a line becomes chips with an input; what is submitted stays the textarea.
function makeChips(textarea) {
  const box = document.createElement("div");
  const input = document.createElement("input");
  box.className = "o-chips";
  input.type = "text";
  input.setAttribute("aria-label", "Add a tag");
  input.placeholder = "Add a tag, press Enter";
  textarea.hidden = true;
  textarea.after(box);

  const tags = () => textarea.value.split("\n").map((tag) => tag.trim()).filter(Boolean);

  function write(list) {
    textarea.value = [...new Set(list)].join("\n");
    textarea.dispatchEvent(new Event("change", { bubbles: true }));
    draw();
  }

  function draw() {
    box.replaceChildren(...tags().map(chip), input);
  }

  function chip(tag) {
    const element = document.createElement("span");
    const remove = document.createElement("button");
    element.className = "o-chip";
    element.textContent = tag;
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove ${tag}`);
    remove.addEventListener("click", () => {
      write(tags().filter((other) => other !== tag));
      input.focus();
    });
    element.append(remove);
    return element;
  }

  function take() {
    if (!input.value.trim()) return;
    const added = input.value;
    input.value = "";
    write([...tags(), added.trim()]);
    input.focus();
  }

  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === ",") {
      event.preventDefault();
      take();
    } else if (event.key === "Backspace" && !input.value) {
      write(tags().slice(0, -1));
      input.focus();
    }
  });
  input.addEventListener("blur", () => {
    if (!input.value.trim()) return;
    const added = input.value.trim();
    input.value = "";
    write([...tags(), added]);
  });
  box.addEventListener("click", (event) => event.target === box && input.focus());
  draw();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-live][data-live-now=yes]").forEach(keepFresh);
  document.querySelectorAll("textarea[data-tags]").forEach(makeChips);
});
