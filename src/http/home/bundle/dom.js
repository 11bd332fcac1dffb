// Elements and figures. Text is always set as text, never parsed as markup.

/** Narrow, and never a line's end. */
const SPACE = '\u202f';
const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'text') node.textContent = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

/** An element with attributes, listeners (`onclick`), text and children. */
export const el = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

/** The same for drawings. */
export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const UNITS = [[1e18, 'E'], [1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** A figure with three digits and a prefix: 45.3 G. */
export function short(number) {
  const [size, prefix] = UNITS.find(([size]) => number >= size) ?? [1, ''];
  const value = number / size;
  const digits = value >= 100 || (size === 1 && Number.isInteger(value)) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${prefix && SPACE + prefix}`;
}

/** A figure and its unit, which takes the prefix: 45.3, GFLOPs. */
export function split(number, unit) {
  const [figure, prefix = ''] = short(number).split(SPACE);
  return [figure, prefix + unit];
}

/** A figure with its unit: 45.3 GFLOPs. */
export const measure = (number, unit) => split(number, unit).join(SPACE);

export const milliseconds = (ms) =>
  ms >= 1000 ? `${(ms / 1000).toFixed(ms >= 10000 ? 1 : 2)} s` : ms >= 100 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;

export const percent = (part) => `${(100 * part).toFixed(1)} %`;

export const plural = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

/** A bar that says nothing to screen readers: the figure stands beside it. */
export function bar(part, kind = '') {
  const inner = el('span', { class: `fill ${kind}` });
  inner.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`;
  return el('span', { class: 'bar', 'aria-hidden': 'true' }, inner);
}
