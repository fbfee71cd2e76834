"""What every bucket must do, asked of servers that are not ours: the same assertions for each of them.

The tests are those of the bucket room (`crates/assets/tests`: create-if-absent, copies in parts, copies without a
manifest, ranges, damage, intents, records) and a whole fleet whose downloads break and whose downloaders die
(`tests/it/bucket_live.rs`). By default they run against a server of our own; the environment names another.
"""

import contextlib
import json
import os
import subprocess
import time

# Each of these must have run.
TESTS = ["conformance::remote::", "intents::remote::", "records::each_text_of_a_record", "bucket_live::"]
PATIENCE_S = 60
TAIL_CHARS = 4_000
KEY_ID, SECRET = "AKIDOFANOTHERSERVER", "not-a-secret-of-another-server"


@contextlib.contextmanager
def server(command, folder, ready, **environment):
    """A running server that is ready, in a folder of its own."""
    with open(folder / "server.log", "w+") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{command[0]} is not ready: {log.read()[-TAIL_CHARS:]}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def secret(folder, name, text):
    (folder / name).write_text(text)
    return str(folder / name)


def s3(folder, address, bucket):
    """Section `store` for a server of S3."""
    keys = {"access_key_id_file": secret(folder, "key-id", KEY_ID), "secret_access_key_file": secret(folder, "secret", SECRET)}
    return {"url": f"s3://{bucket}", "s3": {"endpoint": address, "region": "us-east-1", "allow_http": True, **keys}}


def judged(name, store, objects):
    """Runs every test against the bucket; `objects` counts what lies in it."""
    # The workspace's own feature set, so that nothing is compiled again.
    suite = ["cargo", "test", "--workspace", "--test", "it", "--", *TESTS]
    environment = {**os.environ, "SEEDFLEET_TEST_STORE": json.dumps(store)}
    done = subprocess.run(suite, env=environment, stdout=subprocess.PIPE, text=True)
    ended = [line.split() for line in done.stdout.splitlines() if line.startswith("test ") and " ... " in line]
    passed = [words[1] for words in ended if words[-1] == "ok"]
    missing = [test for test in TESTS if not any(one.startswith(test) for one in passed)]
    if done.returncode != 0 or missing:
        raise SystemExit(f"{done.stdout}\n{name}: cargo ended with {done.returncode}; nothing passed of {missing}")
    left = objects()
    if left == 0:
        raise SystemExit("the tests passed without leaving anything in the bucket: they went elsewhere")
    print(f"{name}: {len(passed)} tests passed, {left} objects in its bucket", flush=True)
