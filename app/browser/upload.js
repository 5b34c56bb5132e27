// Uploads with a bar, rate and time left, and a way to end them. It is the same form, posted to the same address; what the
// portal answers is shown as if the browser had posted it.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];
const bytes = (count) => {
  if (count < 1024) return `${Math.round(count)} B`;
  const unit = Math.min(Math.floor(Math.log2(count) / 10), UNITS.length);
  const size = count / 1024 ** unit;
  return `${size < 100 ? Number(size.toFixed(1)) : Math.round(size)} ${UNITS[unit - 1]}`;
};
const span = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`);

const told = (done, total, since) => {
  const rate = (done * 1000) / Math.max(performance.now() - since, 1);
  const left = rate > 0 ? `, ${bytes(rate)}/s, ${span(Math.ceil((total - done) / rate))} left` : "";
  return `Uploading: ${Math.floor((done * 100) / total)} %, ${bytes(done)} of ${bytes(total)}${left}`;
};

const send = (form) => {
  const [going, button] = [form.querySelector("[data-going]"), form.querySelector("[type=submit]")];
  const [bar, words, cancel] = ["progress", "[role=status]", "[data-cancel]"].map((css) => going.querySelector(css));
  const since = performance.now();
  const request = new XMLHttpRequest();
  const ended = (said) => {
    words.textContent = said;
    cancel.hidden = true;
    button.disabled = false;
    bar.value = 0;
  };
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = (loaded * 100) / total;
    words.textContent = loaded < total ? told(loaded, total, since) : "All of it is there; it is being put in its place.";
  };
  request.onload = () => {
    const answer = new DOMParser().parseFromString(request.responseText, "text/html");
    const main = answer.querySelector("main");
    // It is done, or has to be signed in for.
    if (request.status < 400 || !main) return location.assign(request.responseURL);
    document.querySelector("main").replaceWith(main);
    scrollTo(0, 0);
  };
  request.onabort = () => ended("Cancelled: of the file that was under way nothing is left.");
  request.onerror = () => ended("The connection was lost: of the file that was under way nothing is left. Send it again.");
  cancel.onclick = () => request.abort();
  [going.hidden, cancel.hidden, button.disabled] = [false, false, true];
  words.textContent = "Uploading…";
  going.scrollIntoView({ block: "nearest" });
  request.open("POST", form.action);
  request.send(new FormData(form));
};

document.addEventListener("submit", (event) => {
  if (!event.target.matches(".files__upload")) return;
  event.preventDefault();
  send(event.target);
});
