// The key: asked for where the server wants one, kept in this tab's session only.

import { key } from './api.js';
import { byId } from './dom.js';

let again = () => {};

/** Whether a failure is one that a key mends; then it is asked for. */
export function asks(failure) {
  if (failure.status !== 401) return false;
  open(key.get() ? 'This key is not valid.' : 'This server asks who you are.');
  return true;
}

function open(why) {
  const dialog = byId('key-dialog');
  byId('key-why').textContent = why;
  byId('key-forget').hidden = !key.get();
  byId('key').hidden = false;
  if (!dialog.open) dialog.showModal();
  byId('key-text').focus();
}

function use(text) {
  if (text) key.set(text);
  else key.forget();
  byId('key-text').value = '';
  byId('key-dialog').close();
  again();
}

/** Listens; `changed` is called when there is another key. */
export function listen(changed) {
  again = changed;
  byId('key').addEventListener('click', () => open('Use another key, or forget this one.'));
  byId('key-cancel').addEventListener('click', () => byId('key-dialog').close());
  byId('key-forget').addEventListener('click', () => use(''));
  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    use(byId('key-text').value.trim());
  });
  byId('key').hidden = !key.get();
}
