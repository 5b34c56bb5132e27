// Keeps parts of a page current. When the portal says that something has changed, the page's own address is fetched again
// and every part marked `data-fresh` becomes as the portal renders it now: no second way to draw anything.
//
// What the person is doing stays: elements are changed where they stand, not replaced, so ticks, focus and open menus
// survive. Items with a `data-key` keep their identity when their order changes; what is marked `data-still` is let alone.

const standing = document.querySelector("[data-fresh-standing]");
const say = (connection, words) => {
  if (!standing || standing.dataset.connection === connection) return;
  standing.dataset.connection = connection;
  standing.textContent = words;
};

const become = (old, now) => {
  if (old.isEqualNode(now) || old.dataset?.still !== undefined) return;
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = now.nodeValue);
  // What somebody has opened or closed stays so.
  const theirs = (name) => name === "open" && old.nodeName === "DETAILS";
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name) && !theirs(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value && !theirs(name)) old.setAttribute(name, value);
  }
  const kept = new Map([...old.children].filter((one) => one.dataset?.key).map((one) => [one.dataset.key, one]));
  let place = old.firstChild;
  for (const child of [...now.childNodes]) {
    const known = child.dataset?.key && kept.get(child.dataset.key);
    if (known && known !== place) old.insertBefore(known, place);
    const present = known || place;
    const usable = present && (known || !present.dataset?.key) && !(child.dataset?.key && !known);
    if (!usable) old.insertBefore(child, place);
    else {
      if (present === place) place = place.nextSibling;
      become(present, child);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
};

let reading = false;
let again = false;
const read = async () => {
  if (reading) return void (again = true);
  reading = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    // Signed out meanwhile: the page itself leads to signing in, and back here.
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") return location.reload();
    if (!answer.ok) return;
    const now = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = now.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (other) become(part, other);
    }
    document.dispatchEvent(new CustomEvent("fresh"));
  } catch {
    // The stream says that the connection is lost, and when it is back.
  } finally {
    // Many changes in a row are read together.
    setTimeout(() => {
      reading = false;
      if (again) read((again = false));
    }, 400);
  }
};

let source;
let failures = 0;
const open = () => {
  if (source || document.hidden) return;
  source = new EventSource("/api/v1/events");
  let missed = failures > 0;
  source.onopen = () => {
    say("live", "Live");
    failures = 0;
    if (missed) read();
    missed = false;
  };
  source.onmessage = read;
  source.onerror = () => {
    say("lost", "Connection lost. Trying again…");
    failures += 1;
    missed = true;
    if (source.readyState !== EventSource.CLOSED) return;
    source = undefined;
    read();
    setTimeout(open, Math.min(failures, 6) * 1000);
  };
};

// A tab nobody looks at gives its connection back: a browser has only six of them for all tabs of a site together.
let unseen;
document.addEventListener("visibilitychange", () => {
  clearTimeout(unseen);
  if (document.hidden) {
    unseen = setTimeout(() => {
      source?.close();
      source = undefined;
      failures = 1;
    }, 60_000);
  } else open();
});
addEventListener("pagehide", () => source?.close());
open();

// How far something has come, no event tells.
setInterval(() => document.hidden || !document.querySelector("[data-fresh] [data-moving]") || read(), 1_000);

// “Two minutes ago” grows older by itself.
setInterval(() => document.hidden || read(), 30_000);
