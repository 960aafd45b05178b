"""D6: no two workers ever hold one job. Eight processes (on SQLite, where there is one process, eight tasks) claim and hand back."""
import os
import subprocess

import rig

STORM = os.environ.get("SPARSEFIT_CLAIM_STORM") or os.path.join(rig.ROOT, "target/release/examples/claim_storm")


def run(engine, claims=100_000, processes=8):
    if not os.path.exists(STORM):
        return "NOT RUN: build it with `cargo build --release --example claim_storm`", ["not run"]
    with rig.House(engine) as house:
        words = [STORM, "--data-dir", house.data] + (["--database-url", house.database] if house.database else [])
        subprocess.run([*words, "prepare", "40"], check=True)
        several = processes if house.database else 1
        each, tasks = claims // several, processes // several
        storms = [subprocess.Popen([*words, "storm", str(each), str(tasks)], stdout=subprocess.PIPE, text=True) for _ in range(several)]
        held = []
        for storm in storms:
            out, _ = storm.communicate()
            if storm.returncode:
                raise RuntimeError(f"a storm ended with {storm.returncode}")
            held += [line.split() for line in out.splitlines()]
    wrong = []
    numbers = [int(number) for _, number, _, _ in held]
    if len(set(numbers)) != len(numbers):
        wrong.append(f"{len(numbers) - len(set(numbers))} claim numbers were given twice")
    by_job = {}
    for job, number, begin, end in held:
        by_job.setdefault(job, []).append((int(begin), int(end), int(number)))
    for job, spans in by_job.items():
        spans.sort()
        for (_, end, one), (begin, _, other) in zip(spans, spans[1:]):
            if begin < end:
                wrong.append(f"{job} was held under {one} and {other} at once")
    return f"{len(held)} claims of {len(by_job)} jobs by {processes} {'processes' if several > 1 else 'tasks'}: {len(wrong)} held twice", wrong
