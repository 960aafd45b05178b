"""Breaks the server on purpose and looks whether its promises hold.

    python3 chaos/run.py                 everything, at the size of docs/reliability.md (about an hour)
    python3 chaos/run.py --quick         the part that runs with every merge (minutes)
    python3 chaos/run.py kills power     only these

Prints one line a promise and engine; exits 1 when one is broken, and says what. Figures are printed, facts are judged: no
run fails for being slow.
"""
import argparse
import sys
import time

import claims
import clocks
import database
import disk
import kills
import limits
import power
import races
import resume
import rig
import zombies

BOTH, SQLITE, POSTGRES = ("sqlite", "postgres"), ("sqlite",), ("postgres",)
# name: (what, engines, full, quick); quick None = not in the quick part
EXPERIMENTS = {
    "kills": (kills.run, BOTH, {"kills": 200}, {"kills": 15}),
    "power": (power.run, BOTH, {"cuts": 20}, {"cuts": 2}),
    "claims": (claims.run, BOTH, {"claims": 100_000}, {"claims": 4000}),
    "zombies": (zombies.run, POSTGRES, {"rounds": 50}, {"rounds": 3}),
    "replaced": (zombies.kills, POSTGRES, {"rounds": 20}, None),
    "races": (races.run, BOTH, {"rounds": 100}, {"rounds": 5}),
    "cancels": (limits.cancels, BOTH, {"count": 200}, {"count": 10}),
    "deadlines": (limits.deadlines, BOTH, {"count": 100}, {"count": 10}),
    "resume": (resume.run, BOTH, {"fits": 100}, {"fits": 6}),
    "full": (disk.full, SQLITE, {}, {}),
    "errors": (disk.errors, SQLITE, {"points": 30}, {"points": 5}),
    "database": (database.run, POSTGRES, {"seconds": 30}, {"seconds": 5}),
    "clocks": (clocks.run, BOTH, {}, None),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], metavar="experiment", help=", ".join(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engine", choices=BOTH)
    asked = parser.parse_args()
    broken = 0
    try:
        for name in asked.names or EXPERIMENTS:
            what, engines, full, quick = EXPERIMENTS[name]
            if asked.quick and quick is None:
                continue
            for engine in engines:
                if asked.engine and engine != asked.engine:
                    continue
                began = time.monotonic()
                figure, wrong = what(engine, **(quick if asked.quick else full))
                word = "NOT RUN" if figure.startswith("NOT RUN") else ("BROKEN" if wrong else "held")
                print(f"{word:8}{name:10}{engine:9}{time.monotonic() - began:6.0f} s  {figure}", flush=True)
                for what_is_wrong in wrong[:20] if word == "BROKEN" else []:
                    print(f"          {what_is_wrong}", flush=True)
                broken += word == "BROKEN"
    finally:
        rig.House.demolish()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
