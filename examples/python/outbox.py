"""Jobs out of a database transaction, each exactly once, however often this program is killed.

The order and the wish for its video are one transaction: there is never one without the other. Whoever sends the wish
names it by the key that was written down with it, so sending it twice is sending it once: the gateway keeps
`Idempotency-Key` for as long as the job.

    SEEDFLEET_URL=… SEEDFLEET_KEY=… python3 outbox.py orders.db order "a paper boat crosses a puddle"
    SEEDFLEET_URL=… SEEDFLEET_KEY=… python3 outbox.py orders.db send
"""

import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
import uuid

SCHEMA = """
create table if not exists orders (id integer primary key, prompt text not null);
create table if not exists outbox (
    key text primary key,                           -- the Idempotency-Key: made once, sent any number of times
    order_id integer not null references orders,
    body text not null,                             -- byte for byte: another body under this key is refused
    job text,                                       -- null until the gateway has answered
    problem text                                    -- why there will be no job
);
"""


def open_database(path):
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    return database


def place_order(database, prompt):
    """The business of this program, and what it wants of seedfleet, in one transaction."""
    body = json.dumps({"model": "seedance-2.0", "content": [{"type": "text", "text": prompt}]})
    with database:
        order = database.execute("insert into orders (prompt) values (?)", (prompt,)).lastrowid
        key = f"order-{order}-{uuid.uuid4()}"
        database.execute("insert into outbox (key, order_id, body) values (?, ?, ?)", (key, order, body))
    return order


def send_all(database):
    """Sends what has no answer yet. Killed anywhere in here, the next run goes on."""
    waiting = "select key, body from outbox where job is null and problem is null order by order_id"
    for key, body in database.execute(waiting).fetchall():
        job, problem = post(key, body)
        with database:
            database.execute("update outbox set job = ?, problem = ? where key = ?", (job, problem, key))
        print(key, job or problem, flush=True)


def post(key, body):
    """The job of a wish, or why it has none. Raises when that is not known yet."""
    request = urllib.request.Request(os.environ["SEEDFLEET_URL"] + "/v1/jobs", body.encode(), method="POST")
    request.add_header("Authorization", f"Bearer {os.environ['SEEDFLEET_KEY']}")
    request.add_header("Content-Type", "application/json")
    request.add_header("Idempotency-Key", key)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["id"], None
    except urllib.error.HTTPError as error:
        told = json.load(error)
        if told["retryable"] or error.code in (401, 403):
            raise  # later, or when somebody has mended the key: the wish stays
        return None, f"{told['code']}: {told.get('detail', told['title'])}"


if __name__ == "__main__":
    database = open_database(sys.argv[1])
    match sys.argv[2:]:
        case ["order", prompt]:
            print("order", place_order(database, prompt), flush=True)
            send_all(database)
        case ["send"]:
            send_all(database)
        case _:
            sys.exit(__doc__)
