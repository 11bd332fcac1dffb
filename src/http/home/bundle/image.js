// The image: dropped, pasted or chosen.

import { byId, measure } from './dom.js';

let image;
let address;

export const chosenImage = () => image;

function show(file, changed) {
  image = file;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  const preview = byId('preview');
  preview.src = address;
  preview.alt = `Chosen image ${file.name ?? ''}`;
  preview.hidden = false;
  byId('drop').classList.add('full');
  byId('drop-text').textContent = `${file.name || 'pasted image'} · ${measure(file.size, 'B')}`;
  changed();
}

const first = (files) => [...(files ?? [])][0];

/** Listens for images; calls `changed` on each. */
export function listen(changed) {
  const drop = byId('drop');
  const mark = (on) => (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes('Files')) return;
    event.preventDefault();
    drop.classList.toggle('over', on);
  };
  // Formats that a browser does not draw are sent all the same: the server decides.
  byId('preview').addEventListener('error', () => { byId('preview').hidden = true; });
  byId('file').addEventListener('change', (event) => {
    const file = first(event.target.files);
    if (file) show(file, changed);
  });
  addEventListener('dragover', mark(true));
  addEventListener('dragleave', mark(false));
  addEventListener('drop', (event) => {
    mark(false)(event);
    const file = first(event.dataTransfer?.files);
    if (file) show(file, changed);
  });
  addEventListener('paste', (event) => {
    const file = first(event.clipboardData?.files);
    if (file) show(file, changed);
  });
}
