// The palette: every page and action by a few letters. Loaded when it is first wanted; what it offers is asked from the
// portal each time it opens, so that it is never out of date and never more than this person may see.
//
// A combobox as the ARIA Authoring Practices describe it: the focus stays in the field, arrows move through the list, Enter
// chooses. What changes something leads to the page that asks first.

const RECENT = "bookend-palette";
const recent = () => JSON.parse(localStorage.getItem(RECENT) ?? "[]");
const remember = (entry) => {
  const known = recent().filter((title) => title !== entry.title);
  localStorage.setItem(RECENT, JSON.stringify([entry.title, ...known].slice(0, 12)));
};

// How well the letters stand in the text, in their order: best at the beginnings of words and next to each other; null when
// they do not.
const fit = (letters, text) => {
  let score = 0;
  let from = 0;
  let before = -2;
  for (const letter of letters) {
    let at = text.indexOf(letter, from);
    if (at < 0) return null;
    const wordWith = /[\p{L}\p{N}]/u.test(letter) ? new RegExp(`(^|[^\\p{L}\\p{N}])${letter}`, "u") : /$^/;
    const word = text.slice(from).search(wordWith);
    if (at !== before + 1 && word >= 0 && from + word < at + 12) at = text.indexOf(letter, from + word);
    const begins = at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1]);
    score += (at === before + 1 ? 6 : 0) + (begins ? 4 : 0) - Math.min(at - from, 8) * 0.25;
    before = at;
    from = at + 1;
  }
  return score - text.length * 0.02;
};

let dialog;
let field;
let list;
let offered = { entries: [], icons: {} };
let shown = [];
let active = 0;

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

const build = () => {
  field = make("input", {
    id: "palette-field", type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list",
    "aria-autocomplete": "list", "aria-label": "Go to a page, an environment or an action", autocomplete: "off",
    autocapitalize: "none", spellcheck: "false", maxlength: "100", placeholder: "Go to…",
  });
  list = make("div", { id: "palette-list", role: "listbox", "aria-label": "Where to go" });
  const close = make("button", { type: "button", class: "button", "data-kind": "plain", "data-size": "small" }, "Close");
  const head = make("div", { class: "palette__head" }, field, close);
  dialog = make("dialog", { class: "palette", "aria-label": "Palette" }, head, list);
  close.addEventListener("click", () => dialog.close());
  field.addEventListener("input", () => show());
  field.addEventListener("keydown", keys);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
};

const matches = () => {
  const letters = field.value.toLowerCase().replaceAll(" ", "");
  const last = recent();
  const rank = (entry) => (last.includes(entry.title) ? 3 - last.indexOf(entry.title) * 0.2 : 0);
  if (!letters) {
    const again = last.map((title) => offered.entries.find((entry) => entry.title === title)).filter(Boolean);
    const rest = offered.entries.filter((entry) => !again.includes(entry) && entry.group !== "Actions" && entry.group !== "Theme");
    return [...again.map((entry) => ({ ...entry, group: "Recent" })), ...rest].slice(0, 40);
  }
  const scored = offered.entries.flatMap((entry) => {
    const title = fit(letters, entry.title.toLowerCase());
    const more = fit(letters, entry.more.toLowerCase());
    const score = Math.max(title ?? -Infinity, (more ?? -Infinity) - 6);
    return score === -Infinity ? [] : [[score + rank(entry), entry]];
  });
  const words = encodeURIComponent(field.value.trim());
  const search = (title, address) => ({ group: "Search", title, more: "", icon: "user", way: { go: address } });
  return [
    ...scored.sort((one, other) => other[0] - one[0]).slice(0, 30).map(([, entry]) => entry),
    search(`Search environments for “${field.value.trim()}”`, `/environments?of=everyone&search=${words}`),
    search(`Search the catalog for “${field.value.trim()}”`, `/?q=${words}`),
  ];
};

const show = () => {
  shown = matches();
  active = 0;
  list.replaceChildren(...shown.map((entry, index) => {
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("class", "icon");
    picture.setAttribute("viewBox", "0 0 24 24");
    picture.setAttribute("aria-hidden", "true");
    picture.innerHTML = offered.icons[entry.group === "Search" ? "search" : entry.icon] ?? "";
    const option = make("div", { id: `palette-${index}`, role: "option", class: "palette__option" }, picture,
      make("span", { class: "palette__title", dir: "auto" }, entry.title),
      make("span", { class: "palette__more" }, entry.group === "Pages" ? "" : entry.more || entry.group));
    option.addEventListener("click", () => choose(index));
    option.addEventListener("pointermove", () => index !== active && mark(index));
    return option;
  }));
  mark(0);
};

const mark = (index) => {
  active = index;
  for (const [at, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(at === index));
  list.children[index]?.scrollIntoView({ block: "nearest" });
  if (list.children[index]) field.setAttribute("aria-activedescendant", `palette-${index}`);
  else field.removeAttribute("aria-activedescendant");
};

const keys = (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
  if (step && shown.length) {
    event.preventDefault();
    const wrap = Math.abs(step) === 1 ? (active + step + shown.length) % shown.length : active + step;
    mark(Math.max(0, Math.min(shown.length - 1, wrap)));
  } else if (event.key === "Enter" && !event.isComposing) {
    event.preventDefault();
    choose(active);
  }
};

const choose = (index) => {
  const entry = shown[index];
  if (!entry) return;
  if (entry.group !== "Search") remember(entry);
  dialog.close();
  if (entry.way.go) location.assign(entry.way.go);
  if (entry.way.theme) document.querySelector(`.theme-switch button[value="${entry.way.theme}"]`)?.click();
  if (entry.way.ask) {
    const form = make("form", { method: "post", action: "/environments", hidden: "" });
    for (const [name, value] of Object.entries(entry.way.ask)) form.append(make("input", { name, value }));
    document.body.append(form);
    form.submit();
  }
};

export const open = async (address) => {
  if (!dialog) build();
  if (dialog.open) return dialog.close();
  field.value = "";
  dialog.showModal();
  show();
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  // Signed out meanwhile: the page itself leads to signing in.
  if (answer.redirected) return location.reload();
  if (!answer.ok) return;
  offered = await answer.json();
  show();
};
