"""A server of the release binary over a temporary folder, and a small HTTP client to it. Python's standard library only."""
import http.client
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.environ.get("SPARSEFIT_BINARY") or os.path.join(ROOT, "target/release/sparsefit")
ENDED = ("succeeded", "failed", "cancelled")


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    def json(self):
        return json.loads(self.body)

    def expect(self, *statuses):
        if self.status not in statuses:
            raise RuntimeError(f"status {self.status}, wanted {statuses}: {self.body[:600]!r}")
        return self


class Server:
    """`with Server() as s:` starts `serve` on a free loopback port and drains it at the end."""

    def __init__(self, *flags, environment=None):
        self.folder = tempfile.TemporaryDirectory(prefix="sparsefit-bench-")
        self.log = open(os.path.join(self.folder.name, "log"), "wb")
        self.data = os.path.join(self.folder.name, "data")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.data, *flags],
            stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **(environment or {})})
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(l) for l in self.process.stdout], daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=60).decode()
            except queue.Empty:
                self.process.kill()
                raise RuntimeError("the server did not say `listening`: " + self.logged()) from None
            if line.startswith("listening on "):
                break
        self.address = line.split("http://", 1)[1].strip()
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()
        self.folder.cleanup()

    def logged(self):
        return open(self.log.name, errors="replace").read()[-3000:]

    def ask(self, method, path, body=None, headers=None, connection=None):
        """One request on a kept connection (or the one given). `body` may be bytes, an object (sent as JSON), or an iterable of bytes."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        own = connection is None
        if own:
            self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=900)
            connection = self.connection
        start = time.perf_counter()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()  # an idle connection the server had closed; nothing was sent twice but the request
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
        content = answer.read()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, content, time.perf_counter() - start)

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers).expect(200).json()

    def upload(self, name, body, encoding=None, query=""):
        headers = {"Content-Type": "text/libsvm"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self.ask("POST", f"/api/v1/datasets?name={name}{query}", body, headers).expect(201)

    def submit(self, model, dataset, spec, **more):
        return self.ask("POST", "/api/v1/jobs", {"type": "fit", "model": model, "dataset": {"name": dataset}, "spec": spec, **more}).expect(202, 200).json()

    def wait(self, job, seconds=1800):
        """The job once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.get(f"/api/v1/jobs/{job['id']}", Prefer="wait=30")
            if state["status"] in ENDED:
                return state
        raise RuntimeError(f"job {job['id']} still {state['status']} after {seconds} s: {state['progress']}")

    def fit(self, model, dataset, spec, **more):
        """Submits, waits, and returns (job, URL of the model version)."""
        job = self.wait(self.submit(model, dataset, spec, **more))
        if job["status"] != "succeeded":
            raise RuntimeError(f"{model}: {job['status']} {job['reason']} {job['error']}")
        return job, job["result"]["href"]

    def coefficients(self, href):
        """All pages of a version's coefficients: (indices, values, names, intercept)."""
        indices, values, names, cursor = [], [], [], None
        while True:
            page = self.get(f"{href}/coefficients?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            indices += page["indices"]
            values += page["values"]
            names += page["names"] or []
            if not page.get("has_more"):
                return indices, values, names, page["intercept"]
            cursor = page["next_cursor"]

    def memory(self):
        """VmHWM, VmRSS, RssAnon and RssFile of the process, MiB."""
        lines = dict(l.split(":", 1) for l in open(f"/proc/{self.process.pid}/status") if ":" in l)
        return {key: int(lines[key].split()[0]) / 1024 for key in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self):
        """Sets VmHWM back to what is resident now."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")
