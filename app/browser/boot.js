// Gives a page its life: loads the islands' code where there are islands, and makes small things act at once that
// otherwise are plain forms. Pages work without any of it.

const own = document.querySelector("script[data-app]");
document.documentElement.dataset.script = "";

// --- Islands -------------------------------------------------------------------------------------------------------

// Where the islands' code looks for streamed data; pages arrive whole, so there is none.
globalThis.__RESOLVED_RESOURCES = [];
globalThis.__SERIALIZED_ERRORS = [];
globalThis.__INCOMPLETE_CHUNKS = [];

// An island's element names its function: the component's name and a number that may differ between compilers.
const functionOf = (code, name) => {
  if (code[name]) return code[name];
  const stem = name.slice(0, name.lastIndexOf("_") + 1);
  return code[Object.keys(code).find((key) => key.startsWith(stem)) ?? ""];
};

// After the page was painted: what is seen comes before what lives. A tab in the background paints nothing, and waits for nothing.
const painted = () =>
  document.hidden ? Promise.resolve() : new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

const wakeIslands = async () => {
  const islands = [...document.querySelectorAll("leptos-island")];
  if (islands.length === 0) return;
  await painted();
  const code = await import(own.dataset.app);
  await code.default({ module_or_path: own.dataset.wasm });
  code.hydrate();
  for (const island of islands) {
    // Between two of them the page answers to what a person does.
    await new Promise((resolve) => setTimeout(resolve));
    try {
      functionOf(code, island.dataset.component)?.(island);
    } catch (problem) {
      console.error(`The island ${island.dataset.component} stays still.`, problem);
    }
  }
  document.documentElement.dataset.live = "";
};
wakeIslands();

// --- Theme: chosen at once, kept by the form's own address ---------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches(".theme-switch") || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  for (const button of document.querySelectorAll(".theme-switch button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
  const body = new URLSearchParams(new FormData(form, event.submitter));
  fetch(form.action, { method: "POST", body, redirect: "manual" });
});

// --- Notifications: only for who wants them, or may say so here ----------------------------------------------------

if (own.dataset.notifier && (globalThis.Notification?.permission === "granted" || document.querySelector("[data-notify]"))) {
  import(own.dataset.notifier);
}

// --- Filters that apply as soon as they are chosen -----------------------------------------------------------------

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// --- A slash goes to the search field ------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, textarea, select, dialog, [contenteditable], .xterm")) return;
  const field = document.querySelector("main input[type=search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

// --- Said to who does not see it ------------------------------------------------------------------------------------

const voice = document.createElement("p");
voice.className = "visually-hidden";
voice.setAttribute("role", "status");
document.body?.append(voice);
const say = (words) => {
  voice.textContent = "";
  setTimeout(() => (voice.textContent = words), 50);
};
// --- The palette: its code comes when it is first wanted -----------------------------------------------------------

const find = document.querySelector("[data-palette]");
const openPalette = async () => (await import(find.dataset.palette)).open(find.dataset.paletteEntries);
find?.addEventListener("click", openPalette);
document.addEventListener("keydown", (event) => {
  if (!find || event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  // A shell has a Ctrl-K of its own.
  if (event.ctrlKey && event.target.closest?.(".xterm")) return;
  event.preventDefault();
  openPalette();
});

// --- Copying -------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.dataset.copied = "";
  say("Copied");
  setTimeout(() => delete button.dataset.copied, 1600);
});

// --- Exact times in the person's own time zone, when pointed at ----------------------------------------------------

const timeZone = own.dataset.zone || undefined;
const inOwnZone = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long", timeZone });
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[datetime]");
  if (time) time.title = inOwnZone.format(new Date(time.dateTime));
});

// --- Orders: a form seen again by going back is a new order --------------------------------------------------------

addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const field of document.querySelectorAll("input[data-once]")) field.value = crypto.randomUUID();
});
