// The fork: which blocks of the backbone ran once for several tasks, which were kept, and where adapters sit.

import { byId, el, plural, percent, svg } from './dom.js';
import { modules, neurons } from './modules.js';

const BOX = 26;
const LABEL = 18;
const GAP = 14;
const BETWEEN = 6;
const AXIS = 20;
/** Narrower than this nothing can be told apart. */
const LEAST = 100;

/** Rows that share the same first blocks, in the order in which they came. */
function groups(runs) {
  const found = new Map();
  for (const run of runs) {
    const name = run.shared_blocks ? `${run.shared_blocks} ${run.kept} ${run.shared_rows}` : run.task;
    if (!found.has(name)) found.set(name, { cut: run.shared_blocks, kept: run.kept, runs: [] });
    found.get(name).runs.push(run);
  }
  return [...found.values()];
}

/** A drawing under way: its scale, and how far down it has come. */
class Drawing {
  constructor(width, depth, widest) {
    this.depth = depth;
    this.head = 12;
    this.column = (width - this.head - 4) / depth;
    this.width = width;
    this.widest = widest;
    this.y = AXIS;
    this.parts = [];
  }

  x(block) {
    return 1 + block * this.column;
  }

  add(name, attributes, ...children) {
    this.parts.push(svg(name, attributes, ...children));
  }

  axis() {
    const step = Math.max(1, Math.ceil(22 / this.column));
    for (let block = 0; block < this.depth; block += step) {
      this.add('text', { x: this.x(block) + this.column / 2, y: 12, class: 'axis', 'text-anchor': 'middle', text: String(block) });
    }
  }

  label(text, x, anchor) {
    this.y += LABEL;
    this.add('text', { x, y: this.y - 5, class: 'lane', 'text-anchor': anchor, text });
  }

  /** A task's name: left of its lane where there is room, else above it. */
  name(task, cut) {
    const room = this.x(cut) - 28;
    this.y += BETWEEN;
    if (room < 8 * task.length) this.label(task, this.x(cut) + 2, 'start');
    else this.add('text', { x: room, y: this.y + BOX / 2 + 4, class: 'lane', 'text-anchor': 'end', text: task });
  }

  boxes(first, last, kind, found = []) {
    for (let block = first; block < last; block += 1) {
      const own = found.filter((module) => module.block === block);
      const told = own.map(({ place, width }) => `${place} ${width}`).join(', ');
      const title = svg('title', { text: `block ${block}${told ? `: ${told}` : ''}` });
      this.add('rect', { x: this.x(block) + 1, y: this.y, width: this.column - 2, height: BOX, rx: 3, class: `block ${kind}` }, title);
      this.bars(block, own);
    }
  }

  bars(block, own) {
    const room = this.column - 6;
    const width = Math.min(12, room / Math.max(own.length, 1));
    const left = this.x(block) + 3 + (room - width * own.length) / 2;
    own.forEach((module, at) => {
      const height = Math.max(3, (BOX - 6) * Math.sqrt(module.width / this.widest));
      this.add('rect', { x: left + at * width, y: this.y + BOX - 3 - height, width: Math.max(1, width - 1), height, class: 'adapter' });
    });
  }

  end() {
    this.add('circle', { cx: this.x(this.depth) + this.head / 2, cy: this.y + BOX / 2, r: 4, class: 'head' });
  }

  branch(x, top) {
    const middle = this.y + BOX / 2;
    const from = x - Math.min(this.column / 2, 14);
    this.add('path', { d: `M${from} ${top} V${middle - 6} Q${from} ${middle} ${from + 6} ${middle} H${x + 1}`, class: 'wire' });
  }

  drawing(title) {
    const root = svg('svg', { width: this.width, height: this.y, viewBox: `0 0 ${this.width} ${this.y}`, role: 'img', 'aria-label': title });
    root.append(...this.parts);
    return root;
  }
}

function trunk(drawing, { cut, kept, runs }) {
  const what = plural(cut, 'block');
  const told = kept ? `${what} kept from an earlier request` : runs.length > 1 ? `${what} ran once for ${plural(runs.length, 'task')}` : `${what} ran once, to be kept`;
  drawing.label(told, 2, 'start');
  drawing.boxes(0, cut, kept ? 'kept' : 'ran');
  drawing.y += BOX;
}

function group(drawing, given, found) {
  const { cut, runs } = given;
  const top = () => drawing.y;
  if (cut > 0) trunk(drawing, given);
  const from = top();
  for (const { task } of runs) {
    drawing.name(task, cut);
    if (cut > 0) drawing.branch(drawing.x(cut), from);
    drawing.boxes(cut, drawing.depth, 'ran', found.get(task) ?? []);
    drawing.end();
    drawing.y += BOX;
  }
  drawing.y += GAP;
}

const told = ({ shared_blocks: blocks, shared_rows: rows, kept }) => {
  if (!blocks) return 'none: it ran whole';
  return `${blocks}, ${kept ? 'kept' : rows > 1 ? `shared by ${rows}` : 'run alone and kept'}`;
};

function table(runs, found) {
  const heads = ['Task', 'First blocks shared', 'Blocks with adapters', 'Neurons', 'Compute saved'];
  const line = (run) => {
    const own = found.get(run.task) ?? [];
    const blocks = [...new Set(own.map(({ block }) => block ?? 'tokens'))].join(', ') || 'none';
    const cells = [told(run), blocks, neurons(own).toLocaleString('en'), percent(1 - run.flops / (run.whole_flops || 1))];
    return el('tr', {}, el('th', { scope: 'row', text: run.task }), ...cells.map((text) => el('td', { text })));
  };
  return el('details', {}, el('summary', { text: 'The same as a table' }),
    el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Blocks by task' }, el('table', {},
      el('thead', {}, el('tr', {}, ...heads.map((text) => el('th', { scope: 'col', text })))), el('tbody', {}, ...runs.map(line)))));
}

const swatch = (kind, text) => el('li', {}, el('span', { class: `swatch ${kind}`, 'aria-hidden': 'true' }), el('span', { text }));

let shown = () => {};
new ResizeObserver(() => shown()).observe(byId('fork'));

/** Draws how rows ran; `manifests` by task, `depth` blocks. */
export function draw(runs, manifests, depth) {
  const found = new Map(runs.map(({ task }) => [task, modules(manifests.get(task))]));
  const widest = Math.max(1, ...[...found.values()].flat().map(({ width }) => width));
  const picture = el('div', { class: 'picture' });
  const legend = el('ul', { class: 'legend' }, swatch('ran', 'block that ran'), swatch('kept', 'block kept'), swatch('c3', 'adapter, the wider the taller'), swatch('round', 'head'));
  byId('fork').replaceChildren(picture, legend, table(runs, found));
  let width = 0;
  shown = () => {
    // Where nothing is laid out, there is no width to draw in.
    if (picture.clientWidth === width || picture.clientWidth < LEAST || runs.length === 0) return;
    width = picture.clientWidth;
    const drawing = new Drawing(width, depth, widest);
    drawing.axis();
    groups(runs).forEach((given) => group(drawing, given, found));
    const title = `Blocks of the backbone by task. ${runs.map((run) => `${run.task}: shared blocks ${told(run)}`).join('. ')}`;
    picture.replaceChildren(drawing.drawing(title));
  };
  shown();
}
