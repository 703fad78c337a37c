// Fetches the parts of the page that change again, while it is looked at.
"use strict";
const every = Number(document.body.dataset.every) * 1000;
let still = false;
async function renew() {
  if (document.hidden || still) return;
  try {
    const r = await fetch(location.href, { credentials: "same-origin" });
    const text = await r.text();
    const doc = new DOMParser().parseFromString(text, "text/html");
    const fresh = doc.querySelector("main"), old = document.querySelector("main");
    if (!r.ok || !fresh) throw new Error(r.statusText);
    for (const part of old.querySelectorAll("[data-live]")) {
      const p = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (p) part.replaceChildren(...p.childNodes);
    }
    document.querySelector("#now").textContent = doc.querySelector("#now").textContent;
    document.body.classList.remove("gone");
  } catch (e) {
    document.body.classList.add("gone");
  }
}
const pause = document.querySelector("#pause");
if (every > 0) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    still = !still;
    pause.textContent = still ? "go on" : "pause";
    pause.setAttribute("aria-pressed", still);
  });
  setInterval(renew, every);
}
