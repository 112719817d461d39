#!/bin/sh
# The models of what threads may do to each other, in thousands of orders of those threads: shuttle runs the outbox,
# the watchdog, the gate of callbacks and the queue of events with locks of its own. A failure prints how to repeat the order that failed.
#
# One at a time: which thread waits for which is noted once for the process, by numbers that begin anew in each model.
set -eu
# It says that statics go with each run of a model, which the watchdog's may.
export SHUTTLE_SILENCE_WARNINGS=1
cd "$(dirname "$0")/.."
RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle" tests/ran.sh cargo test --locked --workspace --lib --no-default-features \
    --target-dir "${CARGO_TARGET_DIR:-target}/models" models:: -- --test-threads 1
