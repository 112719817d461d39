#!/bin/sh
# Puts Autobahn's test suite ("wstest") into a fresh virtual environment: tests/autobahn/install.sh VENV
# Called by tests/setup.sh. The suite on PyPI is Python 2 source; port.py converts the installed copy to Python 3.
set -eu
venv=${1:?usage: tests/autobahn/install.sh VENV}
here=$(dirname "$0")
install() {
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@"
}
# 0.10.9 is the Autobahn release that the suite is pinned to. Its old setup.py wants setuptools at build time, so
# both source packages are built without isolation.
install 'setuptools==75.8.0' 'wheel==0.45.1'
install 'Twisted==24.11.0' 'zope.interface==7.2' 'six==1.17.0' 'txaio==2.10.0' 'wsaccel==0.6.7'
# For wss://.
install 'pyOpenSSL==24.3.0' 'service-identity==24.2.0' 'idna==3.10'
install --no-deps --no-build-isolation 'autobahn==0.10.9' 'autobahntestsuite==25.10.1'
# Python 3.13 no longer has lib2to3, which port.py converts with.
"$venv/bin/python" -W ignore -c 'import lib2to3' 2>/dev/null || install 'fissix==24.4.24'
"$venv/bin/python" "$here/port.py"
"$venv/bin/wstest" --autobahnversion
