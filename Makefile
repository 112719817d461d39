PREFIX ?= /usr/local
export DESTDIR

.PHONY: all demo test test-slow bench install clean

# The Rust library, the C library (libwstrand.so and libwstrand.a) and include/wstrand.h.
all:
	cargo build --release

# A C program and servers and clients that others wrote, in both directions.
demo:
	tests/setup.sh demo
	tests/demo.sh

# Everything that .ci/run runs.
test:
	tests/setup.sh test
	tests/run.sh

# What takes too long for every change.
test-slow:
	tests/setup.sh test
	tests/run.sh slow

bench:
	benches/run.sh

install:
	ffi/install.sh "$(PREFIX)"

clean:
	cargo clean
