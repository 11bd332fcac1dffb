// The list of tasks: all names are fetched once, and searched here; few are drawn at a time.

import * as api from './api.js';
import { byId, el, plural } from './dom.js';

/** Tasks drawn before "Show more". */
const DRAWN = 50;
/** Pages of 1000 tasks that are fetched. */
const PAGES = 50;

const all = [];
let chosen = [];
let most = 8;
let drawn = DRAWN;
let cut = false;
let report = () => {};
let changed = () => {};

export const chosenTasks = () => [...chosen];

const matching = () => {
  const words = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter(({ task }) => words.every((word) => task.includes(word)));
};

function choose(task, on) {
  chosen = on ? [...chosen, task] : chosen.filter((name) => name !== task);
  draw();
  changed();
}

function line({ task, version, failure }) {
  const on = chosen.includes(task);
  const box = el('input', { type: 'checkbox', checked: on, 'data-task': task, disabled: !on && chosen.length >= most });
  box.addEventListener('change', () => {
    choose(task, box.checked);
    document.querySelector(`#tasks input[data-task="${task}"]`)?.focus();
  });
  const told = version === null ? 'not published' : `v${version}`;
  const note = el('span', { class: failure ? 'muted warn' : 'muted', text: failure ? `${told} · v${failure.version} failed` : told });
  const open = { type: 'button', class: 'quiet small', text: 'Report', 'aria-label': `Report of ${task}` };
  return el('li', {}, el('label', {}, box, el('span', { class: 'name', text: task }), note),
    el('button', { ...open, onclick: () => report(task) }));
}

const chip = (task) => el('li', {}, el('button', {
  type: 'button', text: task, title: `Remove ${task}`, 'aria-label': `Remove ${task}`, onclick: () => choose(task, false),
}));

export function draw() {
  const found = matching();
  byId('tasks').replaceChildren(...found.slice(0, drawn).map(line));
  byId('chosen').replaceChildren(...chosen.map(chip));
  const hidden = found.length - Math.min(found.length, drawn);
  byId('more').hidden = hidden === 0;
  byId('more').textContent = `Show ${Math.min(hidden, DRAWN)} more of ${hidden.toLocaleString('en')}`;
  const of = found.length === all.length ? plural(all.length, 'task') : `${found.length.toLocaleString('en')} of ${plural(all.length, 'task')}`;
  byId('tasks-count').textContent = `${of}${cut ? ' (the first)' : ''}`;
}

/** Fetches every name, a page at a time, and draws as they come. */
export async function load() {
  all.length = 0;
  let after;
  for (let count = 0; count < PAGES; count += 1) {
    const { tasks, next } = await api.page(after);
    all.push(...tasks);
    cut = next !== undefined;
    draw();
    if (!next) break;
    after = next;
  }
  const names = new Set(all.map(({ task }) => task));
  chosen = chosen.filter((name) => names.has(name));
  if (chosen.length === 0 && all.length <= 3) chosen = all.filter(({ version }) => version !== null).map(({ task }) => task);
  draw();
  changed();
}

export function limit(count) {
  most = Math.min(8, count);
}

export function listen(onReport, onChange) {
  [report, changed] = [onReport, onChange];
  byId('search').addEventListener('input', () => { drawn = DRAWN; draw(); });
  byId('search').addEventListener('keydown', (event) => {
    if (event.key === 'Enter') event.preventDefault();
    if (event.key === 'ArrowDown' || event.key === 'Enter') document.querySelector('#tasks input')?.focus();
  });
  byId('more').addEventListener('click', () => { drawn += DRAWN; draw(); });
}
