// Debian's Chromium, and what every page of it is watched for.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

// A busy machine takes its time.
const PATIENCE = 90_000;

export const DESKTOP = { viewport: { width: 1280, height: 900 }, colorScheme: 'light' };
export const DARK = { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' };
export const NARROW = { viewport: { width: 360, height: 780 }, colorScheme: 'light' };

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS,
});

/** A page of a browser without a past. `troubles` gathers what a page must not do. */
export async function open(browser, url, look) {
  const context = await browser.newContext({ ...look, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const troubles = [];
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'blob:' && `${origin}/` !== url) troubles.push(`asked elsewhere: ${request.url()}`);
  });
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('console', (message) => {
    // The browser itself notes statuses such as 401, which the page tells in words.
    const isStatus = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isStatus) troubles.push(message.text());
  });
  await page.goto(url);
  return { page, troubles, close: () => context.close() };
}

/** No serious finding of axe-core in the page as it stands. */
export async function accessible(page, what) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => (await globalThis.axe.run(document)).violations);
  const told = found.map(({ impact, id, help, nodes }) => `${impact} ${id}: ${help}: ${nodes.map(({ html }) => html).join(' ').slice(0, 300)}`);
  told.forEach((line) => console.log(`axe, ${what}: ${line}`));
  const serious = found.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.equal(serious.length, 0, `${what}: ${told.join('\n')}`);
}

/** Nothing is wider than the window. */
export async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${what}: ${over} pixels too wide`);
}

/** Drops a file on the page as a person does. */
export async function drop(page, name, type, bytes) {
  const transfer = await page.evaluateHandle(([name, type, text]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
    return transfer;
  }, [name, type, bytes.toString('base64')]);
  for (const event of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent('#drop', event, { dataTransfer: transfer });
}
