"""The API against its own description: schemathesis with every check, first without a key, then with one.

    pip install schemathesis; python3 chaos/contract.py [SECONDS]

Broken by a server error, an answer that `openapi.yaml` does not describe (status, media type, schema, header), and by anything
else it complains of that is not in EXPLAINED.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import rig

# what it may complain of, and why that is no fault
EXPLAINED = {
    "open": {
        "IgnoredAuth": "nobody needs a key on loopback until the first exists",
        "MissingHeaderNotRejected": "the header that is missing is the key",
        "AcceptedNegativeData": "the request is wrong in that it has no key",
        "RejectedPositiveData": "parts that the schema allows and that contradict each other are refused",
    },
    "keyed": {
        "IgnoredAuth": "after 20 wrong keys in a minute a wrong key is answered 429 instead of 401",
        "RejectedPositiveData": "parts that the schema allows and that contradict each other are refused",
    },
}


def check(name, seconds, *flags):
    """One run; its figure and what is wrong."""
    program = shutil.which(os.environ.get("SCHEMATHESIS", "schemathesis"))
    if program is None:
        return "NOT RUN: needs schemathesis", ["not run"]
    with rig.House("sqlite") as house:
        words, key = list(flags), None
        if name == "keyed":
            made = subprocess.run([rig.BINARY, "keys", "create", "--data-dir", house.data, "--name", "contract", "--project", "default",
                                   "--scopes", "admin"], capture_output=True, text=True, check=True)
            key = next(word for word in made.stdout.split() if word.startswith("sk_"))
            words += ["-H", f"Authorization: Bearer {key}"]
        process = house.process().start()
        assert rig.upload(process.client(key=key), "d").status == 201
        report = os.path.join(house.folder, "report.json")
        words += ["--checks", "all", "--max-time", str(seconds), "--generation-database", "none", "--suppress-health-check", "all",
                  "--seed", "1", "--report", "json", "--report-json-path", report]
        # the time limit is a backstop: --max-time is the measure
        done = subprocess.run([program, "run", f"http://127.0.0.1:{process.port}/openapi.json", *words], cwd=house.folder,
                              capture_output=True, text=True, timeout=seconds + 300)
        if not os.path.exists(report):
            return "it made no report", [done.stdout[-3000:] + done.stderr[-3000:]]
        told = json.load(open(report))
        explained = EXPLAINED[name]
        wrong = [f"{f['title']} ({f['code']}, {f['count']} times): {', '.join(f['operations'])}" for f in told["failures"] if f["type"] not in explained]
        wrong += [f"error: {error}" for error in told["errors"]]
        if "panicked" in process.logged(10_000_000):
            wrong.append("something panicked: " + process.logged())
        if process.stop() != 0:
            wrong.append("it did not stop well")
    quiet = "; ".join(f"{f['count']}× {f['title'].lower()}" for f in told["failures"] if f["type"] in explained)
    cases, operations = told["test_cases"], told["operations"]
    return f"{cases['generated']} requests to {operations['tested']} operations in {told['running_time']:.0f} s, {len(wrong)} broken; explained: {quiet}", wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=int, default=240)
    seconds, broken = parser.parse_args().seconds, False
    # a key made through the API would close the open server
    for name, flags in (("open", ["--exclude-path", "/api/v1/keys"]), ("keyed", [])):
        figure, wrong = check(name, seconds, *flags)
        print(f"{'BROKEN' if wrong else 'held':8}{name:10}{figure}", flush=True)
        for what in wrong:
            print(f"          {what}", flush=True)
        broken |= bool(wrong)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
