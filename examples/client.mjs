#!/usr/bin/env node
// Classifies images under one task of a running server. Node 18 or newer, no packages.
//
//     node examples/client.mjs --task openclipart picture.png another.jpg
//
// Requests that the server answers with 429 or 503 are sent again after the seconds that its Retry-After header names.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const TRIES = 5;

/** The answer for one image; throws an Error with the server's own words when there is none. */
async function classify(server, task, image, topK) {
  const url = `${server}/v1/tasks/${encodeURIComponent(task)}/classify?top_k=${topK}`;
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url, { method: "POST", body: image, signal: AbortSignal.timeout(60_000) });
    if (answer.ok) return answer.json();
    const wait = answer.headers.get("retry-after") ?? "";
    if (!/^\d+$/.test(wait) || attempt === TRIES) throw new Error(await reason(answer));
    await answer.arrayBuffer();
    await sleep(1000 * Number(wait));
  }
}

/** The server's words, or those of a proxy before it. */
async function reason(answer) {
  const said = await answer.json().catch(() => null);
  return said?.code ? `${said.code}: ${said.error}` : `${answer.status} ${answer.statusText}`;
}

const options = { task: { type: "string" }, server: { type: "string" }, "top-k": { type: "string" } };
const { values, positionals: images } = parseArgs({ options, allowPositionals: true });
const { task, server = "http://127.0.0.1:8080", "top-k": topK = "1" } = values;
if (!task || images.length === 0) {
  console.error("usage: node examples/client.mjs --task TASK [--server URL] [--top-k K] IMAGE...");
  process.exit(2);
}
for (const path of images) {
  try {
    const { predictions } = await classify(server, task, await readFile(path), topK);
    const best = predictions.map(({ label, score, value }) => `${label} (${(score ?? value).toFixed(3)})`);
    console.log(`${path}: ${best.join(", ")}`);
  } catch (error) {
    console.error(`${path}: ${error.cause?.message ?? error.message}`);
    process.exit(1);
  }
}
