"""The container image where there is no daemon to build it: the Dockerfile's own steps, run by hand.

    python3 chaos/image.py            about five minutes: everything is compiled from nothing

The words of the build stage run in a directory of their own, on what `.dockerignore` lets through. The last stage becomes a
directory: what is copied into it, and the few libraries that its base image has. In it the server runs as compose runs it: as the
image's user, with a root that cannot be written, without capabilities; then PostgreSQL, one API and two workers with compose's
environment. Needs root and the compiler the Dockerfile names.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import rig

# what gcr.io/distroless/cc-debian12 brings
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "ld-linux-x86-64.so.2", "linux-vdso.so.1"}


def steps():
    """The Dockerfile as (word, rest) for each stage."""
    text = open(os.path.join(rig.ROOT, "Dockerfile")).read()
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#"))).splitlines()
    stages = []
    for line in filter(str.strip, lines):
        word, rest = line.split(None, 1)
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def context(folder):
    """What a build is given: the files of the tree, less those that `.dockerignore` names."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=rig.ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    ignored = [line for line in open(os.path.join(rig.ROOT, ".dockerignore")).read().split() if line]
    for name in filter(None, listed):
        if any(name == one or name.startswith(one + "/") or (one == "**/*.md" and name.endswith(".md")) for one in ignored):
            continue
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        shutil.copy2(os.path.join(rig.ROOT, name), os.path.join(folder, name))


def build(stage, folder):
    """Runs the build stage; the directory that its absolute paths are below."""
    given, root = os.path.join(folder, "context"), os.path.join(folder, "build")
    context(given)
    place = root
    for word, rest in stage:
        if word == "WORKDIR":
            place = root + rest
            os.makedirs(place)
        elif word == "COPY":
            *what, _ = rest.split()
            for name in what:
                subprocess.run(["cp", "-a", os.path.normpath(os.path.join(given, name)) + ("/." if name == "." else ""), "."], cwd=place, check=True)
        elif word == "RUN":
            environment = {key: value for key, value in os.environ.items() if key not in ("CARGO_TARGET_DIR", "RUSTFLAGS")}
            subprocess.run(["sh", "-ec", rest.replace("/rootfs", root + "/rootfs")], cwd=place, check=True, env=environment)
    return root


def assemble(stage, built, folder):
    """The last stage as a directory, and its settings."""
    root, settings = os.path.join(folder, "root"), {"ENV": {}}
    for word, rest in stage:
        if word == "COPY":
            *flags, source, target = rest.split()
            os.makedirs(os.path.dirname(root + target), exist_ok=True)
            subprocess.run(["cp", "-a", built + source, root + target], check=True)
            owner = next((flag.split("=")[1] for flag in flags if flag.startswith("--chown=")), "0:0")
            subprocess.run(["chown", "-R", owner, root + target], check=True)
        elif word == "ENV":
            settings["ENV"].update(pair.split("=", 1) for pair in shlex.split(rest))
        elif word in ("ENTRYPOINT", "CMD"):
            settings[word] = json.loads(rest)
        elif word == "HEALTHCHECK":
            settings[word] = json.loads(rest.split("CMD", 1)[1])
        else:
            settings[word] = rest
    binary = root + settings["ENTRYPOINT"][0]
    needed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    names = {os.path.basename(line.split()[0]) for line in needed.splitlines()}
    if names - LIBRARIES:
        raise RuntimeError(f"the base image lacks {names - LIBRARIES}")
    for path in re.findall(r"(/\S+) \(0x", needed):
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        shutil.copy2(os.path.realpath(path), root + path)
    for name in ("proc", "tmp", "etc"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    return root, settings


def inside(root, settings, words):
    """The command line that runs `words` as compose would: read-only root, no capabilities, the image's user."""
    (owner, group), below = settings["USER"].split(":"), shlex.quote(root)
    jail = f"mount --bind {below} {below} && mount --bind {below}/data {below}/data && mount -t tmpfs tmpfs {below}/tmp && mount -t proc proc {below}/proc " \
           f"&& mount -o remount,bind,ro {below} && exec setpriv --no-new-privs -- chroot --userspec={owner}:{group} {below} {shlex.join(words)}"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", jail]


class Container:
    """A process in the image."""

    def __init__(self, root, settings, words=None, **environment):
        self.root, self.settings = root, settings
        self.environment = {**settings["ENV"], **environment}
        self.process = None if words is None else self.begin(words)

    def line(self, words):
        return inside(self.root, self.settings, [*self.settings["ENTRYPOINT"], *words])

    def begin(self, words):
        return subprocess.Popen(self.line(words), env={**self.environment, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def run(self, words):
        return subprocess.run(self.line(words), env={**self.environment, "PATH": os.environ["PATH"]}, capture_output=True, text=True)

    def healthy(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(self.settings["HEALTHCHECK"][1:]).returncode == 0:
                return True
            if self.process.poll() is not None:
                raise RuntimeError("it ended: " + self.process.stderr.read())
            time.sleep(0.2)
        return False

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)


def fits(port, key, name):
    client = rig.Client(port, timeout=60, key=key)
    assert rig.upload(client, name).status == 201
    return client.ask("POST", "/api/v1/jobs", rig.tiny_fit(data=name), {"Prefer": "wait=30"}).json()["status"]


def main():
    if os.getuid() != 0:
        print("NOT RUN: needs root")
        return 1
    wrong, folder, cluster = [], tempfile.mkdtemp(prefix="sparsefit-image-"), None
    try:
        os.chmod(folder, 0o755)
        first, last = steps()
        root, settings = assemble(last, build(first, folder), folder)
        size = sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(root) for name in names)

        # alone: it refuses strangers, then serves who has a key
        port = rig.free_port()
        box = {"SPARSEFIT_LISTEN": f"0.0.0.0:{port}", "SPARSEFIT_HOSTS": "127.0.0.1"}
        refused = Container(root, settings, **box).run(settings["CMD"])
        if refused.returncode == 0 or "key" not in refused.stderr:
            wrong.append(f"without a key it should refuse to start: {refused.returncode} {refused.stderr[-500:]}")
        made = Container(root, settings, **box).run(["keys", "create", "--name", "k", "--project", "default", "--scopes", "admin"])
        key = next((word for word in made.stdout.split() if word.startswith("sk_")), None)
        if key is None:
            raise RuntimeError(f"no key was made: {made.stdout}{made.stderr}")
        alone = Container(root, settings, settings["CMD"], **box)
        if not alone.healthy():
            wrong.append("the health check does not succeed")
        if (status := fits(port, key, "d")) != "succeeded":
            wrong.append(f"the fit ended {status}")
        if rig.Client(port).ask("GET", "/api/v1/jobs").status != 401:
            wrong.append("it answers without a key")
        if (code := alone.stop()) != 0:
            wrong.append(f"TERM ended it with {code}")
        foreign = [os.path.join(place, name) for place, _, names in os.walk(root + "/data") for name in names
                   if os.stat(os.path.join(place, name)).st_uid != int(settings["USER"].split(":")[0])]
        wrong += [f"{path} belongs to another user" for path in foreign]

        # as compose runs it: PostgreSQL, one API that does not work, two workers
        shutil.rmtree(root + "/data")
        subprocess.run(["install", "-d", "-m", "0700", "-o", settings["USER"].split(":")[0], "-g", settings["USER"].split(":")[1], root + "/data"], check=True)
        cluster = rig.Postgres().start()
        shared = {**box, "SPARSEFIT_DATABASE_URL": cluster.create("sparsefit")}
        made = Container(root, settings, **shared).run(["keys", "create", "--name", "k", "--project", "default", "--scopes", "admin"])
        key = next(word for word in made.stdout.split() if word.startswith("sk_"))
        api = Container(root, settings, ["serve", "--workers", "0"], **shared)
        if not api.healthy():
            wrong.append("the API's health check does not succeed")
        workers = []
        for _ in range(2):
            own = rig.free_port()
            workers.append(Container(root, settings, ["worker", "--workers", "1"], **{**shared, "SPARSEFIT_LISTEN": f"127.0.0.1:{own}",
                                                                                    "SPARSEFIT_WORKER_LISTEN": f"127.0.0.1:{own}"}))
        if not all(worker.healthy() for worker in workers):
            wrong.append("a worker's health check does not succeed")
        if (status := fits(port, key, "d")) != "succeeded":
            wrong.append(f"the fit of a worker ended {status}")
        codes = [box.stop() for box in (*workers, api)]
        if any(codes):
            wrong.append(f"TERM ended them with {codes}")
    finally:
        if cluster:
            cluster.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'BROKEN' if wrong else 'held':8}image     {size >> 20} MiB; alone with a key, and as compose runs it with two workers, "
          f"without capabilities and on a root that cannot be written")
    for what in wrong:
        print(f"          {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
