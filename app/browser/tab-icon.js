// The state of an environment in its tab's icon: the mark with a badge on it, of a colour and a shape of its own.

const icon = document.querySelector("link[rel=icon]");
const plain = icon.getAttribute("href");
const LOOKS = {
  ready: ["%2315803d", "M21.5 25.2l2.5 2.4 4.5-5"],
  failed: ["%23b91c1c", "M25 21v4.5M25 28.6v.1"],
  parked: ["%23525463", "M23.3 22.2v5.6M26.7 22.2v5.6"],
  deleted: ["%23525463", "M22.5 22.5l5 5M27.5 22.5l-5 5"],
};
const UNDER_WAY = ["%231d4ed8", "M21.4 25h.1M25 25h.1M28.5 25h.1"];

let shown;
const draw = () => {
  const state = document.querySelector(".page-header .badge[data-state]")?.dataset.state;
  if (!state || state === shown) return;
  shown = state;
  const [colour, shape] = LOOKS[state] ?? UNDER_WAY;
  const badge = `%3Ccircle cx='25' cy='25' r='7.5' fill='${colour}' stroke='%23fff' stroke-width='1.5'/%3E\
%3Cpath d='${shape}' fill='none' stroke='%23fff' stroke-width='2.2' stroke-linecap='round' stroke-linejoin='round'/%3E`;
  icon.setAttribute("href", plain.replace("%3C/svg%3E", `${badge}%3C/svg%3E`));
  icon.dataset.state = state;
};
new MutationObserver(draw).observe(document.querySelector("main"), { childList: true, subtree: true, attributes: true, attributeFilter: ["data-state"] });
draw();
