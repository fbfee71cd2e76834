"""The image is really built, by buildah, and its programs run in it.

The base is made here, of glibc and libgcc and nothing else: more the programs must not need. The last stage of
`deploy/docker/Dockerfile` is built on it around the programs that are built already; with SEEDFLEET_TEST_RUST_IMAGE all stages are, which takes as long as a
release build and needs a registry of crates. It names an image with Rust (docker.io/library/rust:1.95-bookworm), or is
`local`: then one is made here, of Debian's packages (debootstrap) and this machine's own Rust, and no registry of images is
needed.
In the image every program answers, `seedfleet` with its version, and the gateway serves its health pages and ends when asked to. In a layer
above, which adds a shell and a Redis because the image has neither, the demo runs: real jobs, audited to the last byte.

Not part of `.ci/run`. Needs buildah (Debian: buildah), strip (Debian: binutils), and the right to mount: root, or user
namespaces. Images and containers go into a folder of their own, which is removed. Environment: SEEDFLEET_BIN_DIR holds the
built programs, SEEDFLEET_REDIS_SERVER is a server program.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from kit import buckets, ports

DEPLOY = pathlib.Path("deploy/docker")
BIN = pathlib.Path(os.environ.get("SEEDFLEET_BIN_DIR", "target/debug")).resolve()
PROGRAMS = ["gateway", "submitter", "poller", "downloader", "notifier", "simulator"]
# What may be linked, beside what the kernel brings.
GLIBC = r"ld-linux[\w.-]*|lib(c|m|dl|rt|pthread|resolv|gcc_s)\.so\.\d+"
USER = "65532:65532"
JOBS = 8
# Without namespaces, buildah now and then loses what a program says in its last moment.
TRIES = 5
PATIENCE_S = 60
BASE, IMAGE, DEMO = "localhost/seedfleet-base", "localhost/seedfleet:check", "localhost/seedfleet-demo:check"
RUST = "localhost/seedfleet-rust"
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def tool(program, package):
    return shutil.which(program) or sys.exit(f"{program} is not installed (Debian: {package})")


class Buildah:
    """The program, with images and containers in a folder of ours."""

    def __init__(self, folder):
        store = ["--root", folder / "storage", "--runroot", folder / "runroot", "--storage-driver", "vfs"]
        self.start = [tool("buildah", "buildah"), *store]
        # Without namespaces of its own: a container may itself be where this runs.
        self.environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(folder)}

    def ran(self, *words):
        done = subprocess.run([*self.start, *words], env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"buildah {' '.join(map(str, words))} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def said(self, *words):
        """How a command in a container ended, and all that came."""
        done = subprocess.run([*self.start, "run", *words], env=self.environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def built(self, name, context, dockerfile, *words):
        file = context.parent / f"{context.name}.Dockerfile"
        file.write_text(dockerfile)
        self.ran("build", "--layers=false", "--tag", name, "--file", file, *words, context)

    def container(self, image, **environment):
        name = self.ran("from", "--pull-never", image)
        for key, value in environment.items():
            self.ran("config", "--env", f"{key}={value}", name)
        return name


def libraries(program):
    """What the loader brings for a program, and itself."""
    told = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return [pathlib.Path(path) for path in re.findall(r"(?:=> |^\s)(/\S+)", told, re.MULTILINE)]


def copied(files, root):
    """Files by the paths they are called by, whatever those lead to."""
    for file in files:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.resolve(), target)


def base(buildah, folder):
    """Glibc and libgcc of this machine, as far as the programs name them."""
    root, found = folder / "base", set()
    root.mkdir()
    for program in [*PROGRAMS, "seedfleet"]:
        found.update(libraries(BIN / program))
    strange = [file.name for file in found if not re.fullmatch(GLIBC, file.name)]
    assert not strange, f"the programs need more than glibc and libgcc: {strange}"
    copied(found, root)
    buildah.built(BASE, root, "FROM scratch\nCOPY . /\n")
    return len(found)


def rust_image(buildah, folder):
    """Debian with a C compiler and the Rust of this machine: what the image that the Dockerfile names has of use."""
    root = folder / "rust"
    release = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)[1]
    words = ["--variant=minbase", "--include=ca-certificates,gcc,g++,libc6-dev,make", release, root]
    subprocess.run([tool("debootstrap", "debootstrap"), *words], check=True, stdout=subprocess.DEVNULL)
    told = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout
    shutil.copytree(told.strip(), root / "usr" / "local", symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("doc", "man"))
    # A machine may trust a proxy of its own.
    copied([CERTIFICATES], root)
    buildah.built(RUST, root, "FROM scratch\nCOPY . /\nENV CARGO_HOME=/usr/local/cargo\n")
    shutil.rmtree(root)
    return RUST


def image(buildah, folder):
    """The Dockerfile's last stage around the programs of this build, or all of its stages."""
    text = (DEPLOY / "Dockerfile").read_text()
    rust = os.environ.get("SEEDFLEET_TEST_RUST_IMAGE")
    if rust:
        rust = rust_image(buildah, folder) if rust == "local" else rust
        arguments = ["--build-arg", f"RUST_IMAGE={rust}", "--build-arg", f"BASE_IMAGE={BASE}"]
        buildah.ran("build", "--layers=false", "--tag", IMAGE, "--file", DEPLOY / "Dockerfile", *arguments, ".")
        return "all stages"
    root = folder / "image-context"
    (root / "image" / "bin").mkdir(parents=True)
    (root / "image" / "state").mkdir()
    copied([CERTIFICATES], root)
    strip = tool("strip", "binutils")
    for program in PROGRAMS:
        subprocess.run([strip, "-o", root / "image" / "bin" / f"seedfleet-{program}", BIN / program], check=True)
    subprocess.run([strip, "-o", root / "image" / "bin" / "seedfleet", BIN / "seedfleet"], check=True)
    last = text[text.rindex("\nFROM "):]
    assert "COPY --from=build " in last, "the last stage copies nothing of the stage before"
    stage = "ARG BASE_IMAGE" + last.replace("COPY --from=build ", "COPY ")
    buildah.built(IMAGE, root, stage, "--build-arg", f"BASE_IMAGE={BASE}")
    return "its last stage"


def answers(buildah):
    """Every program runs in the image and answers as it does outside; nobody is root and there is no shell."""
    config = json.loads(buildah.ran("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    assert (config["User"], config["StopSignal"]) == (USER, "SIGTERM"), config
    container = buildah.container(IMAGE)
    for program in [*PROGRAMS, "seedfleet"]:
        # The command line tells its version; the others tell what they take instead.
        ours = subprocess.run([BIN / program, "--version"], capture_output=True, text=True)
        there = program if program == "seedfleet" else f"seedfleet-{program}"
        outside = (ours.stdout + ours.stderr).strip()
        for _ in range(TRIES):
            code, told = buildah.said(container, "--", f"/usr/local/bin/{there}", "--version")
            if outside in told:
                break
        assert code == ours.returncode and outside and outside in told, f"{there} ended with {code} and said {told!r}"
    code, told = buildah.said(container, "--", "/bin/sh", "-c", "true")
    assert code != 0, "the image has a shell"
    return outside


def page(listen, path):
    with contextlib.suppress(OSError):
        try:
            with urllib.request.urlopen(f"http://{listen}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
    return None


def below(pid):
    """A process and all that it started."""
    yield pid
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from below(int(child))


def program_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name
    return None


def until(what, look):
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.1)


def health(buildah, folder):
    """The gateway in the image, with the configuration that is shipped: alive, ready, and gone when asked."""
    secrets = shutil.copytree(DEPLOY, folder / "docker")
    subprocess.run(["sh", "secrets.sh"], cwd=secrets, check=True)
    # In the image another user reads them; the folder above keeps everybody else out.
    (secrets / "secrets").chmod(0o755)
    port = ports.free()
    (secrets / "secrets" / "redis-url").write_text(f"redis://127.0.0.1:{port}/0")
    server = os.environ.get("SEEDFLEET_REDIS_SERVER") or tool("redis-server", "redis-server")
    # As the compose file starts it.
    safe = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--save", ""]
    redis = [server, "--port", str(port), "--bind", "127.0.0.1", *safe]
    listen, admin = (f"127.0.0.1:{ports.free()}" for _ in range(2))
    environment = {
        "SEEDFLEET__REDIS__URL_FILE": "/run/secrets/redis-url",
        "SEEDFLEET__GATEWAY__LISTEN": listen,
        "SEEDFLEET__ADMIN__LISTEN": admin,
    }
    container = buildah.container(IMAGE, **environment)
    mounts = ["--volume", f"{secrets / 'secrets'}:/run/secrets:ro", "--volume", f"{secrets / 'simulator.toml'}:/etc/seedfleet/seedfleet.toml:ro"]
    command = [*buildah.start, "run", *mounts, container, "--", "/usr/local/bin/seedfleet-gateway"]
    with buckets.server(redis, folder, lambda: ports.taken(port)), open(folder / "gateway.log", "w+") as log:
        running = subprocess.Popen(command, env=buildah.environment, stdout=log, stderr=log)
        try:
            until("the gateway's health page", lambda: running.poll() is not None or page(admin, "/readyz") == 200)
            assert page(admin, "/livez") == 200 and page(listen, "/openapi.json") == 200, "it serves no pages"
            (gateway,) = [pid for pid in below(running.pid) if program_of(pid) == "seedfleet-gateway"]
            assert f"Uid:\t{USER.split(':')[0]}\t" in pathlib.Path(f"/proc/{gateway}/status").read_text(), "it is somebody else"
            os.kill(gateway, signal.SIGTERM)
            assert running.wait(timeout=PATIENCE_S) == 0, "it did not end well"
        except BaseException:
            log.seek(0)
            print(log.read()[-4_000:], file=sys.stderr)
            raise
        finally:
            for pid in [*below(running.pid)][::-1] if running.poll() is None else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            running.wait()


def demo(buildah, folder):
    """Real jobs through the programs of the image; a shell and a Redis lie in a layer above it."""
    root = folder / "demo"
    server = pathlib.Path(os.environ.get("SEEDFLEET_REDIS_SERVER") or tool("redis-server", "redis-server"))
    shell = pathlib.Path("/bin/sh")
    copied({*libraries(server), *libraries(shell.resolve()), shell}, root)
    (root / "usr" / "local" / "bin").mkdir(parents=True)
    shutil.copy(server.resolve(), root / "usr" / "local" / "bin" / "redis-server")
    buildah.built(DEMO, root, f"FROM {IMAGE}\nCOPY . /\n")
    home = "/var/lib/seedfleet"
    container = buildah.container(DEMO, SEEDFLEET_REDIS_SERVER="/usr/local/bin/redis-server", TMPDIR=home, HOME=home)
    words = ["/usr/local/bin/seedfleet", "dev", "demo", "--jobs", str(JOBS), "--json"]
    for n in range(TRIES):
        # Ends with 0 only if all is well; its last words may be lost all the same.
        said = buildah.ran("run", container, "--", *words, "--out", f"{home}/demo-{n}")
        if said:
            break
    told = json.loads(said.splitlines()[-1])
    for what in ["jobs", "stored", "verified_sha256"]:
        assert told[what] == JOBS, told
    assert told["duplicates"] == 0, told
    return f"a demo of {JOBS} jobs in {told['seconds']} s"


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        buildah = Buildah(folder)
        try:
            count = base(buildah, folder)
            what = image(buildah, folder)
            told = answers(buildah)
            print(f"{what} built on {count} files of glibc and libgcc: {told}", flush=True)
            health(buildah, folder)
            print("the gateway is ready, and ends when asked to", flush=True)
            print(demo(buildah, folder), flush=True)
        finally:
            # Containers leave mounts behind that an `rm` of the folder would stumble over.
            subprocess.run([*buildah.start, "rm", "--all"], env=buildah.environment, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
