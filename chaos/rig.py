"""What every experiment stands on: a server that can be killed, a PostgreSQL of our own that really syncs, and a journal of
what was acknowledged. Python's standard library only.

A server here is the release binary. It is started on a port chosen once, so that clients find it again after a crash. The
PostgreSQL is made for the run with `fsync` and `synchronous_commit` on: a server that happens to run on the machine may have
them off, and would prove nothing.
"""
import glob
import hashlib
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
BINARY = os.environ.get("SPARSEFIT_BINARY") or os.path.join(ROOT, "target/release/sparsefit")
ENDED = ("succeeded", "failed", "cancelled")
# the ways a connection ends when the process behind it is killed
BROKEN = (ConnectionError, http.client.HTTPException, socket.timeout, TimeoutError, OSError)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def lives(group):
    """Whether a process of the group is still there and not only waited for."""
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            state, _parent, its_group = open(stat).read().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Client:
    """One kept connection. `ask` raises one of BROKEN when no answer came: then the outcome is unknown."""

    def __init__(self, port, timeout=30.0, key=None):
        self.port, self.timeout, self.key, self.connection = port, timeout, key, None

    def ask(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if self.key:
            headers.setdefault("Authorization", "Bearer " + self.key)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except BROKEN:
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def patiently(self, method, path, body=None, headers=None, seconds=60.0):
        """The same, asked again until somebody answers other than 503."""
        end = time.monotonic() + seconds
        while True:
            try:
                answer = self.ask(method, path, body, headers)
                if answer.status != 503 or time.monotonic() > end:
                    return answer
            except BROKEN:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)


class Process:
    """`sparsefit serve` or `sparsefit worker`, startable again and again over the same data."""

    def __init__(self, data, *flags, word="serve", database=None, port=None, environment=None, wrapper=()):
        self.data, self.word, self.flags, self.wrapper = data, word, flags, list(wrapper)
        self.port = port or free_port()
        self.environment = {**os.environ, "SPARSEFIT_LOG": "warn", **(environment or {})}
        if database:
            self.environment["SPARSEFIT_DATABASE_URL"] = database
        self.log = tempfile.NamedTemporaryFile(prefix="sparsefit-log-", suffix=".txt", delete=False)
        self.process = None
        self.starts = []

    def start(self, ready=True, seconds=60.0):
        words = [BINARY, self.word, "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data, *self.flags]
        began = time.monotonic()
        self.process = subprocess.Popen(self.wrapper + words, stdout=subprocess.DEVNULL, stderr=self.log, env=self.environment,
                                        start_new_session=True)
        if ready:
            self.await_ready(began, seconds)
        return self

    def await_ready(self, began, seconds):
        client = Client(self.port, timeout=5)
        while True:
            try:
                if client.ask("GET", "/readyz").status == 200:
                    self.starts.append(time.monotonic() - began)
                    client.close()
                    return
            except BROKEN:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"the process ended with {self.process.returncode} instead of getting ready:\n{self.logged()}")
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"not ready after {seconds} s:\n{self.logged()}")
            time.sleep(0.005)

    def kill(self, sig=signal.SIGKILL):
        if self.process.poll() is None:
            os.killpg(self.process.pid, sig)
        if sig == signal.SIGKILL:
            self.process.wait()
            # a tracer is gone a moment before what it traced, which holds the lock of the data directory
            end = time.monotonic() + 10
            while lives(self.process.pid) and time.monotonic() < end:
                time.sleep(0.005)

    def stop(self, seconds=30):
        """Graceful; the exit code, or None when it had to be killed."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def client(self, **options):
        return Client(self.port, **options)

    def logged(self, length=3000):
        return open(self.log.name, errors="replace").read()[-length:]

    def rss(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


class Postgres:
    """A PostgreSQL of our own, `fsync=on`; `directory` may lie on a disk that is going to be cut off."""

    def __init__(self, directory=None):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.home = directory or tempfile.mkdtemp(prefix="sparsefit-pg-")
        self.data, self.port = os.path.join(self.home, "pg"), free_port()
        self.user = "postgres" if os.getuid() == 0 else None
        os.makedirs(self.data, exist_ok=True)
        os.chmod(self.home, 0o755)
        if self.user:
            os.chown(self.data, pwd.getpwnam(self.user).pw_uid, pwd.getpwnam(self.user).pw_gid)
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", check=True)
        self.process = None

    def prefix(self):
        return ["setpriv", f"--reuid={self.user}", "--clear-groups", "--"] if self.user else []

    def run(self, program, *words, check=False):
        done = subprocess.run(self.prefix() + [os.path.join(self.bin, program), *words], capture_output=True, text=True, cwd="/")
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done

    def start(self):
        settings = ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "listen_addresses=127.0.0.1", "unix_socket_directories=",
                    "max_connections=200", "logging_collector=off"]
        words = [os.path.join(self.bin, "postgres"), "-D", self.data, "-p", str(self.port)] + [w for s in settings for w in ("-c", s)]
        self.process = subprocess.Popen(self.prefix() + words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/")
        end = time.monotonic() + 60
        while self.sql("SELECT 1", check=False).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("PostgreSQL did not start")
            time.sleep(0.05)
        return self

    def sql(self, text, database="postgres", check=True):
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-tAc", text]
        return self.run("psql", *words, check=check)

    def create(self, name):
        self.sql(f"CREATE DATABASE {name}")
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def immediate(self):
        """As a crash: no checkpoint, no goodbye."""
        self.signal(signal.SIGQUIT)
        self.process.wait()

    def signal(self, sig):
        os.killpg(self.process.pid, sig)

    def tree(self):
        """The postmaster and every process it has made; each has a session of its own."""
        made = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [self.process.pid, *map(int, made)]

    def signal_all(self, sig):
        for pid in self.tree():
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def freeze(self, frozen):
        """A black hole: connections stay open and nothing answers."""
        self.signal_all(signal.SIGSTOP if frozen else signal.SIGCONT)

    def kill(self):
        """Gone at once, all of it: none of its processes may outlive the postmaster and keep its files open."""
        self.signal_all(signal.SIGSTOP)  # the postmaster makes no more of them
        self.signal_all(signal.SIGKILL)
        self.process.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.immediate()
        shutil.rmtree(self.home, ignore_errors=True)


class House:
    """A data directory, and a database where the engine is PostgreSQL; gone at the end."""

    _cluster = None

    def __init__(self, engine):
        self.engine, self.folder = engine, tempfile.mkdtemp(prefix="sparsefit-chaos-")
        self.data, self.database = os.path.join(self.folder, "data"), None
        self.started = []
        if engine == "postgres":
            self.database = House.cluster().create("chaos_" + os.path.basename(self.folder).rsplit("-", 1)[1].lower())

    @staticmethod
    def cluster():
        if House._cluster is None:
            House._cluster = Postgres().start()
        return House._cluster

    @staticmethod
    def demolish():
        if House._cluster is not None:
            House._cluster.remove()
            House._cluster = None

    def process(self, *flags, word="serve", **options):
        process = Process(self.data, *flags, word=word, database=self.database, **options)
        self.started.append(process)
        return process

    def check(self):
        """The common check, told by the program itself on the stopped store: a list of what is wrong."""
        words = [BINARY, "check", "--deep", "--data-dir", self.data]
        environment = {**os.environ, **({"SPARSEFIT_DATABASE_URL": self.database} if self.database else {})}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        return [] if done.returncode == 0 else [done.stdout.strip() + done.stderr.strip()]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in self.started:
            if process.process is not None and process.process.poll() is None:
                process.kill(signal.SIGCONT)
                process.kill()
            process.log.close()
            if kind is None:
                os.unlink(process.log.name)
        shutil.rmtree(self.folder, ignore_errors=True)


TINY = b"1 1:1 2:0.5\n2 2:1\n3 1:2 3:1\n4 3:2\n5 1:1 3:3\n6 2:2 3:1\n"


def upload(client, name, body=TINY, patient=True, headers=None):
    ask = client.patiently if patient else client.ask
    return ask("POST", f"/api/v1/datasets?name={name}", body, {"Content-Type": "text/libsvm", **(headers or {})})


def tiny_fit(data="tiny", model="m", **more):
    spec = {"lambda": {"mode": "value", "value": 0.1}}
    return {"type": "fit", "model": model, "dataset": {"name": data}, "spec": spec, **more}


def everything(client, path):
    """Every entry of a list."""
    cursor, entries = "", []
    while True:
        page = client.patiently("GET", f"{path}{'&' if '?' in path else '?'}limit=1000{cursor}").json()
        entries += page["data"]
        if not page["has_more"]:
            return entries
        cursor = "&cursor=" + page["next_cursor"]


def drained(client, seconds=600):
    """Waits until no job is queued or running. Two rounds must find none: a job that is rescued goes from running to queued
    between the two questions of one round, and is missed by both."""
    end, clean = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        alive = [s for s in ("queued", "running", "cancelling") if client.patiently("GET", f"/api/v1/jobs?status={s}&limit=1").json()["data"]]
        clean = 0 if alive else clean + 1
        if clean == 2:
            return
        time.sleep(0.1 if alive else 0)
    raise RuntimeError("jobs do not end")


class Threads:
    """Runs `work(k)` on threads; the first exception of any is raised at the end."""

    def __init__(self, count, work):
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(work, k), daemon=True) for k in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, work, k):
        try:
            work(k)
        except Exception as error:  # told by `join`
            self.errors.append(error)

    def join(self):
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


def quantiles(values, *at):
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan") for q in at]


def sha256(body):
    return hashlib.sha256(body).hexdigest()
