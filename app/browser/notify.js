// Tells by the browser's own notifications how one's environments come along, while no page of Bookend is looked at.
//
// One tab does it for all: the one that holds a lock listens to the portal's events, reads what changed, and compares. A tab
// that is looked at holds another lock, shared, for as long as it is. What was last known stays in the browser's storage, so
// that nothing is missed or told twice when the first lock goes on to the next tab. Who has not asked for it is asked nothing.

const LEADING = "bookend-notifier", LOOKED_AT = "bookend-looked-at", OFF = "bookend-notifications-off";
const SOON = 10 * 60_000;
const COMING = ["ordered", "preparing", "starting", "setting_up", "checking", "failed"];

const possible = "Notification" in globalThis && "locks" in navigator;
const wanted = () => possible && Notification.permission === "granted" && localStorage.getItem(OFF) === null;

const read = async (path) => {
  const answer = await fetch(`/api/v1${path}`).catch(() => null);
  return answer?.ok ? answer.json() : null;
};

const tell = async (environment, title, body) => {
  const { held } = await navigator.locks.query();
  if (!wanted() || held.some((lock) => lock.name === LOOKED_AT)) return;
  try {
    const notification = new Notification(title, { body, tag: environment.id });
    notification.onclick = () => {
      const address = `/environments/${encodeURIComponent(environment.name)}`;
      notification.close();
      focus();
      // Nobody is torn out of a terminal.
      if (document.getElementById("terminals")) open(address);
      else location.assign(address);
    };
  } catch {
    // Some browsers on phones have the word and not the thing.
  }
};

// What there is to tell of an environment that was like `before` and is like this now.
const news = (before, { name, state }) => {
  if (before.state === state) return null;
  if (state === "ready" && COMING.includes(before.state)) return [`${name} is ready`, "Everything is healthy."];
  if (state === "failed") return [`${name} has failed`, "Its page says why, and what to do."];
  if (state === "parked" && before.parks && before.parks < Date.now() + 60_000) {
    return [`${name} was parked by its schedule`, "Its data are kept. Resume it when you need it."];
  }
  return null;
};

const upcoming = ({ name, state, next_event: next }) => {
  const left = next ? next.at - Date.now() : -1;
  if (state !== "ready" || left < 0 || left > SOON) return null;
  const at = new Date(next.at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return { park: [`${name} is parked at ${at}`, "Its data are kept."], delete: [`${name} is deleted at ${at}`, "Its data go with it."] }[next.action];
};

const lead = async () => {
  const me = await read("/me");
  if (!me) return;
  const key = `bookend-known-of-${me.name}`;
  const known = JSON.parse(localStorage.getItem(key) ?? "{}");
  const others = new Set();
  // An environment heard of for the first time by an event is a new one; found in the list, it was there before.
  const look = (environment, unknown) => {
    if (environment.owner !== me.name) return others.add(environment.id);
    const before = known[environment.id] ?? { state: unknown ?? environment.state };
    const next = environment.next_event;
    const parks = next?.action === "park" ? next.at : environment.state === "parking" ? before.parks : null;
    const soon = upcoming(environment);
    known[environment.id] = { state: environment.state, parks, told: soon ? next.at : before.told };
    if (environment.state === "deleted") delete known[environment.id];
    localStorage.setItem(key, JSON.stringify(known));
    for (const words of [news(before, environment), before.told === next?.at ? null : soon]) {
      if (words) tell(environment, ...words);
    }
  };
  const lookAtAll = async () => {
    const list = await read(`/environments?owner=${encodeURIComponent(me.name)}&limit=200`);
    for (const environment of list?.items ?? []) look(environment);
  };
  const waiting = new Set();
  const lookAtChanged = async () => {
    const ids = [...waiting];
    waiting.clear();
    for (const id of ids) {
      const environment = await read(`/environments/${id}`);
      if (environment) look(environment, "ordered");
    }
  };
  const listen = () => {
    const events = new EventSource("/api/v1/events");
    events.onopen = lookAtAll;
    events.onmessage = ({ data }) => {
      const { event, id } = JSON.parse(data);
      if (event !== "environment" || others.has(id)) return;
      if (waiting.size === 0) setTimeout(lookAtChanged, 250);
      waiting.add(id);
    };
    events.onerror = () => events.readyState === EventSource.CLOSED && setTimeout(listen, 5000);
  };
  listen();
  setInterval(lookAtAll, SOON / 5);
  // Until this page goes, and with it the lock.
  await new Promise(() => {});
};

const beLookedAt = () => {
  if (document.hidden) return;
  const seen = () => new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
  navigator.locks.request(LOOKED_AT, { mode: "shared" }, seen);
};

let begun = false;
const begin = () => {
  if (begun || !wanted()) return;
  begun = true;
  document.addEventListener("visibilitychange", beLookedAt);
  beLookedAt();
  navigator.locks.request(LEADING, lead);
};

// --- Asking for it: an offer while something is under way, and a choice in the profile ------------------------------

const WORDS = {
  on: "This browser tells you when an environment of yours is ready, has failed or is about to be parked.",
  off: "This browser can tell you when an environment of yours is ready, has failed or is about to be parked, also while you look elsewhere.",
  denied: "Notifications are blocked for this site in the browser's settings.",
  never: "This browser shows no notifications for this site.",
};
const showChoice = () => {
  const standing = !possible ? "never" : Notification.permission === "denied" ? "denied" : wanted() ? "on" : "off";
  for (const place of document.querySelectorAll("[data-notify]")) {
    const button = place.querySelector("button");
    place.dataset.standing = standing;
    place.hidden = place.dataset.notify === "offer" && standing !== "off";
    place.querySelector("[data-words]").textContent = WORDS[standing];
    button.disabled = standing === "denied" || standing === "never";
    button.querySelector("span").textContent = standing === "on" ? "Stop notifying me" : "Notify me";
  }
};
document.addEventListener("click", async (event) => {
  const place = event.target.closest?.("[data-notify] button")?.closest("[data-notify]");
  if (!place) return;
  if (place.dataset.standing === "on") localStorage.setItem(OFF, "");
  else {
    localStorage.removeItem(OFF);
    await Notification.requestPermission();
  }
  showChoice();
  begin();
});
showChoice();
begin();
