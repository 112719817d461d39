#!/bin/sh
# Gets what `make demo`, `make test`, `make test-slow` or `make bench` needs: tests/setup.sh demo|test|slow|bench
# Missing Debian packages come through apt-get; the third-party WebSocket peers, pinned, go into target/peers.
# What is there already is left alone, so a second run ends at once.
set -eu
what=${1:-}
slow=
case $what in
demo | test | bench) ;;
slow)
    # The same as test, and more.
    what=test
    slow=yes
    ;;
*)
    echo "usage: tests/setup.sh demo|test|slow|bench" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
peers=target/peers

say() { printf 'setup: %s\n' "$*"; }
die() {
    say "$@" >&2
    exit 1
}
# Debian keeps servers where not every user's PATH leads.
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

refreshed=
apt_install() {
    have apt-get || die "missing: $* (this is not a Debian machine: install them by its own means)"
    if [ "$(id -u)" -ne 0 ]; then
        die "missing: $*. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "$refreshed" ]; then
        apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
        refreshed=yes
    fi
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" </dev/null >"$log" 2>&1 ||
        { cat "$log" >&2; die "apt-get could not install $*"; }
}

mkdir -p "$peers"
log=$peers/setup.log

# Rust comes first: nothing here can install it.
have cargo || die "cargo is missing: install Rust (https://rustup.rs) and run this again"
if [ "$what" = test ]; then
    for part in fmt clippy; do
        cargo "$part" --version >/dev/null 2>&1 && continue
        have rustup || die "cargo $part is missing: install it beside cargo"
        case $part in fmt) part=rustfmt ;; esac
        say "adding the Rust component $part"
        rustup component add "$part" || die "run: rustup component add $part"
    done
fi

# Each word: the command that shows that the package is there, a colon, the package.
wanted="cc:gcc make:make pkg-config:pkg-config python3:python3 openssl:openssl"
if [ "$what" = test ]; then
    wanted="$wanted tinyproxy:tinyproxy-bin microsocks:microsocks git:git g++:g++ readelf:binutils cmake:cmake valgrind:valgrind strace:strace clang++:clang doxygen:doxygen abidiff:abigail-tools mandoc:mandoc man:man-db tmux:tmux chromium:chromium node:nodejs"
elif [ "$what" = bench ]; then
    wanted="$wanted g++:g++ strace:strace node:nodejs"
fi
if [ -n "$slow" ]; then
    wanted="$wanted dpkg-buildpackage:dpkg-dev dh:debhelper lintian:lintian ip:iproute2"
fi
missing=
for pair in $wanted; do
    have "${pair%%:*}" || missing="$missing ${pair#*:}"
done
# What TLS is built with has no command.
pkg-config --exists openssl 2>/dev/null || missing="$missing libssl-dev"
# OpenSSL's own sources are configured with more of Perl than every Debian machine has.
[ -z "$slow" ] || perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing="$missing perl"
if [ "$what" = test ]; then
    # Nor has the JSON of the chat's client in C++.
    pkg-config --exists nlohmann_json 2>/dev/null || missing="$missing nlohmann-json3-dev"
elif [ "$what" = bench ]; then
    # Nor have the load generator's compression and the header files of a peer.
    pkg-config --exists zlib 2>/dev/null || missing="$missing zlib1g-dev"
    echo '#include <boost/beast.hpp>' | c++ -E -x c++ - >/dev/null 2>&1 || missing="$missing libboost-dev"
fi
if [ -n "$missing" ] && [ "$(id -u)" -ne 0 ]; then
    # Whoever has to install by hand is told of everything at once.
    [ "$what" = demo ] || have npm || missing="$missing npm"
    if [ "$what" = test ]; then
        have nginx || missing="$missing nginx-light"
        have redis-server || missing="$missing redis-server"
        have haproxy || missing="$missing haproxy"
    fi
    python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
fi
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || apt_install $missing
if [ "$what" != demo ] && ! have npm; then
    apt_install npm # after nodejs, which in some packagings brings npm along
fi
# The tests run these by themselves. Debian would start them as services of the machine's; nothing but the installation
# is wanted. Masked is for systemd, runlevel 1 for all others.
services=
if [ "$what" = test ]; then
    for pair in nginx:nginx-light redis-server:redis-server haproxy:haproxy; do
        have "${pair%%:*}" || services="$services $pair"
    done
fi
if [ -n "$services" ]; then
    units= packages=
    for pair in $services; do
        units="$units ${pair%%:*}.service"
        packages="$packages ${pair#*:}"
    done
    # shellcheck disable=SC2086 # lists of words
    if [ -d /run/systemd/system ]; then
        systemctl --quiet --runtime mask $units
        trap 'systemctl --quiet --runtime unmask $units' EXIT
    fi
    export RUNLEVEL=1
    # shellcheck disable=SC2086
    apt_install $packages
    unset RUNLEVEL
    # shellcheck disable=SC2086
    if [ -d /run/systemd/system ]; then
        systemctl --quiet --runtime unmask $units
        systemctl --quiet disable $units
        trap - EXIT
    fi
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "python3 is $(python3 -V 2>&1), but the peers need Python 3.11 or newer"

make_venv() {
    rm -rf "$1"
    python3 -m venv "$1" >"$log" 2>&1 && return
    # Debian keeps venv's other half in a package of its own.
    apt_install python3-venv
    rm -rf "$1"
    python3 -m venv "$1" >"$log" 2>&1 || { cat "$log" >&2; die "python3 -m venv failed"; }
}

# A stamp is a copy of what was installed from: a change in it installs anew.
python=$peers/python
if ! cmp -s tests/peers/requirements.txt "$python/.stamp" || ! "$python/bin/python" -c 'import websockets' 2>/dev/null; then
    say "installing into $python: $(grep -v '^#' tests/peers/requirements.txt | tr '\n' ' ')"
    make_venv "$python"
    "$python/bin/python" -m pip --quiet --disable-pip-version-check install -r tests/peers/requirements.txt
    cp tests/peers/requirements.txt "$python/.stamp"
fi

if [ "$what" = test ]; then
    autobahn=$peers/autobahn
    if ! cat tests/autobahn/install.sh tests/autobahn/port.py | cmp -s - "$autobahn/.stamp" ||
        ! "$autobahn/bin/python" -c 'import autobahntestsuite, service_identity, OpenSSL' 2>/dev/null; then
        say "installing into $autobahn: the Autobahn test suite (about a minute)"
        make_venv "$autobahn"
        tests/autobahn/install.sh "$autobahn" >"$log" 2>&1 || { cat "$log" >&2; die "the Autobahn suite could not be installed"; }
        cat tests/autobahn/install.sh tests/autobahn/port.py >"$autobahn/.stamp"
    fi
fi

if [ -n "$slow" ]; then
    conan=$peers/conan
    if ! cmp -s tests/peers/conan.txt "$conan/.stamp" || ! "$conan/bin/conan" --version >/dev/null 2>&1; then
        say "installing into $conan: $(grep -v '^#' tests/peers/conan.txt | tr '\n' ' ')"
        make_venv "$conan"
        "$conan/bin/python" -m pip --quiet --disable-pip-version-check install -r tests/peers/conan.txt
        cp tests/peers/conan.txt "$conan/.stamp"
    fi
fi

# The oldest Rust that is promised to do, where rustup has it not: Debian's, unpacked and not installed, so that it is in
# nobody's way. Where there is none either, tests/msrv.sh says so.
if [ -n "$slow" ]; then
    stated=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    oldest=target/tools/rust-$stated
    if ! { have rustup && rustup toolchain list | grep -q "^${stated}[.-]"; } && [ ! -x "$oldest/usr/bin/cargo" ] && have apt-get; then
        for kind in "" -web; do
            version=$(apt-cache madison "rustc$kind" | awk -v stated="$stated" '$3 ~ "^" stated "[.]" { print $3; exit }')
            [ -n "$version" ] || continue
            say "unpacking Debian's rustc$kind $version into $oldest"
            packages=$oldest/packages
            mkdir -p "$packages/partial"
            # With the libraries that they need and this machine lacks.
            apt-get -q -y -o Debug::NoLocking=1 -o Dir::Cache::archives="$PWD/$packages" install --download-only \
                --no-install-recommends --allow-downgrades "rustc$kind=$version" "cargo$kind=$version" \
                "libstd-rust$kind-dev=$version" </dev/null >"$log" 2>&1 || { cat "$log" >&2; die "apt-get could not fetch them"; }
            for package in "$packages"/*.deb; do
                dpkg-deb -x "$package" "$oldest"
            done
            rm -r "$packages"
            break
        done
    fi
fi

# The demo shows npm's peer too where Node.js is there anyway.
if have node && have npm; then
    node=$peers/node
    if ! cmp -s tests/peers/package-lock.json "$node/.stamp" || [ ! -f "$node/node_modules/ws/package.json" ]; then
        say "installing into $node: $(sed -n 's/^ *"\(ws\)": "\(.*\)".*/\1 \2/p' tests/peers/package.json)"
        rm -rf "$node"
        mkdir -p "$node"
        cp tests/peers/package.json tests/peers/package-lock.json "$node/"
        (cd "$node" && npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null) || die "npm ci failed in $node"
        cp tests/peers/package-lock.json "$node/.stamp"
    fi
fi
rm -f "$log"
say "ready for make $what${slow:+-slow}"
