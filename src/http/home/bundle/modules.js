// Where a task's adapters sit and how wide they are, out of its manifest.

const PLACE = /^blocks\.(\d+)\.(.+)$/;
const ORDER = ['tokens', 'norm1', 'q', 'k', 'v', 'proj', 'attn', 'norm2', 'fc1', 'fc2', 'mlp', 'out'];

const rank = (place) => {
  const at = ORDER.indexOf(place.split('.')[0]);
  return at < 0 ? ORDER.length : at;
};

/** Modules of a manifest: `{block, place, width}`, by block; those before all blocks have none. */
export function modules(manifest) {
  const all = { ...manifest?.adapter_widths, ...manifest?.modules };
  const found = Object.entries(all).map(([name, width]) => {
    const [, block, place] = PLACE.exec(name) ?? [name, undefined, name];
    return { block: block === undefined ? undefined : Number(block), place, width: Number(width) };
  });
  return found.sort((a, b) => (a.block ?? -1) - (b.block ?? -1) || rank(a.place) - rank(b.place) || a.place.localeCompare(b.place));
}

/** The places that occur, in the order in which a block comes to them. */
export const places = (found) => [...new Set(found.map(({ place }) => place))].sort((a, b) => rank(a) - rank(b));

export const neurons = (found) => found.reduce((sum, { width }) => sum + width, 0);
