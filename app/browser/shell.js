// One shell on a server: a screen in the page, joined by a WebSocket to a terminal session there.
//
// One message is one frame: a type byte, then the payload (the agent's `frame` module). The session outlives the connection:
// after a reload, a lost connection or a restarted portal the server shows its screen again and the shell goes on.

const STDIN = 0, STDOUT = 1, STDERR = 2, RESIZE = 3, EXIT = 4, HANG_UP = 5, ERROR = 6, REPLAY = 7;
const PIECE = 32_768;
const TRIES = 60;

const encoder = new TextEncoder(), decoder = new TextDecoder();

// Why no connection is made, where the environment's state tells. A session that ended leads to signing in, and back here.
const reasonOf = async (environment) => {
  const answer = await fetch(environment, { headers: { accept: "application/json" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
  if (answer?.status === 404) return "This environment is no longer there.";
  switch (answer?.ok && (await answer.json()).state) {
    case "parking":
    case "parked":
      return "The environment is parked. Resume it, then connect again.";
    case "deleting":
    case "deleted":
      return "The environment is deleted.";
    case "failed":
      return "The environment has failed. Its page says why.";
  }
  return null;
};

// What a replay asks of a screen (where is the cursor, which terminal is this, which colour) was answered when it was
// written. Answered again, the answers would be typed into the shell.
const keepSilent = (screen, whileReplaying) => {
  for (const asked of [
    { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" }, { final: "n" }, { prefix: "?", final: "n" },
    { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }, { final: "t" },
  ]) screen.parser.registerCsiHandler(asked, whileReplaying);
  screen.parser.registerDcsHandler({ intermediates: "$", final: "q" }, whileReplaying);
  for (const color of [4, 10, 11, 12]) {
    screen.parser.registerOscHandler(color, (data) => whileReplaying() && data.includes("?"));
  }
};

// `place`: an empty element. `address`, `environment`: of the terminal and of its environment in the API. `told` hears how
// the connection stands, `typed` may change what is typed, `leave` is called by the key that leads out.
export const openShell = ({ Terminal, FitAddon }, place, { address, environment, session, told, typed, titled, leave }) => {
  const style = getComputedStyle(document.documentElement);
  const screen = new Terminal({
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: style.getPropertyValue("--font-code").trim(),
    fontSize: matchMedia("(width < 40rem)").matches ? 12 : 14,
    scrollback: 10_000,
    theme: { background: "#14151c", foreground: "#e4e6f0", cursor: "#9aa8ff", selectionBackground: "#3d4370" },
  });
  const fit = new FitAddon();
  let socket, tries = 0, ended = false, closed = false, shown = false, replaying = false;
  screen.loadAddon(fit);
  screen.open(place);
  keepSilent(screen, () => replaying);

  const send = (kind, payload = new Uint8Array()) => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(payload.length + 1);
    message[0] = kind;
    message.set(payload, 1);
    socket.send(message);
  };
  // A large paste goes in frames the agent takes.
  const type = (bytes) => {
    for (let start = 0; start < bytes.length; start += PIECE) send(STDIN, bytes.subarray(start, start + PIECE));
  };
  const end = (words) => {
    ended = true;
    told("lost", words, true);
  };
  // A joined session shows its screen again: what stands here is the same, seen twice.
  const show = (bytes) => {
    if (!shown) screen.reset();
    shown = true;
    screen.write(bytes);
  };
  const receive = (event) => {
    const message = new Uint8Array(event.data), payload = message.subarray(1);
    switch (message[0]) {
      case REPLAY:
        return show(payload);
      case STDOUT:
      case STDERR:
        // Only once all of the replay has reached the screen.
        if (replaying) screen.write("", () => (replaying = false));
        return show(payload);
      case EXIT:
        session = crypto.randomUUID();
        return end(`The shell ended with code ${decoder.decode(payload)}.`);
      case ERROR:
        return end(decoder.decode(payload));
    }
  };
  const connect = () => {
    ended = shown = false;
    replaying = true;
    told("opening", tries === 0 ? "Connecting…" : "Connection lost. Trying again…");
    const target = new URL(address, location.href);
    target.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    target.search = new URLSearchParams({ session, cols: screen.cols, rows: screen.rows });
    let opened = false;
    socket = new WebSocket(target);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      tries = 0;
      told("live", "Connected");
    };
    socket.onmessage = receive;
    socket.onclose = async (event) => {
      if (ended || closed) return;
      tries += 1;
      if (event.code === 1008 || !opened) {
        const reason = await reasonOf(environment);
        if (reason || event.code === 1008) return end(reason ?? (event.reason || "The portal does not allow this."));
      }
      if (tries > TRIES) return end("The server cannot be reached.");
      told("lost", "Connection lost. Trying again…");
      setTimeout(() => closed || connect(), Math.min(250 * tries, 3000));
    };
  };

  screen.onData((text) => type(encoder.encode(typed(text))));
  screen.onBinary((text) => type(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  screen.onResize(({ cols, rows }) => send(RESIZE, encoder.encode(JSON.stringify({ cols, rows }))));
  screen.onTitleChange(titled);
  // All keys belong to the shell but three: Ctrl-Shift-C copies, Ctrl-Shift-V pastes (the browser does), F6 leads out.
  screen.attachCustomKeyEventHandler((event) => {
    const clipboard = event.ctrlKey && event.shiftKey;
    if (clipboard && event.code === "KeyV") return false;
    if (event.type !== "keydown") return true;
    if (event.code === "F6") leave();
    else if (clipboard && event.code === "KeyC") {
      if (navigator.clipboard) navigator.clipboard.writeText(screen.getSelection());
      else document.execCommand("copy");
    } else return true;
    event.preventDefault();
    return false;
  });
  const watching = new ResizeObserver(() => place.clientWidth > 0 && fit.fit());
  watching.observe(place);
  fit.fit();
  connect();

  return {
    connect,
    focus: () => screen.focus(),
    session: () => session,
    // As if this had been typed; arrows as the program in the terminal wants them.
    press: (text) => screen.input(screen.modes.applicationCursorKeysMode ? text.replace("\x1b[", "\x1bO") : text),
    hangUp: () => {
      closed = true;
      send(HANG_UP);
      socket?.close();
      watching.disconnect();
      screen.dispose();
    },
  };
};
