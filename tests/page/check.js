// The page at `/` in a real browser: what a person does with it, and what it must never do.
//
// `node check.js [--screenshots FOLDER]`; SERVER names the binary, CHROMIUM the browser.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { DARK, DESKTOP, NARROW, accessible, drop, fits, launch, open } from './browser.js';
import { ROOT, newKey, packs, remove, start } from './server.js';

const COPIES = 2000;
const at = process.argv.indexOf('--screenshots');
const pictures = at > 0 ? process.argv[at + 1] : undefined;
const car = readFileSync(join(ROOT, 'tests/images/car.png'));

async function shoot(page, name) {
  if (!pictures) return;
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(pictures, `page-${name}.png`), fullPage: true });
}

const texts = (page, selector) => page.locator(selector).allTextContents();

async function choose(page, ...names) {
  for (const name of names) {
    await page.fill('#search', name);
    await page.check(`input[data-task="${name}"]`);
  }
  await page.fill('#search', '');
}

async function classify(page) {
  await page.click('#go');
  await page.waitForFunction(() => document.getElementById('results').getAttribute('aria-busy') === 'false');
}

/** Two thousand tasks are counted, searched and chosen by keyboard, and few are drawn. */
async function manyTasks({ page }) {
  await page.waitForFunction(() => /^2,00\d tasks$/.test(document.getElementById('tasks-count').textContent));
  assert.equal(await page.locator('#tasks li').count(), 50);
  await page.click('#more');
  assert.equal(await page.locator('#tasks li').count(), 100);
  const took = await page.evaluate(() => {
    const search = document.getElementById('search');
    const began = performance.now();
    search.value = 'demo -199';
    search.dispatchEvent(new Event('input'));
    return performance.now() - began;
  });
  assert.ok(took < 100, `a search took ${took} ms`);
  assert.equal(await page.locator('#tasks li').count(), 10);
  assert.match(await page.textContent('#tasks-count'), /^10 of 2,00\d tasks$/);
  await page.focus('#search');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Space');
  assert.deepEqual(await texts(page, '#chosen li'), ['demo-1990']);
  await page.click('#chosen button');
  assert.deepEqual(await texts(page, '#chosen li'), []);
  await page.fill('#search', '');
}

/** An image is dropped, and two tasks are compared. The second time the image's blocks are kept. */
async function compare({ page }) {
  assert.ok(await page.isDisabled('#go'));
  assert.equal(await page.textContent('#hint'), 'Choose an image and a task');
  await drop(page, 'car.png', 'image/png', car);
  await page.waitForSelector('#preview:not([hidden])');
  await choose(page, 'drawings', 'sketches');
  await classify(page);
  assert.deepEqual(await texts(page, '.card h3 button'), ['drawings', 'sketches']);
  const best = page.locator('.card').first().locator('.predictions li').first();
  assert.match(await best.textContent(), /^vehicles\d\d\.\d %$/);
  const width = await best.locator('.fill').evaluate((bar) => parseFloat(bar.style.width));
  assert.ok(Math.abs(width - parseFloat((await best.textContent()).slice(8))) < 0.1, `${width}`);
  assert.match(await page.textContent('#times'), /Decode.*Queue.*Run/);
  assert.match(await page.textContent('#flops'), /Spent[\d.]+\u202fGFLOPs/);
  const adapters = await page.locator('#fork .adapter').count();
  assert.equal(adapters, 6 + 6, 'one mark for each site of both tasks');
  // The first answers may come before the programs that share blocks are compiled.
  for (let tries = 0; tries < 20 && await page.locator('#fork .block.kept').count() === 0; tries += 1) await classify(page);
  assert.equal(await page.locator('#fork .block.kept').count(), 9);
  assert.equal(await page.locator('#fork .block.ran').count(), 6);
  assert.match(await page.getAttribute('#fork svg', 'aria-label'), /drawings: shared blocks 9, kept/);
}

/** A task's report tells its neurons by site, its accuracy and its version. */
async function report({ page }) {
  await page.click('.card h3 button >> nth=0');
  await page.waitForSelector('#report[open]');
  const text = await page.textContent('#report');
  for (const part of ['drawings', 'Version3', 'Neurons144', '94.6 %', 'Blockattnmlp9', '1139']) assert.ok(text.includes(part), part);
  await accessible(page, 'report');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#report[open]', { state: 'hidden' });
}

/** The server's own words are shown when it refuses, and text from a file stays text. */
async function refusal({ page }) {
  await drop(page, '<img src=x>.png', 'image/png', Buffer.from('no image at all'));
  assert.match(await page.textContent('#drop-text'), /^<img src=x>\.png/);
  const answer = page.waitForResponse(/classify/);
  await classify(page);
  const { error, code } = await (await answer).json();
  assert.equal(await page.textContent('#alert strong'), error);
  assert.ok((await page.textContent('#alert code')).startsWith(code));
  await accessible(page, 'refusal');
  await page.click('#alert button');
  assert.equal(await page.textContent('#alert'), '');
}

/** Live figures grow with what was asked. */
async function figures({ page }) {
  await page.waitForFunction(() => /[1-9]\d* since start/.test(document.querySelector('#live .tile').textContent));
  assert.deepEqual(await texts(page, '#live h3'), ['Your rows', 'Your compute', 'Whole server', 'Queue']);
  await page.click('#pause');
  assert.equal(await page.getAttribute('#pause', 'aria-pressed'), 'true');
}

async function desktop(browser, url) {
  const opened = await open(browser, url, DESKTOP);
  for (const step of [manyTasks, compare, report, refusal, figures]) {
    await step(opened);
    console.log(`desktop: ${step.name}`);
  }
  assert.deepEqual(opened.troubles, []);
  await opened.close();
}

/** How the page looks. */
async function looks(browser, url, [name, look]) {
  const { page, troubles, close } = await open(browser, url, look);
  await page.waitForSelector('#tasks li');
  await accessible(page, `${name}, empty`);
  await page.setInputFiles('#file', join(ROOT, 'tests/images/car.png'));
  await choose(page, 'drawings', 'sketches', 'fashion-mnist');
  await classify(page);
  await page.waitForSelector('#live polyline');
  await accessible(page, name);
  await page.click('#fork summary');
  await fits(page, name);
  await page.click('#fork summary');
  await shoot(page, name);
  assert.deepEqual(troubles, []);
  await close();
  console.log(`looks: ${name}`);
}

/** A key is asked for, refused, taken, kept in the session only, and sent in the header only. */
async function keys(browser, adapters) {
  const tenants = join(adapters, 'tenants.toml');
  writeFileSync(tenants, 'version = 1\n[tenants.shop]\ntasks = ["openclipart"]\n');
  const secret = newKey(tenants, 'shop', 'infer,read');
  const server = await start(adapters, ['--tenants', tenants]);
  try {
    const { page, troubles, close } = await open(browser, server.url, NARROW);
    await page.waitForSelector('#key-dialog[open]');
    await accessible(page, 'key');
    await page.fill('#key-text', 'wrong');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('key-why').textContent.includes('not valid'));
    await page.fill('#key-text', secret);
    const sent = page.waitForRequest(/v1\/tasks/);
    await page.keyboard.press('Enter');
    assert.equal((await sent).headers().authorization, `Bearer ${secret}`);
    assert.ok(!(await sent).url().includes(secret));
    await page.waitForSelector('#tasks li');
    assert.deepEqual(await texts(page, '#tasks .name'), ['openclipart']);
    assert.deepEqual(await texts(page, '#live h3'), ['Your rows', 'Your compute', 'Turned away']);
    assert.deepEqual(await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie]), [[secret], 0, '']);
    await page.setInputFiles('#file', join(ROOT, 'tests/images/car.png'));
    await classify(page);
    assert.match(await page.textContent('#times'), /operators only/);
    await page.click('#key');
    await page.click('#key-forget');
    await page.waitForSelector('#key-dialog[open]');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(troubles, []);
    await close();
  } finally {
    await server.stop();
  }
  console.log('keys');
}

const began = Date.now();
const [many, few] = [packs(COPIES), packs(0)];
const browser = await launch();
try {
  const server = await start(many);
  try {
    await desktop(browser, server.url);
    for (const look of [['desktop', DESKTOP], ['dark', DARK], ['narrow', NARROW]]) await looks(browser, server.url, look);
  } finally {
    await server.stop();
  }
  await keys(browser, few);
} finally {
  await browser.close();
  [many, few].forEach(remove);
}
console.log(`page: right in ${((Date.now() - began) / 1000).toFixed(0)} s`);
