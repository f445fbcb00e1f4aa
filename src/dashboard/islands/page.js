// @ts-check
/** On every page: times in the reader's zone, copying, forms that are sent once, a key that is gone when its page is. */

(() => {
  /** Some systems name a language in a way that browsers hand on and do not understand. */
  const languages = () => {
    try {
      return Intl.getCanonicalLocales([...navigator.languages]);
    } catch {
      return ["en"];
    }
  };

  const exact = new Intl.DateTimeFormat(languages(), { dateStyle: "medium", timeStyle: "short" });
  const precise = new Intl.DateTimeFormat(languages(), { dateStyle: "medium", timeStyle: "medium" });

  /** @param {ParentNode} root */
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      if (!(time instanceof HTMLTimeElement) || time.dataset["local"] === "done") continue;
      const at = new Date(time.dateTime);
      const utc = time.title;
      if (time.dataset["relative"] === "true") time.title = `${precise.format(at)} · ${utc}`;
      else {
        time.textContent = exact.format(at);
        time.title = utc;
      }
      time.dataset["local"] = "done";
    }
  };

  /** @param {HTMLElement} button */
  const copy = async (button) => {
    const source = document.getElementById(button.dataset["copy"] ?? "");
    const told = document.getElementById(button.dataset["told"] ?? "");
    if (source === null) return;
    try {
      await navigator.clipboard.writeText(source.textContent ?? "");
      if (told !== null) told.textContent = "Copied.";
    } catch {
      // No permission, or no clipboard: what is selected can be copied by hand.
      getSelection()?.selectAllChildren(source);
      if (told !== null) told.textContent = "Selected: press Ctrl or ⌘ and C.";
    }
  };

  addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const button = target?.closest("[data-copy]");
    if (button instanceof HTMLElement) void copy(button);
    const menu = document.querySelector("details.menu[open]");
    if (menu !== null && target !== null && !menu.contains(target)) menu.removeAttribute("open");
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    menu?.removeAttribute("open");
    if (menu?.contains(document.activeElement) === true) menu.querySelector("summary")?.focus();
  });

  // A form is sent once; a button that does nothing for a second is pressed again.
  addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
    if (form.dataset["sent"] === "true") {
      event.preventDefault();
      return;
    }
    form.dataset["sent"] = "true";
    form.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", (event) => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      form.removeAttribute("data-sent");
      form.removeAttribute("aria-busy");
    }
    // Kept by the browser for going back: what it shows may be long over.
    if (event.persisted) location.reload();
  });
  // A key is shown once: not to who comes back to its page.
  addEventListener("pagehide", () => {
    for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  });

  // Revoking takes the words that are asked for.
  for (const input of document.querySelectorAll("input[data-expect]")) {
    if (!(input instanceof HTMLInputElement)) continue;
    const button = input.form?.querySelector("button[data-armed]");
    if (!(button instanceof HTMLButtonElement)) continue;
    const arm = () => {
      button.disabled = input.value.trim() !== input.dataset["expect"];
    };
    input.addEventListener("input", arm);
    arm();
  }

  // The overlap, as it is chosen.
  const overlap = document.querySelector("[data-overlap-ends]");
  const chosen = document.querySelector("select[name=overlapSeconds]");
  if (overlap !== null && chosen instanceof HTMLSelectElement) {
    const tell = () => {
      const seconds = Number(chosen.value);
      overlap.textContent = seconds === 0 ? "at once" : exact.format(new Date(Date.now() + seconds * 1_000));
      const bar = document.querySelector("rect[data-overlap-bar]");
      // On the drawing a day is as long as a day's share of the longest that is offered, by its root: an hour must be seen too.
      if (bar !== null) bar.setAttribute("width", String(Math.round(360 * Math.sqrt(seconds / (30 * 86_400)))));
    };
    chosen.addEventListener("change", tell);
    tell();
  }

  localize(document);
  addEventListener("latchkey:replaced", () => localize(document));
})();
