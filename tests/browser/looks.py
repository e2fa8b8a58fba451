"""What can be measured of how a page looks and whether everybody can use it: names, headings, contrast, width.

Source: WCAG 2.2, criteria 1.3.1, 1.4.3, 1.4.10, 2.4.2, 2.4.6, 2.5.8, 3.1.1 and 4.1.2.
"""

from __future__ import annotations

from tests.browser.chromium import DESK, PHONE, Page

#: Gives a list of sentences, one for each thing that is not as it should be.
_LOOK = r"""(() => {
  const found = [];
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const name = (e) => e.outerHTML.slice(0, 80);
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().right > 0;
  if (!document.documentElement.lang) found.push("the page names no language");
  if (!document.title.trim()) found.push("the page has no title");
  if (all("h1").length !== 1) found.push(`${all("h1").length} headings of the first level`);
  let level = 0;
  for (const h of all("h1, h2, h3, h4")) {
    if (+h.tagName[1] > level + 1) found.push(`a level of headings is left out: ${name(h)}`);
    level = +h.tagName[1];
  }
  for (const e of all("input:not([type=hidden]), select, textarea"))
    if (!(e.labels.length || e.ariaLabel)) found.push(`a field without a label: ${name(e)}`);
  for (const e of all("a, button, summary"))
    if (!(e.textContent.trim() || e.ariaLabel)) found.push(`nobody knows what it does: ${name(e)}`);
  for (const e of all("meter, progress"))
    if (!(e.ariaLabel || e.getAttribute("aria-labelledby") || e.labels.length)) found.push(`a bar of what? ${name(e)}`);
  const ids = all("[id]").map((e) => e.id);
  if (new Set(ids).size !== ids.length) found.push("an id stands twice");
  for (const e of all("[aria-labelledby]"))
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) found.push(`labelled by nothing: ${name(e)}`);
  const wide = document.documentElement;
  if (wide.scrollWidth > wide.clientWidth) found.push(`${wide.scrollWidth} px wide in a window of ${wide.clientWidth}`);
  for (const e of all(".scroll"))
    if (e.scrollWidth > e.clientWidth) found.push(`a table that is cut off: ${e.innerText.slice(0, 40)}`);
  for (const e of all("button, a.button, input:not([type=hidden]), select"))
    if (seen(e) && e.getBoundingClientRect().height < 24) found.push(`too small to hit: ${name(e)}`);

  const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = rgb(getComputedStyle(e).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !seen(e)) continue;
    const style = getComputedStyle(e);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700) ? 3 : 4.5;
    const [dark, bright] = [light(rgb(style.color)), light(behind(e))].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < wanted) found.push(`contrast ${contrast.toFixed(2)}: ${walk.currentNode.data.trim().slice(0, 40)}`);
  }
  return [...new Set(found)];
})()"""


def findings(page: Page) -> list[str]:
    """Say what is not as it should be, on a desk and on a phone, in light and in dark."""
    found: list[str] = []
    for window in (DESK, PHONE):
        for scheme in ("light", "dark"):
            page.size(*window)
            page.prefer(color_scheme=scheme)
            found += [f"{window[0]} px, {scheme}: {finding}" for finding in page.js(_LOOK)]
    return found
