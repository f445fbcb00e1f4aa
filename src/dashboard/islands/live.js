// @ts-check
/**
 * Asks for the page's live part every few seconds and puts it in place: while the page is seen, and until somebody stops it. Says
 * aloud only what has become otherwise.
 */

(() => {
  /** Some systems name a language in a way that browsers hand on and do not understand. */
  const languages = () => {
    try {
      return Intl.getCanonicalLocales([...navigator.languages]);
    } catch {
      return ["en"];
    }
  };

  const EVERY_MS = 5_000;
  const part = document.querySelector("[data-live]");
  const told = document.getElementById("live-told");
  const state = document.getElementById("live-state");
  const button = document.getElementById("live-switch");
  if (!(part instanceof HTMLElement) || !(button instanceof HTMLButtonElement) || state === null) return;

  let isRunning = true;
  let verdict = part.querySelector("[data-verdict]")?.textContent ?? "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const refresh = async () => {
    const url = new URL(location.href);
    url.searchParams.set("part", "live");
    const response = await fetch(url, {
      headers: { accept: "text/html" },
      cache: "no-store",
      signal: AbortSignal.timeout(20_000),
    });
    if (response.status === 401) {
      location.reload();
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    // Somebody is at a control in it, or reads its numbers: it stays as it is until they are done.
    const isInUse = part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
    if (!isInUse) {
      part.replaceChildren(...page.body.childNodes);
      dispatchEvent(new Event("latchkey:replaced"));
    }
    state.textContent = isInUse ? "Waiting for you" : `Updated ${new Date().toLocaleTimeString(languages())}`;
    const now = part.querySelector("[data-verdict]")?.textContent ?? "";
    if (told !== null && now !== verdict) told.textContent = now;
    verdict = now;
  };

  const next = () => {
    clearTimeout(timer);
    if (!isRunning || document.hidden) return;
    timer = setTimeout(async () => {
      try {
        await refresh();
      } catch {
        state.textContent = "Cannot be reached; trying again";
      }
      next();
    }, EVERY_MS);
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    isRunning = !isRunning;
    button.textContent = isRunning ? "Pause" : "Resume";
    state.textContent = isRunning ? "Live" : "Paused";
    next();
  });
  addEventListener("visibilitychange", next);
  state.textContent = "Live";
  next();
})();
