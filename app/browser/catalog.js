// Search as you type in the catalog: asks for the address the form would lead to and puts that page's results in place of
// the ones shown. The form itself stays where it is, so focus and caret do. Without this, or when the portal does not
// answer, it is a plain form.

const form = document.getElementById("find");
const state = document.getElementById("search-state");
const results = () => document.getElementById("results");

// Long enough for the next letter of somebody who types, too short to be noticed.
const PAUSE = 180;

let pause;
let asked;
// What the results shown are for; answers to anything older are dropped.
let shown = location.href;

const addressOf = () => {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) {
    if (value.trim() === "" || (name === "sort" && value === form.elements.sort.options[0].value)) query.delete(name);
  }
  const text = query.toString();
  return new URL(text ? `${form.action}?${text}` : form.action, location.href).href;
};

const tell = (words, isTrouble) => {
  state.textContent = words;
  state.toggleAttribute("data-trouble", isTrouble);
};

const search = async () => {
  clearTimeout(pause);
  const address = addressOf();
  if (address === shown) return;
  asked?.abort();
  const mine = (asked = new AbortController());
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" }, signal: mine.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine.signal.aborted) return;
    const found = page.getElementById("results");
    // The session has ended, or the catalog is empty now: whatever it is, that page says it better.
    if (!found || answer.redirected) {
      location.assign(address);
      return;
    }
    shown = address;
    history.replaceState(history.state, "", address);
    results().replaceWith(document.adoptNode(found));
    tell(found.dataset.says, false);
  } catch (problem) {
    if (mine.signal.aborted) return;
    console.warn("The catalog could not be searched.", problem);
    tell("The portal does not answer. Press Find to try again.", true);
  }
};

if (form) {
  form.addEventListener("input", (event) => {
    if (event.target.type !== "search") return;
    clearTimeout(pause);
    pause = setTimeout(search, PAUSE);
  });
  form.addEventListener("submit", (event) => {
    // After trouble the browser itself asks, and says what is wrong.
    if (state.hasAttribute("data-trouble")) return;
    event.preventDefault();
    search();
  });
  // Coming back by the browser's buttons, the field may hold other words than the address asks for.
  addEventListener("pageshow", () => {
    form.elements.q.value = new URLSearchParams(location.search).get("q") ?? "";
  });
}
