"""A recipe for Conan 2: conan create packaging/conan

It builds the checkout that it lies in, with the cargo that is in PATH and the system's OpenSSL (Debian: libssl-dev).
"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, load, rm, rmdir


class Wstrand(ConanFile):
    name = "wstrand"
    description = "WebSocket (RFC 6455, RFC 7692) for programs that block"
    license = "MIT OR Apache-2.0"
    topics = ("websocket", "blocking", "rfc6455")
    package_type = "library"
    settings = "os", "arch", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": False}

    def set_version(self):
        manifest = load(self, os.path.join(self.recipe_folder, "..", "..", "Cargo.toml"))
        self.version = re.search(r'^version = "(.*)"', manifest, re.MULTILINE)[1]

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..")
        # All of it: the manifest names benchmarks and tests, and cargo wants to see them.
        copy(self, "*", root, self.export_sources_folder, excludes=("target/*", "*/target/*", ".git/*", "*/__pycache__/*"))

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("wstrand runs on Linux")

    def package(self):
        profile = "dev" if self.settings.build_type == "Debug" else "release"
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(self.build_folder, "target"))
        self.run(
            f'env -u DESTDIR -u LIBDIR CARGO_TARGET_DIR="{target}" ffi/install.sh "{self.package_folder}" {profile}'
            " --no-default-features --features tls",
            cwd=self.source_folder,
        )
        rm(self, "*.a" if self.options.shared else "*.so*", os.path.join(self.package_folder, "lib"))
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))  # Conan makes its own, for the one kind
        copy(self, "LICENSE-*", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        pc = load(self, os.path.join(self.package_folder, "lib", "pkgconfig", "wstrand.pc"))
        self.cpp_info.set_property("cmake_file_name", "wstrand")
        self.cpp_info.set_property("cmake_target_name", "wstrand::wstrand")
        self.cpp_info.set_property("pkg_config_name", "wstrand")
        self.cpp_info.libs = ["wstrand"]
        if not self.options.shared:
            needs = re.search(r"^Libs\.private: (.*)$", pc, re.MULTILINE)[1].split()
            self.cpp_info.system_libs = [need.removeprefix("-l") for need in needs]
