// The terminal: a screen in the page, joined by a WebSocket to a shell on the server.
//
// One message is one frame: a type byte, then the payload (the agent's `frame` module). The session's name stays with the
// browser tab, so a reload, a lost connection or a restarted portal comes back to the same shell.

const STDIN = 0, STDOUT = 1, STDERR = 2, RESIZE = 3, EXIT = 4, ERROR = 6;

const place = document.getElementById("terminal");
const state = document.getElementById("terminal-state");
const again = document.getElementById("terminal-again");
const [{ Terminal }, { FitAddon }] = await Promise.all([import(place.dataset.xterm), import(place.dataset.fit)]);

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const screen = new Terminal({
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  fontFamily: color("--font-code"),
  fontSize: 14,
  scrollback: 10_000,
  screenReaderMode: false,
  theme: { background: "#14151c", foreground: "#e4e6f0", cursor: "#9aa8ff", selectionBackground: "#3d4370" },
});
const fit = new FitAddon();
screen.loadAddon(fit);
screen.open(place);
fit.fit();
screen.focus();

const sessionKey = `terminal ${place.dataset.socket}`;
const newSession = () => {
  const name = crypto.randomUUID();
  sessionStorage.setItem(sessionKey, name);
  return name;
};
let session = sessionStorage.getItem(sessionKey) ?? newSession();
let socket, ended = false, tries = 0, shown = false;

const say = (connection, words) => {
  state.dataset.connection = connection;
  state.textContent = words;
};
const send = (kind, payload) => {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const message = new Uint8Array(payload.length + 1);
  message[0] = kind;
  message.set(payload, 1);
  socket.send(message);
};
const encoder = new TextEncoder(), decoder = new TextDecoder();
// A large paste goes in frames the agent takes.
const type = (bytes) => {
  for (let start = 0; start < bytes.length; start += 32_768) send(STDIN, bytes.subarray(start, start + 32_768));
};

const receive = (event) => {
  const message = new Uint8Array(event.data);
  const payload = message.subarray(1);
  switch (message[0]) {
    case STDOUT:
    case STDERR:
      // A joined session shows its screen again: what stood here is the same, seen twice.
      if (!shown) screen.reset();
      shown = true;
      return screen.write(payload);
    case EXIT:
      return end(`The shell ended with code ${decoder.decode(payload)}.`);
    case ERROR:
      return end(decoder.decode(payload));
  }
};
const end = (words) => {
  ended = true;
  session = newSession();
  say("lost", words);
  again.hidden = false;
};

const connect = () => {
  ended = shown = false;
  again.hidden = true;
  say("opening", "Connecting…");
  const address = new URL(place.dataset.socket, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = new URLSearchParams({ session, cols: screen.cols, rows: screen.rows });
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    tries = 0;
    say("live", "Connected");
    screen.focus();
  };
  socket.onmessage = receive;
  socket.onclose = (event) => {
    if (ended) return;
    if (event.code === 1008) return end(event.reason || "The portal does not allow this.");
    tries += 1;
    if (tries > 30) return end("The server cannot be reached.");
    say("lost", "Connection lost. Trying again…");
    setTimeout(connect, Math.min(500 * tries, 5000));
  };
};

screen.onData((text) => type(encoder.encode(text)));
screen.onBinary((text) => type(Uint8Array.from(text, (character) => character.charCodeAt(0))));
screen.onResize(({ cols, rows }) => send(RESIZE, encoder.encode(JSON.stringify({ cols, rows }))));
// All keys belong to the shell but two: Ctrl-Shift-C copies, and F6 leads out for who cannot use a pointer.
screen.attachCustomKeyEventHandler((event) => {
  if (event.type !== "keydown") return true;
  if (event.code === "F6") {
    document.querySelector(".crumbs a:last-child").focus();
  } else if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
    navigator.clipboard.writeText(screen.getSelection());
  } else {
    return true;
  }
  event.preventDefault();
  return false;
});
again.addEventListener("click", connect);
new ResizeObserver(() => fit.fit()).observe(place);
connect();
