// Asks tasks by popularity, in an open loop, and writes down what came. Run by k6.
import http from 'k6/http';
import exec from 'k6/execution';

const tasks = Number(__ENV.TASKS);
const image = open(__ENV.IMAGE, 'b');
const isWarming = __ENV.WARM === '1';
// Zipf's law with exponent 1, as sums: the task of rank r is as popular as 1 / r.
const sums = new Float64Array(isWarming ? 0 : tasks);
for (let rank = 0, sum = 0; rank < sums.length; rank++) {
  sum += 1 / (rank + 1);
  sums[rank] = sum;
}

const often = {
  executor: 'constant-arrival-rate', rate: Number(__ENV.RATE), timeUnit: '1s', duration: `${__ENV.SECONDS}s`,
  preAllocatedVUs: 64, maxVUs: 256,
};
const once = { executor: 'shared-iterations', vus: 8, iterations: tasks, maxDuration: '600s' };
export const options = { scenarios: { load: isWarming ? once : often }, summaryTrendStats: ['p(50)', 'p(99)', 'max'] };

function popular() {
  const wanted = Math.random() * sums[tasks - 1];
  let low = 0;
  let high = tasks - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

export default function () {
  const number = isWarming ? exec.scenario.iterationInTest : popular();
  const task = `t${String(number).padStart(6, '0')}`;
  const begun = Date.now();
  const answer = http.post(`${__ENV.URL}/v1/tasks/${task}/classify?top_k=1`, image, {
    headers: { 'content-type': 'application/octet-stream' }, timeout: '30s', tags: { name: 'classify' },
  });
  const label = /"label": ?"([^"]*)"/.exec(answer.body || '');
  const told = [begun, Date.now(), number, answer.status, answer.headers['X-Mimi-Version'] || '0',
    answer.headers['X-Mimi-Pack'] || '-', label ? label[1] : '-'];
  console.log(`ANSWER ${told.join(' ')}${answer.status === 200 ? '' : ` ${answer.error} ${String(answer.body).slice(0, 200)}`}`);
}
