"""The job as Celery does it: a chain of three tasks; a read that finds the task at work retries itself later.

As its documentation has it: acknowledged late, given back when a worker is lost, one prefetched, calls retried with a
growing pause; states and results are kept in Redis for a day, its default.
"""

import json
import os
import sys
import threading
import time

import requests
from celery import Celery, Task, chain

FIRST_READ_S = 0.25
NEXT_READ_S = 0.5

app = Celery("peer", broker=os.environ["PEER_REDIS_URL"], backend=os.environ["PEER_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_serializer="json",
    redis_max_connections=256,
    broker_pool_limit=64,
)

RETRIED = {
    "autoretry_for": (requests.RequestException,),
    "max_retries": 5,
    "retry_backoff": True,
}
own = threading.local()


def http():
    """One session for each thread, as `requests` wants it."""
    if not hasattr(own, "session"):
        own.session = requests.Session()
        own.session.trust_env = False
    return own.session


def asked(method, url, **more):
    reply = http().request(method, url, timeout=30, **more)
    reply.raise_for_status()
    return reply


def authorized():
    return {"authorization": "Bearer " + os.environ["PEER_KEY"]}


@app.task(name="create", **RETRIED)
def create(request):
    reply = asked("POST", os.environ["PEER_TASKS_URL"], json=request, headers=authorized())
    return reply.json()["id"]


@app.task(name="read", bind=True, **RETRIED)
def read(self: Task, task):
    url = os.environ["PEER_TASKS_URL"] + "/" + task
    seen = asked("GET", url, headers=authorized()).json()
    if seen["status"] in ("failed", "expired", "cancelled"):
        raise ValueError("the task is " + seen["status"])
    link = seen.get("content", {}).get("video_url")
    if not link:
        raise self.retry(countdown=NEXT_READ_S, max_retries=1000)
    return [task, link]


@app.task(name="download", **RETRIED)
def download(told):
    task, link = told
    film = asked("GET", link).content
    path = os.path.join(os.environ["PEER_OUT"], task)
    with open(path + ".part", "wb") as file:
        file.write(film)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".part", path + ".mp4")
    return task


def enqueue(count):
    form = os.environ["PEER_REQUEST"]
    wishes = [json.loads(form.replace("@n@", str(n))) for n in range(count)]
    begun = time.perf_counter()
    for wish in wishes:
        chain(create.s(wish), read.s().set(countdown=FIRST_READ_S), download.s()).apply_async()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    enqueue(int(sys.argv[2]))
