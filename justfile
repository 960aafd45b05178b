# Few words for what is done often; `just` alone lists them.

default:
    @just --list

# Serve on 127.0.0.1:7878 with data in ./sparsefit-data
run *ARGS:
    cargo run --release -- serve {{ARGS}}

# The main job, end to end, on the bundled real data
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Everything that must hold, on SQLite and PostgreSQL
test *ARGS:
    cargo test --release {{ARGS}}

# The witnesses of the solver on every combination of loss, penalty and what data carry, not only on all triples of them
test-solver *ARGS:
    SPARSEFIT_PRODUCT=whole cargo test --release --test solver {{ARGS}}

# The queue and the store through N whole lives made from seeds (as a batch: their threads wake one another all the time)
simulate SEEDS="10000":
    cargo test --release --test simulation --no-run
    SPARSEFIT_SEEDS={{SEEDS}} $(command -v chrt && echo --batch 0) cargo test --release --test simulation

# Formatting, lints, licences
check:
    cargo fmt --check
    cargo clippy --release -- -D warnings
    cargo deny check

# Figures beside other libraries; see bench/README.md for what each needs
bench *ARGS:
    python3 bench/accept.py {{ARGS}}

# Our solver beside its peers, row by row; see bench/README.md (--list: the rows)
bench-peers *ARGS:
    cargo build --release --example fit_packed
    python3 bench/speed.py {{ARGS}}

# Break it on purpose; see chaos/README.md (--quick: what runs with every merge)
chaos *ARGS:
    cargo build --release --bin sparsefit --example claim_storm
    python3 chaos/run.py {{ARGS}}

# Slow clients, overload, fits beside requests, large uploads, bombs
load *ARGS:
    cargo build --release
    python3 chaos/load.py {{ARGS}}

# Each fuzz target for SECONDS
fuzz SECONDS="300":
    for target in libsvm json_forms spec predict cursor headers; do \
        mkdir -p "fuzz/corpus/$target" && \
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time={{SECONDS}} -rss_limit_mb=512 -timeout=5 -max_len=65536 || exit 1; \
    done

# The API against its description, SECONDS without and with a key
contract SECONDS="240":
    cargo build --release
    python3 chaos/contract.py {{SECONDS}}

# The Dockerfile's steps by hand, and what they make run as compose runs it (root, minutes)
image:
    python3 chaos/image.py
