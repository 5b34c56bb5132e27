// The terminal page: shells side by side as tabs, on any server of the environment. Which there are stays with the browser's
// tab, so that a reload finds them all again; the address names the server of the one that is shown.

const page = document.getElementById("terminals");
const [{ Terminal }, { FitAddon }, { openShell }] = await Promise.all(
  [page.dataset.xterm, page.dataset.fit, page.dataset.shell].map((address) => import(address)),
);
const list = page.querySelector("[role=tablist]");
const screens = page.querySelector(".console__screens");
const state = document.getElementById("terminal-state");
const again = document.getElementById("terminal-again");
const control = page.querySelector("[data-control]");

const MOST = 12;
const { environment, servers } = page.dataset;
const known = servers.split(" ");
const base = `/environments/${environment}/servers`;
const api = `/api/v1/environments/${environment}`;
const key = `terminals of ${environment}`;
let tabs = [], current;

const store = () => {
  const kept = tabs.map(({ server, number, session, shell }) => ({ server, number, session: shell?.session() ?? session }));
  sessionStorage.setItem(key, JSON.stringify({ kept, shown: tabs.indexOf(current) }));
};
const label = ({ server, number }) => (number === 1 ? server : `${server} ${number}`);

const tell = (tab) => {
  if (tab !== current) return;
  state.dataset.connection = tab.connection;
  state.textContent = tab.words;
  again.hidden = !tab.ended;
};

const add = ({ server, number, session }) => {
  const id = crypto.randomUUID();
  const button = Object.assign(document.createElement("button"), { type: "button", className: "console__tab", id });
  button.setAttribute("role", "tab");
  button.setAttribute("aria-controls", `screen-${id}`);
  const close = Object.assign(document.createElement("span"), { className: "console__close", textContent: "×" });
  close.setAttribute("aria-hidden", "true");
  close.title = "Close (Delete)";
  const place = Object.assign(document.createElement("div"), { className: "console__screen", id: `screen-${id}`, hidden: true });
  place.setAttribute("role", "tabpanel");
  place.setAttribute("aria-labelledby", id);
  const tab = { server, number, session, button, place, connection: "opening", words: "" };
  button.append(label(tab), close);
  button.addEventListener("click", (event) => (event.target === close ? remove(tab) : select(tab)));
  list.append(button);
  screens.append(place);
  tabs.push(tab);
  return tab;
};

// A shell is opened when it is first looked at: before, its screen has no size.
const open = (tab) => {
  tab.shell = openShell({ Terminal, FitAddon }, tab.place, {
    address: `${api}/servers/${tab.server}/terminal`,
    environment: api,
    session: tab.session,
    told: (connection, words, ended = false) => {
      Object.assign(tab, { connection, words, ended });
      tell(tab);
      if (tab.shell) store();
    },
    typed: (text) => {
      if (control.getAttribute("aria-pressed") !== "true") return text;
      control.setAttribute("aria-pressed", "false");
      return /^[@-_a-z]$/.test(text) ? String.fromCharCode(text.toUpperCase().charCodeAt(0) & 31) : text;
    },
    titled: (title) => (tab.button.title = title.slice(0, 80)),
    leave: () => tab.button.focus(),
  });
};

const select = (tab, focus = true) => {
  current = tab;
  for (const one of tabs) {
    const shown = one === tab;
    one.button.setAttribute("aria-selected", String(shown));
    one.button.tabIndex = shown ? 0 : -1;
    one.place.hidden = !shown;
  }
  if (!tab.shell) open(tab);
  tell(tab);
  history.replaceState(history.state, "", `${base}/${tab.server}/terminal`);
  document.title = `${label(tab)} in ${environment} · Bookend`;
  document.getElementById("terminal-server").textContent = tab.server;
  tab.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  store();
  if (focus) tab.shell.focus();
};

const begin = (server) => {
  if (tabs.length >= MOST) return;
  const numbers = tabs.filter((tab) => tab.server === server).map((tab) => tab.number);
  let number = 1;
  while (numbers.includes(number)) number += 1;
  select(add({ server, number, session: crypto.randomUUID() }));
};

// Ends the shell. The last tab makes room for a new shell on the same server.
const remove = (tab) => {
  const at = tabs.indexOf(tab);
  tabs.splice(at, 1);
  tab.shell?.hangUp();
  tab.button.remove();
  tab.place.remove();
  if (tabs.length === 0) return begin(tab.server);
  if (tab === current) select(tabs[Math.min(at, tabs.length - 1)]);
  else store();
};

list.addEventListener("keydown", (event) => {
  const at = tabs.indexOf(current), last = tabs.length - 1;
  const to = { ArrowLeft: at === 0 ? last : at - 1, ArrowRight: at === last ? 0 : at + 1, Home: 0, End: last }[event.key];
  if (event.key === "Delete") remove(current);
  else if (to === undefined) return;
  else {
    select(tabs[to], false);
    tabs[to].button.focus();
  }
  event.preventDefault();
});
page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-new], [data-key], [data-control]");
  if (!button) return;
  if (button.dataset.new) {
    button.closest("[popover]")?.hidePopover();
    begin(button.dataset.new);
  } else if (button === control) {
    control.setAttribute("aria-pressed", String(control.getAttribute("aria-pressed") !== "true"));
  } else {
    current.shell.press({ escape: "\x1b", tab: "\t", up: "\x1b[A", down: "\x1b[B", right: "\x1b[C", left: "\x1b[D" }[button.dataset.key]);
  }
});
// The keys on the page leave the focus, and with it a phone's keyboard, where it is.
page.querySelector(".console__keys").addEventListener("pointerdown", (event) => event.preventDefault());
again.addEventListener("click", () => {
  current.shell.connect();
  current.shell.focus();
});

const { kept = [], shown = -1 } = JSON.parse(sessionStorage.getItem(key) ?? "{}");
for (const one of kept) if (known.includes(one.server)) add(one);
const { server } = page.dataset;
const before = tabs[shown]?.server === server ? tabs[shown] : tabs.findLast((tab) => tab.server === server);
if (before) select(before);
else begin(server);
