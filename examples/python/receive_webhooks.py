"""Takes webhooks, believes only what is signed, and prints what became of each job.

    pip install -r requirements.txt
    SEEDFLEET_WEBHOOK_SECRET=whsec_… PORT=8000 python3 receive_webhooks.py
"""

import http.server
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

# Decodes the secret once; a bad one ends the program here and not at the first delivery.
webhook = Webhook(os.environ["SEEDFLEET_WEBHOOK_SECRET"])
BODY_BYTES_MAX = 256 << 10
# Deliveries come at least once. A real receiver keeps the ids where it keeps its own work, in one transaction.
seen = set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            # The bytes as they came: JSON that was read and written again has another signature.
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            print(f"refused: {error}", flush=True)
            return self.answer(400)
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            print(event["type"], event["data"].get("id", ""), flush=True)
        # Quickly, and the work afterwards: what takes longer than 10 seconds comes again.
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
