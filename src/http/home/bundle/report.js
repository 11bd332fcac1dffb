// A task's report: what survived of its adapters, its accuracy and its versions.

import { bar, byId, el, percent, plural, short } from './dom.js';
import { modules, neurons, places } from './modules.js';

const facts = (pairs) => el('dl', {}, ...pairs.filter(([, text]) => text !== undefined && text !== '')
  .map(([name, text]) => el('div', {}, el('dt', { text: name }), el('dd', { text: String(text) }))));

const head = (names) => el('thead', {}, el('tr', {}, ...names.map((text) => el('th', { scope: 'col', text }))));

const scroll = (label, table) => el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, table);

/** Width by block and place; deeper colour is wider. */
function widths(found, depth) {
  const columns = places(found.filter(({ block }) => block !== undefined));
  if (columns.length === 0) return el('p', { class: 'muted', text: 'The task is a head alone: no block has an adapter.' });
  const widest = Math.max(...found.map(({ width }) => width));
  const cell = (block, place) => {
    const module = found.find((module) => module.block === block && module.place === place);
    return module ? el('td', {}, el('span', { class: 'figure', text: String(module.width) }), bar(module.width / widest)) : el('td', { class: 'none', text: '–' });
  };
  const first = Math.min(...found.map(({ block }) => block ?? depth));
  const lines = Array.from({ length: depth - first }, (_, at) => first + at).map((block) =>
    el('tr', {}, el('th', { scope: 'row', text: String(block) }), ...columns.map((place) => cell(block, place))));
  const frozen = first > 0 ? el('p', { class: 'muted', text: `${plural(first, 'block')} before them ${first === 1 ? 'is' : 'are'} the frozen backbone's.` }) : undefined;
  return el('div', {}, scroll('Neurons by site', el('table', { class: 'widths' }, head(['Block', ...columns]), el('tbody', {}, ...lines))), frozen);
}

function cycles(list) {
  const line = ({ cycle, neurons: count, parameters, flops, validation_accuracy: accuracy }) => el('tr', {}, el('th', { scope: 'row', text: String(cycle) }),
    el('td', { text: count?.toLocaleString('en') ?? '' }), el('td', { text: parameters ? short(parameters) : '' }),
    el('td', { text: flops ? short(flops) : '' }), el('td', {}, el('span', { class: 'figure', text: accuracy === undefined ? '' : percent(accuracy) }), bar(accuracy ?? 0)));
  return scroll('Pruning', el('table', { class: 'widths' }, head(['Cycle', 'Neurons', 'Parameters', 'FLOPs', 'Accuracy, held out']), el('tbody', {}, ...list.map(line))));
}

function notes({ warning, failure, kept, rewritten, base_unverified: unverified }) {
  const told = [warning, kept, rewritten, unverified && 'Nothing proves that the backbone is the one the task was trained on.',
    failure && `Version ${failure.version} is ${failure.state}: ${failure.reason}. It is tried again ${failure.retried}.`];
  return told.filter(Boolean).map((text) => el('p', { class: 'note', text }));
}

function body(details, depth) {
  const { manifest, version } = details;
  if (!manifest) return [facts([['Version', version ?? 'none published']]), ...notes(details)];
  const { provenance = {}, labels = [], precision } = manifest;
  const found = modules(manifest);
  const accuracy = provenance.validation_accuracy;
  const list = Array.isArray(provenance.details?.cycles) ? provenance.details.cycles : [];
  return [
    facts([['Version', version], ['Accuracy, held out', typeof accuracy === 'number' ? percent(accuracy) : 'not recorded'], ['Neurons', neurons(found).toLocaleString('en')],
      ['Sites', found.length], ['Classes', labels.length], ['Method', provenance.method],
      ['Trained at', precision], ['Served at', details.served_precision], ['Training images', provenance.train_images?.toLocaleString('en')],
      ['Held-out images', provenance.validation_images?.toLocaleString('en')], ['Data', provenance.dataset]]),
    ...notes(details),
    el('h3', { text: 'Surviving neurons by site' }), widths(found, depth),
    ...(list.length ? [el('h3', { text: 'Pruning' }), cycles(list)] : []),
    el('details', {}, el('summary', { text: plural(labels.length, 'label') }), el('p', { class: 'labels', text: labels.join(', ') })),
  ];
}

/** Opens the report of a task. */
export function open(details, depth) {
  const dialog = byId('report');
  const close = el('button', { type: 'button', class: 'quiet', text: 'Close', onclick: () => dialog.close() });
  dialog.replaceChildren(el('div', { class: 'row' }, el('h2', { id: 'report-title', text: details.task }), close), ...body(details, depth));
  dialog.showModal();
  dialog.scrollTop = 0;
}

byId('report').addEventListener('click', (event) => {
  if (event.target === byId('report')) byId('report').close();
});
