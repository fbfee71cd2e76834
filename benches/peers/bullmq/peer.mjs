// The job as BullMQ does it: one job with steps. The step is kept in the job's data, and while the task is at work
// the job is put back by moveToDelayed (the pattern "process step jobs" of its documentation).
import { open, rename } from 'node:fs/promises';
import { DelayedError, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const NAME = 'films';
const FIRST_READ_MS = 250;
const NEXT_READ_MS = 500;
const BULK = 1000;
const env = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};
const connection = () => new Redis(env('PEER_REDIS_URL'), { maxRetriesPerRequest: null });

async function asked(url, options = {}) {
  const reply = await fetch(url, { ...options, signal: AbortSignal.timeout(30_000) });
  if (!reply.ok) throw new Error(`${reply.status} of ${new URL(url).pathname}`);
  return reply;
}

const authorized = () => ({ authorization: `Bearer ${env('PEER_KEY')}`, 'content-type': 'application/json' });

async function create(request) {
  const reply = await asked(env('PEER_TASKS_URL'), {
    method: 'POST', headers: authorized(), body: JSON.stringify(request),
  });
  return (await reply.json()).id;
}

async function read(task) {
  const reply = await asked(`${env('PEER_TASKS_URL')}/${task}`, { headers: authorized() });
  const seen = await reply.json();
  if (['failed', 'expired', 'cancelled'].includes(seen.status)) throw new Error(`the task is ${seen.status}`);
  return seen.content?.video_url;
}

async function download(task, link) {
  const film = Buffer.from(await (await asked(link)).arrayBuffer());
  const path = `${env('PEER_OUT')}/${task}`;
  const file = await open(`${path}.part`, 'w');
  await file.writeFile(film);
  await file.sync();
  await file.close();
  await rename(`${path}.part`, `${path}.mp4`);
}

async function later(job, token, wait_ms) {
  await job.moveToDelayed(Date.now() + wait_ms, token);
  throw new DelayedError();
}

async function step(job, token) {
  let data = job.data;
  if (data.step === 'create') {
    data = { ...data, step: 'read', task: await create(data.request) };
    await job.updateData(data);
    await later(job, token, FIRST_READ_MS);
  }
  if (data.step === 'read') {
    const link = await read(data.task);
    if (!link) await later(job, token, NEXT_READ_MS);
    data = { ...data, step: 'download', link };
    await job.updateData(data);
  }
  await download(data.task, data.link);
  return data.task;
}

async function enqueue(count) {
  const queue = new Queue(NAME, { connection: connection() });
  await queue.waitUntilReady();
  const opts = { attempts: 5, backoff: { type: 'exponential', delay: 1000 } };
  const form = env('PEER_REQUEST');
  const jobs = Array.from({ length: count }, (_, n) => ({
    name: 'film', opts, data: { step: 'create', request: JSON.parse(form.replaceAll('@n@', n)) },
  }));
  const begun = performance.now();
  for (let first = 0; first < count; first += BULK) await queue.addBulk(jobs.slice(first, first + BULK));
  console.log((performance.now() - begun) / 1000);
  process.exit(0);
}

const [verb, count] = process.argv.slice(2);
if (verb === 'enqueue') await enqueue(Number(count));
else {
  const worker = new Worker(NAME, step, { connection: connection(), concurrency: 64 });
  worker.on('error', (error) => console.error(error));
  worker.on('failed', (_, error) => console.error(error.message));
}
