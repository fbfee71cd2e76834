"""One video with the standard library alone: ask for it, wait for it, fetch it.

    SEEDFLEET_URL=https://seedfleet.example.com SEEDFLEET_KEY=sf_live_… python3 first_video.py "a paper boat crosses a puddle"
"""

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request

URL = os.environ["SEEDFLEET_URL"]
KEY = os.environ["SEEDFLEET_KEY"]
ENDED_BADLY = {"failed", "expired", "cancelled", "rejected", "not_useful", "given_up", "output_lost", "timed_out"}


class Problem(Exception):
    """What the gateway said is wrong: RFC 9457, with `code`, `retryable` and `charged`."""

    def __init__(self, told, wait_s):
        super().__init__(f"{told.get('code')}: {told.get('title')} {told.get('detail', '')} {told.get('errors', '')}")
        self.told, self.wait_s = told, wait_s


def ask(method, path, body=None, headers=None):
    """One request; the open answer."""
    request = urllib.request.Request(URL + path, None if body is None else json.dumps(body).encode(), method=method)
    # Not sent on when the gateway points to the bucket.
    request.add_unredirected_header("Authorization", f"Bearer {KEY}")
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        request.add_header(name, value)
    try:
        return urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        try:
            told = json.load(error)
        except ValueError:
            told = {"title": f"HTTP {error.code}", "retryable": error.code in (429, 502, 503, 504)}
        raise Problem(told, float(error.headers.get("Retry-After", 1))) from None


def patiently(*arguments):
    """The same, again for as long as the gateway says that it may succeed later."""
    for _ in range(20):
        try:
            return ask(*arguments)
        except Problem as problem:
            if not problem.told.get("retryable"):
                raise
            time.sleep(problem.wait_s)
        except urllib.error.URLError:
            time.sleep(1)
    return ask(*arguments)


def video(prompt):
    """The path of the video that a prompt became."""
    request = {"model": "seedance-2.0", "content": [{"type": "text", "text": prompt}]}
    while True:
        # An equal request is the same job: asking again only waits on.
        with patiently("POST", "/v1/jobs", request, {"Prefer": "wait=25"}) as answer:
            job = json.load(answer)
        print(job["id"], "is", job["state"], file=sys.stderr)
        if job["state"] in ENDED_BADLY:
            raise SystemExit(f"{job['id']} {job['state']}: {job['error'] or ''}")
        if job["state"] == "succeeded":
            break
    path = f"{job['id']}.mp4"
    with patiently("GET", f"/v1/jobs/{job['id']}/output") as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
    return path


if __name__ == "__main__":
    print(video(sys.argv[1] if len(sys.argv) > 1 else "a paper boat crosses a puddle"))
