// The order form while it is filled in: says what is wrong with a value where it stands and in our own words, asks whether a
// name is free, and keeps what was typed over a detour to the sign-in page. What counts as wrong is the browser's own
// judgement of the field's attributes; the portal judges again when the form is sent.

const form = document.getElementById("order");

// After the last key: nobody is told off in the middle of a word.
const PAUSE = 450;
const KEPT = `order ${location.pathname}`;

const fields = () => [...form.querySelectorAll(".field :is(input, select, textarea):not([type=hidden])")];

// The last name asked about, and what is wrong with it.
let verdict = { name: "", message: "" };

const wrongWith = (field) => {
  // A field whose condition is not met is not part of the order.
  if (!field.checkVisibility()) return "";
  if (field.validity.valueMissing || ("needed" in field.dataset && field.value === "")) return "needs a value";
  return field.validity.valid ? "" : (field.dataset.says ?? field.validationMessage);
};

const show = (field, message) => {
  const notes = document.getElementById(`${field.id}-note`);
  const before = notes.querySelector(".field__wrong");
  if ((before?.textContent ?? "") === message) return;
  before?.remove();
  field.closest(".field").toggleAttribute("data-wrong", message !== "");
  if (message === "") {
    field.removeAttribute("aria-invalid");
    return;
  }
  field.setAttribute("aria-invalid", "true");
  const wrong = document.getElementById("wrong").content.cloneNode(true);
  wrong.querySelector("span").textContent = message;
  notes.prepend(wrong);
};

const judge = (field) => {
  const taken = field.name === "name" && field.value === verdict.name ? verdict.message : "";
  show(field, wrongWith(field) || taken);
};

const askForName = async () => {
  const field = form.elements.name;
  const name = field.value;
  if (name === "" || !field.validity.valid || name === verdict.name) return;
  try {
    const answer = await fetch(form.dataset.names + encodeURIComponent(name), { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const said = await answer.json();
    verdict = { name, message: said.free ? "" : said.message };
    if (field.value === name) judge(field);
  } catch {
    // The portal looks again when the order comes.
  }
};

const plainNames = () => ["name", ...form.elements.plain.value.split(" ").map((name) => `parameters.${name}`)];

const keep = () => {
  const typed = new FormData(form);
  const plain = plainNames().filter((name) => typed.has(name));
  sessionStorage.setItem(KEPT, JSON.stringify(plain.map((name) => [name, typed.getAll(name).at(-1)])));
};

const giveBack = () => {
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (!kept || !new URLSearchParams(location.search).has("kept")) return;
  for (const [name, value] of JSON.parse(kept)) {
    const field = fields().find((field) => field.name === name);
    if (field?.type === "checkbox") field.checked = value === "true";
    else if (field) field.value = value;
  }
};

const begin = () => {
  form.noValidate = true;
  for (const notes of form.querySelectorAll(".field__notes")) notes.setAttribute("aria-live", "polite");
  giveBack();
  let pause;
  form.addEventListener("input", ({ target }) => {
    clearTimeout(pause);
    // What is right again is said at once.
    if (target.getAttribute("aria-invalid") === "true") judge(target);
    pause = setTimeout(() => {
      judge(target);
      if (target.name === "name") askForName();
    }, PAUSE);
  });
  form.addEventListener("change", ({ target }) => {
    judge(target);
    if (target.name === "name") askForName();
  });
  form.addEventListener("submit", (event) => {
    const wrong = fields().filter((field) => wrongWith(field) !== "");
    for (const field of wrong) show(field, wrongWith(field));
    if (wrong.length > 0) {
      event.preventDefault();
      wrong[0].focus();
      return;
    }
    keep();
  });
  // Gone back to after an order: its name is not free any more.
  addEventListener("pageshow", (event) => {
    if (event.persisted) askForName();
  });
  const bar = document.getElementById("order-bar");
  const own = document.getElementById("order-button");
  new IntersectionObserver(([{ isIntersecting }]) => bar.toggleAttribute("data-away", isIntersecting)).observe(own);
};

if (form) begin();
