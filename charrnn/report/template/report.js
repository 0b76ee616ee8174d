"use strict";
// The character that is pointed at, or moved to with the arrow keys: its row of the table is read out below.
for (const passage of document.querySelectorAll(".passage")) {
  const letters = [...passage.children];
  const figure = passage.closest("figure");
  const heads = [...figure.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const rows = figure.querySelectorAll("tbody tr");
  const readout = figure.querySelector(".readout");
  let at = -1;

  function choose(i) {
    for (const other of figure.querySelectorAll(".chosen")) other.classList.remove("chosen");
    at = i;
    letters[at].classList.add("chosen");
    readout.replaceChildren();
    [...rows[at].cells].forEach((cell, column) => {
      if (!cell.textContent) return;
      const value = document.createElement("b");
      value.textContent = cell.textContent;
      readout.append(readout.childNodes.length ? "; " : "", `${heads[column]}: `, value);
    });
  }

  const under = (event) => letters.indexOf(event.target);
  passage.addEventListener("pointerover", (event) => under(event) >= 0 && choose(under(event)));
  passage.addEventListener("click", (event) => under(event) >= 0 && choose(under(event)));
  passage.addEventListener("focus", () => at < 0 && choose(0));
  passage.addEventListener("keydown", (event) => {
    const right = getComputedStyle(passage).direction === "rtl" ? -1 : 1;
    const to = { ArrowLeft: at - right, ArrowRight: at + right, Home: 0, End: letters.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(Math.min(Math.max(to, 0), letters.length - 1));
    letters[at].scrollIntoView({ block: "nearest" });
  });
}
