// Takes webhooks, believes only what is signed, and prints what became of each job.
//
//   SEEDFLEET_WEBHOOK_SECRET=whsec_… PORT=8000 npm run receive-webhooks

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

interface Event {
  type: string;
  data: { id?: string };
}

const secret = process.env.SEEDFLEET_WEBHOOK_SECRET;
if (!secret) throw new Error("set SEEDFLEET_WEBHOOK_SECRET");
const webhook = new Webhook(secret);
const bodyBytesMax = 256 << 10;
// Deliveries come at least once. A real receiver keeps the ids where it keeps its own work, in one transaction.
const seen = new Set<string>();

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bodyBytesMax) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await bodyOf(request);
  if (!body) return void response.writeHead(413).end();
  const headers = request.headers as Record<string, string>;
  let event: Event;
  try {
    // The bytes as they came: JSON that was read and written again has another signature.
    event = webhook.verify(body.toString("utf8"), headers) as Event;
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log(`refused: ${error.message}`);
    return void response.writeHead(400).end();
  }
  const id = headers["webhook-id"] ?? "";
  if (!seen.has(id)) {
    seen.add(id);
    console.log(event.type, event.data.id ?? "");
  }
  // Quickly, and the work afterwards: what takes longer than 10 seconds comes again.
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  receive(request, response).catch((error: unknown) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
  const address = server.address();
  console.log(`listening on ${typeof address === "object" && address ? address.port : ""}`);
});
