// Live figures: what this caller used, and what waits where the server tells.

import * as api from './api.js';
import { byId, el, measure, milliseconds, short, split, svg } from './dom.js';

const EVERY = 3000;
const KEPT = 40;

let before;
let rates = [];
let isPaused = false;
let failed = () => {};

/** How much more a second, between two looks. */
const rate = (now, then, seconds) => Math.max(0, now - then) / seconds;

function spark(values) {
  const most = Math.max(...values, 1e-9);
  const x = (at) => (at / (KEPT - 1)) * 120;
  const from = KEPT - values.length;
  const points = values.map((value, at) => `${x(from + at).toFixed(1)},${(27 - 24 * (value / most)).toFixed(1)}`).join(' ');
  return svg('svg', { viewBox: '0 0 120 30', class: 'spark', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('polyline', { points }));
}

const tile = (name, [figure, unit], note, values) => el('div', { class: 'tile' }, el('h3', { text: name }),
  el('p', { class: 'big' }, el('span', { text: figure }), el('small', { text: unit })),
  el('p', { class: 'muted', text: note }), values ? spark(values) : undefined);

function draw({ used, load }, now) {
  const last = rates.at(-1) ?? { rows: 0, flops: 0, all: 0 };
  const history = (name) => rates.map((rate) => rate[name]);
  const tiles = [
    tile('Your rows', [short(last.rows), 'a second'], `${used.rows.toLocaleString('en')} since start`, history('rows')),
    tile('Your compute', split(last.flops, 'FLOPs a second'), `${measure(used.flops, 'FLOPs')} since start`, history('flops')),
  ];
  if (load) {
    const full = load.batches ? (load.rows / load.batches).toFixed(2) : '0';
    tiles.push(tile('Whole server', [short(last.all), 'rows a second'], `${full} rows a batch`, history('all')));
    tiles.push(tile('Queue', [String(load.waiting_rows), load.waiting_rows === 1 ? 'row waits' : 'rows wait'], `${milliseconds(1000 * load.backlog_seconds)} of work`, history('waiting')));
  } else {
    tiles.push(tile('Turned away', [used.refused.toLocaleString('en'), used.refused === 1 ? 'request' : 'requests'], 'of yours, since start'));
  }
  byId('live').replaceChildren(...tiles);
  before = now;
}

async function look() {
  const told = await api.server();
  const now = { at: performance.now(), rows: told.used.rows, flops: told.used.flops, all: told.load?.rows ?? 0 };
  if (before) {
    const seconds = (now.at - before.at) / 1000;
    const [rows, flops, all] = ['rows', 'flops', 'all'].map((name) => rate(now[name], before[name], seconds));
    rates = [...rates, { rows, flops, all, waiting: told.load?.waiting_rows ?? 0 }].slice(-KEPT);
  }
  draw(told, now);
  return told;
}

/** Forgets what another key saw, and looks once. */
export async function begin() {
  [before, rates] = [undefined, []];
  return look();
}

function set(pause) {
  isPaused = pause;
  byId('pause').setAttribute('aria-pressed', String(pause));
  byId('pause').textContent = pause ? 'Resume' : 'Pause';
}

/** Looks every few seconds, while the tab is seen. A failure ends it until somebody resumes. */
export function listen(onFailure) {
  failed = onFailure;
  byId('pause').addEventListener('click', () => set(!isPaused));
  setInterval(async () => {
    if (isPaused || document.hidden || !before) return;
    try {
      await look();
    } catch (failure) {
      set(true);
      failed(failure);
    }
  }, EVERY);
}
