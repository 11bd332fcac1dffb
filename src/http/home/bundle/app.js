// Puts the parts of the page together.

import * as api from './api.js';
import { byId, el } from './dom.js';
import * as fork from './fork.js';
import * as image from './image.js';
import * as key from './key.js';
import * as live from './live.js';
import * as report from './report.js';
import * as results from './results.js';
import * as tasks from './tasks.js';

let depth = 12;
let isBusy = false;
const manifests = new Map();

function tell(failure) {
  if (key.asks(failure)) return;
  const told = failure instanceof api.Failure ? `${failure.code}${failure.status ? ` · ${failure.status}` : ''}` : 'error in this page';
  byId('alert').replaceChildren(el('p', {}, el('strong', { text: failure.message }), el('code', { text: told })),
    el('button', { type: 'button', class: 'quiet', text: 'Dismiss', onclick: quiet }));
}

function quiet() {
  byId('alert').replaceChildren();
}

/** Runs something that may fail, and tells so. */
const guarded = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (failure) {
    tell(failure);
    return undefined;
  }
};

function check() {
  const lacks = [!image.chosenImage() && 'an image', tasks.chosenTasks().length === 0 && 'a task'].filter(Boolean);
  byId('go').disabled = isBusy || lacks.length > 0;
  byId('hint').textContent = isBusy ? 'Asking …' : lacks.length ? `Choose ${lacks.join(' and ')}` : '';
}

function busy(on) {
  isBusy = on;
  byId('results').setAttribute('aria-busy', String(on));
  check();
}

/** The manifest of the version that answered; another version has another. */
async function manifest({ task, version }) {
  const name = `${task} ${version}`;
  if (!manifests.has(name)) manifests.set(name, (await api.task(task)).manifest);
  return [task, manifests.get(name)];
}

const ask = guarded(async () => {
  quiet();
  busy(true);
  try {
    const answer = await api.classify(image.chosenImage(), tasks.chosenTasks());
    results.draw(answer, show);
    const answered = answer.results.filter(({ error }) => error === undefined);
    fork.draw(answer.runs, new Map(await Promise.all(answered.map(manifest))), depth);
    byId('results').focus({ preventScroll: innerWidth > 900 });
  } finally {
    busy(false);
  }
});

const show = guarded(async (task) => report.open(await api.task(task), depth));

const begin = guarded(async () => {
  quiet();
  manifests.clear();
  const { build, device, precision, backbone, max_tasks: most } = await live.begin();
  depth = backbone.blocks.length;
  byId('about').textContent = `${backbone.name} · ${depth} blocks · ${precision} · ${device} · ${build}`;
  tasks.limit(most);
  await tasks.load();
});

image.listen(check);
tasks.listen(show, check);
// Nothing of what another key showed stays.
key.listen(() => location.reload());
live.listen(tell);
byId('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  if (!byId('go').disabled) ask();
});
check();
begin();
