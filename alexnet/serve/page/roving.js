/** One tab stop for a sheet of many links: the arrow keys move inside it. */

/**
 * @param {HTMLElement} sheet a grid or a list; its links' labels are read as they get the focus
 * @param {string} label what it holds
 */
export function roving(sheet, label) {
  const links = () => /** @type {HTMLElement[]} */ ([...sheet.querySelectorAll("a")]);
  sheet.setAttribute("aria-label", `${label}. The arrow keys, Home and End move between them.`);
  links().forEach((link, place) => link.setAttribute("tabindex", place ? "-1" : "0"));

  /** @param {HTMLElement} link */
  function stop(link) {
    for (const one of sheet.querySelectorAll("a[tabindex='0']")) one.setAttribute("tabindex", "-1");
    link.setAttribute("tabindex", "0");
  }

  sheet.addEventListener("focusin", ({ target }) => {
    if (target instanceof HTMLElement && target.matches("a")) stop(target);
  });
  sheet.addEventListener("keydown", (event) => {
    const all = links();
    const here = all.findIndex((link) => link === document.activeElement);
    if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const wide = getComputedStyle(sheet).gridTemplateColumns.split(" ").length;
    const to = new Map([
      ["ArrowLeft", here - 1],
      ["ArrowRight", here + 1],
      ["ArrowUp", here - wide],
      ["ArrowDown", here + wide],
      ["Home", 0],
      ["End", all.length - 1],
    ]).get(event.key);
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // the page's own arrow keys lead to other layers
    all[Math.max(0, Math.min(all.length - 1, to))].focus();
  });
  return sheet;
}
