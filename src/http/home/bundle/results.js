// What tasks said, side by side, and what it cost.

import { bar, byId, el, measure, milliseconds, percent } from './dom.js';

function prediction({ label, score, value }) {
  const figure = score === undefined ? String(Number(value.toPrecision(5))) : percent(score);
  return el('li', {}, el('span', { class: 'name', text: label, title: label }), el('span', { class: 'figure', text: figure }),
    score === undefined ? undefined : bar(score));
}

function card(result, report) {
  const { task, version, predictions, labels, abstained, error, code } = result;
  const title = el('h3', {}, el('button', { type: 'button', class: 'link', text: task, title: `Report of ${task}`, onclick: () => report(task) }),
    version === undefined ? undefined : el('span', { class: 'muted', text: `v${version}` }));
  if (error) {
    return el('article', { class: 'card failed' }, title, el('p', { text: error }), el('code', { text: code }));
  }
  const notes = [];
  if (abstained) notes.push(el('p', { class: 'note', text: 'Too unsure: the first label is only a guess.' }));
  if (labels) notes.push(el('p', { class: 'note', text: labels.length ? `Applies: ${labels.join(', ')}` : 'No label reaches its threshold.' }));
  return el('article', { class: 'card' }, title, ...notes, el('ol', { class: 'predictions' }, ...predictions.map(prediction)));
}

/** A bar of several parts, with a legend that holds the figures. */
function stacked(title, total, parts) {
  const sum = parts.reduce((sum, { size }) => sum + size, 0) || 1;
  const piece = ({ size, kind }) => {
    const node = el('span', { class: kind });
    node.style.width = `${(100 * size) / sum}%`;
    return node;
  };
  const entry = ({ name, text, kind }) => el('li', {}, el('span', { class: `swatch ${kind}`, 'aria-hidden': 'true' }),
    el('span', { text: name }), el('span', { class: 'figure', text }));
  return [el('h3', {}, el('span', { text: title }), el('span', { class: 'figure', text: total })),
    el('div', { class: 'stack', 'aria-hidden': 'true' }, ...parts.map(piece)), el('ul', { class: 'legend' }, ...parts.map(entry))];
}

function times({ decode, queue, run, took }) {
  const part = (name, size, kind) => ({ name, size, kind, text: milliseconds(size) });
  if (decode === undefined) {
    return [...stacked('Time', milliseconds(took), [part('Request, as this browser saw it', took, 'c4')]),
      el('p', { class: 'muted', text: 'This server tells the times of its phases to operators only.' })];
  }
  const rest = Math.max(0, took - decode - queue - run);
  const parts = [part('Decode', decode, 'c1'), part('Queue', queue, 'c2'), part('Run', run, 'c3'), part('Network and the rest', rest, 'c4')];
  return stacked('Time', milliseconds(took), parts);
}

function flops(spent, runs) {
  const whole = runs.reduce((sum, run) => sum + run.whole_flops, 0);
  const saved = Math.max(0, whole - spent);
  const part = (name, size, kind) => ({ name, size, kind, text: measure(size, 'FLOPs') });
  return [...stacked('Compute', measure(spent, 'FLOPs'), [part('Spent', spent, 'c3'), part('Saved by sharing blocks', saved, 'c0')]),
    el('p', { class: 'muted', text: whole ? `${percent(saved / whole)} of what the tasks would cost one by one was saved.` : '' })];
}

export function draw({ results, runs, flops: spent, times: took }, report) {
  byId('empty').hidden = true;
  byId('cards').replaceChildren(...results.map((result) => card(result, report)));
  byId('how').hidden = false;
  byId('times').replaceChildren(...times(took));
  byId('flops').replaceChildren(...flops(spent, runs));
}
