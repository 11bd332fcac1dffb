// The server's routes, with the key where there is one. Addresses are relative: a gateway may add a prefix.

const KEPT = 'mimi-key';

/** An answer that is an error: its message, code and status. */
export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (text) => sessionStorage.setItem(KEPT, text),
  forget: () => sessionStorage.removeItem(KEPT),
};

async function failure(response) {
  const text = await response.text();
  try {
    const { error, code } = JSON.parse(text);
    return new Failure(response.status, code, error);
  } catch {
    return new Failure(response.status, 'http', text.slice(0, 300) || response.statusText);
  }
}

async function call(path, options = {}) {
  const secret = key.get();
  const headers = secret ? { authorization: `Bearer ${secret}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'same-origin' });
  } catch {
    throw new Failure(0, 'unreachable', 'The server cannot be reached');
  }
  if (!response.ok) throw await failure(response);
  return response;
}

const json = async (path) => (await call(path)).json();

export const ready = () => json('readyz');
export const server = () => json('v1/server');
export const task = (name) => json(`v1/tasks/${encodeURIComponent(name)}`);
export const page = (after) =>
  json(`v1/tasks?limit=1000${after ? `&after=${encodeURIComponent(after)}` : ''}`);

const microseconds = (headers, name) => {
  const text = headers.get(`x-mimi-${name}-us`);
  return text === null ? undefined : Number(text) / 1000;
};

/** What tasks say of an image, with what the answer's headers tell of its times (milliseconds). */
export async function classify(image, tasks) {
  const form = new FormData();
  tasks.forEach((name) => form.append('tasks', name));
  form.append('top_k', '5');
  form.append('image', image);
  const started = performance.now();
  const response = await call('v1/classify?runs=true', { method: 'POST', body: form });
  const { results, runs = [] } = await response.json();
  const took = performance.now() - started;
  const [decode, queue, run] = ['decode', 'queue', 'run'].map((name) => microseconds(response.headers, name));
  return { results, runs, flops: Number(response.headers.get('x-mimi-flops')), times: { decode, queue, run, took } };
}
