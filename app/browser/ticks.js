// Makes ticking many rows of a list quick: all at once, a range by Shift, and how many they are is said. The form works
// without: “Tick all” is a link to the same page with every box ticked.

const form = () => document.querySelector("form.ticking");
const boxes = () => [...document.querySelectorAll("form.ticking input.tick")];

const count = () => {
  const all = boxes();
  const ticked = all.filter((box) => box.checked).length;
  const words = document.querySelector("[data-ticked]");
  if (!words) return;
  const said = ticked === 0 ? "With those that are ticked" : ticked === 1 ? "1 ticked" : `${ticked} ticked`;
  if (words.textContent !== said) words.textContent = said;
  form().toggleAttribute("data-some", ticked > 0);
  const link = document.querySelector("[data-tick]");
  const some = ticked === all.length;
  link.dataset.tick = some ? "none" : "all";
  link.textContent = some ? "Tick none" : `Tick all ${all.length} here`;
};

let last;
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-tick]");
  if (link) {
    event.preventDefault();
    for (const box of boxes()) box.checked = link.dataset.tick === "all";
    return count();
  }
  if (!event.target.matches?.("input.tick")) return;
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(event.target)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) for (const box of all.slice(from, to)) box.checked = event.target.checked;
  last = event.target;
  count();
});

document.addEventListener("submit", (event) => {
  if (event.target !== form() || boxes().some((box) => box.checked)) return;
  event.preventDefault();
  boxes()[0]?.focus();
  const words = document.querySelector("[data-ticked]");
  if (words) words.textContent = "Tick at least one environment first";
});

// Rows come and go while the list is kept current; going back shows the boxes as they were left.
document.addEventListener("fresh", count);
addEventListener("pageshow", count);
count();

// The page that tells what became of a wish is no form to be sent again by reloading.
if (document.querySelector("[data-done]")) history.replaceState(null, "", location.href);
