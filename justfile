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

# The queue and the store through N whole lives made from seeds
simulate SEEDS="10000":
    SPARSEFIT_SEEDS={{SEEDS}} cargo test --release --test simulation

# Formatting, lints, licences
check:
    cargo fmt --check
    cargo clippy --release -- -D warnings
    cargo deny check

# Figures beside other libraries; see bench/README.md for what each needs
bench *ARGS:
    python3 bench/accept.py {{ARGS}}
