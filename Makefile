PREFIX ?= /usr/local
PROFILE ?= release
export DESTDIR LIBDIR

.PHONY: all demo test test-slow bench bench-quick bench-micro man install deb clean

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
	tests/setup.sh slow
	tests/run.sh slow

# Our servers and clients beside others' and beside the least that is possible, into docs/performance: 25 minutes. Then what
# compression costs in memory, for the README.
bench:
	tests/setup.sh bench
	benches/build.sh
	benches/run.py
	cargo bench --locked --bench deflate_memory

# Ours, the least that is possible and one other, into target/bench: two minutes.
bench-quick:
	tests/setup.sh bench
	benches/build.sh
	benches/run.py --quick

# Masking, headers, UTF-8, and whole messages, without sockets.
bench-micro:
	cargo bench --locked --manifest-path benches/micro/Cargo.toml --target-dir target/bench/micro

# The manual pages of the C library: target/man
man:
	ffi/install/man.py include/wstrand.h target/man

# The C library, its headers, what pkg-config and CMake need to find it, and the manual pages.
# LIBDIR=lib/x86_64-linux-gnu for systems that keep libraries there.
install:
	ffi/install.sh "$(PREFIX)" "$(PROFILE)"

# Debian packages, in target/debian.
deb:
	packaging/debian/build.sh

clean:
	cargo clean
