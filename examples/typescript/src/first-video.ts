// One video: ask for it, wait for it, fetch it. No library but node's own.
//
//   SEEDFLEET_URL=https://seedfleet.example.com SEEDFLEET_KEY=sf_live_… npm run first-video -- "a paper boat crosses a puddle"

import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";

interface Job {
  id: string;
  state: string;
  error: { code: string; message: string } | null;
}

/** RFC 9457, with what the gateway adds. */
interface Problem {
  title: string;
  code: string;
  detail?: string;
  retryable: boolean;
  charged: boolean;
  errors?: { pointer: string; code: string; message: string; fix: string }[];
}

const url = needed("SEEDFLEET_URL");
const key = needed("SEEDFLEET_KEY");
const endedBadly = [
  "failed", "expired", "cancelled", "rejected", "not_useful", "given_up", "output_lost", "timed_out",
];

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

/** One request, again for as long as the gateway says that it may succeed later. */
async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  for (let left = 20; ; left--) {
    const answer = await fetch(url + path, {
      ...init,
      // fetch leaves it behind when the gateway points to the bucket.
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", ...init.headers },
      signal: AbortSignal.timeout(60_000),
    });
    if (answer.ok) return answer;
    const problem = (await answer.json()) as Problem;
    if (!problem.retryable || left === 0) {
      throw new Error(`${problem.code}: ${problem.detail ?? problem.title} ${JSON.stringify(problem.errors ?? [])}`);
    }
    await pause(1_000 * Number(answer.headers.get("retry-after") ?? 1));
  }
}

async function video(prompt: string): Promise<string> {
  const body = JSON.stringify({ model: "seedance-2.0", content: [{ type: "text", text: prompt }] });
  let job: Job;
  do {
    // An equal request is the same job: asking again only waits on.
    const answer = await ask("/v1/jobs", { method: "POST", body, headers: { Prefer: "wait=25" } });
    job = (await answer.json()) as Job;
    console.error(`${job.id} is ${job.state}`);
    if (endedBadly.includes(job.state)) throw new Error(`${job.id} ${job.state}: ${job.error?.message ?? ""}`);
  } while (job.state !== "succeeded");
  const path = `${job.id}.mp4`;
  const output = await ask(`/v1/jobs/${job.id}/output`);
  if (!output.body) throw new Error("no video");
  await pipeline(Readable.fromWeb(output.body as never), createWriteStream(path));
  return path;
}

console.log(await video(process.argv[2] ?? "a paper boat crosses a puddle"));
