// A server over the shipped packs, for as long as a check needs it.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT = process.cwd();
const BINARY = resolve(ROOT, process.env.SERVER ?? 'target/release/server');
const PATIENCE = 120_000;

const freePort = () => new Promise((done) => {
  const listener = createServer().listen(0, '127.0.0.1', () => {
    const { port } = listener.address();
    listener.close(() => done(port));
  });
});

/** A folder with the shipped packs, two tasks with adapters, and `copies` more with the files of a shipped one. */
export function packs(copies) {
  const folder = mkdtempSync(join(tmpdir(), 'page-packs-'));
  const shipped = join(ROOT, 'adapters');
  for (const name of readdirSync(shipped)) {
    if (statSync(join(shipped, name)).isDirectory() && name !== '__pycache__') {
      cpSync(join(shipped, name), join(folder, name), { recursive: true });
    }
  }
  for (const name of ['drawings', 'sketches']) {
    cpSync(join(ROOT, 'tests/packs/drawings'), join(folder, name), { recursive: true });
  }
  const [version] = readdirSync(join(shipped, 'fashion-mnist'));
  for (let number = 1; number <= copies; number += 1) {
    const name = join(folder, `demo-${String(number).padStart(4, '0')}`);
    mkdirSync(name);
    cpSync(join(shipped, 'fashion-mnist', version), join(name, '1'), { recursive: true });
  }
  return folder;
}

/** A new key in a file of tenants. */
export function newKey(tenants, tenant, scopes) {
  const given = ['keys', 'new', '--tenant', tenant, '--scopes', scopes, '--id', tenant];
  const made = spawnSync(BINARY, given, { env: { ...process.env, MIMI_TENANTS: tenants }, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`keys new: ${made.stderr}`);
  return made.stdout.trim();
}

/** Starts a server; gives its address and how to end it. */
export async function start(adapters, more = []) {
  const port = await freePort();
  const given = ['serve', '--adapters', adapters, '--port', String(port), '--log', 'warn', ...more];
  const env = { ...process.env, MIMI_STATE: 'none' };
  const child = spawn(BINARY, given, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const url = `http://127.0.0.1:${port}/`;
  const ended = new Promise((done) => { child.once('exit', done); child.once('error', done); });
  const began = Date.now();
  for (;;) {
    const ready = await fetch(`${url}readyz`).then((answer) => answer.ok, () => false);
    if (ready) break;
    if (child.exitCode !== null || Date.now() - began > PATIENCE) {
      child.kill('SIGKILL');
      throw new Error(`the server did not start: exit ${child.exitCode}`);
    }
    await Promise.race([ended, new Promise((done) => { setTimeout(done, 100); })]);
  }
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  return { url, stop };
}

export const remove = (folder) => rmSync(folder, { recursive: true, force: true });
