#!/bin/sh
# Run tests of the engine on AArch64, under qemu-user, on Debian on another processor:
#
#     sudo apt-get install qemu-user gcc-aarch64-linux-gnu
#     tests/aarch64.sh tests/test_value.py tests/test_model.py
#
# What it fetches and builds lies in build/aarch64: Debian's Python and libc for arm64, the wheels
# that the tests need, and a copy of the package. With no tests to run, it only builds;
# build/aarch64/python is that Python.
set -eu
cd "$(dirname "$0")/.."
here=$PWD/build/aarch64
root=$here/root
host=${HOST_PYTHON:-.venv/bin/python}
version=$($host -c 'import sys; print("%d.%d" % sys.version_info[:2])')

fail() { echo "aarch64.sh: $*" >&2; exit 1; }
for tool in qemu-aarch64 aarch64-linux-gnu-gcc; do
    command -v $tool > /dev/null ||
        fail "it needs $tool: sudo apt-get install qemu-user gcc-aarch64-linux-gnu"
done

# Debian's packages for arm64, without telling this machine's dpkg of another kind of processor.
fetch_root() {
    apt=$here/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"
    : > "$apt/status"
    . /etc/os-release
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $VERSION_CODENAME main" > "$apt/sources.list"
    cat > "$apt/apt.conf" << END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
END
    export APT_CONFIG="$apt/apt.conf"
    apt-get -qq update
    apt-get -qq install --download-only --yes --no-install-recommends \
        "python$version" "libpython$version-dev" > /dev/null
    for package in "$apt"/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
}

# Python for AArch64 as a program of this machine, which other programs can start, too.
write_python() {
    cat > "$here/python" << END
#!/bin/sh
PYTHONPATH=\${PYTHONPATH:+\$PYTHONPATH:}$here/site
export PYTHONPATH
exec qemu-aarch64 -L $root $root/usr/bin/python$version "\$@"
END
    chmod +x "$here/python"
    mkdir -p "$here/site"
    echo "import sys; sys.executable = '$here/python'" > "$here/site/sitecustomize.py"
}

fetch_wheels() {
    $host -m pip download --quiet --dest "$here/wheels" --only-binary=:all: \
        --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
        --python-version "$version" --implementation cp \
        "safetensors>=0.8,<1" "rich>=13" "prompt_toolkit>=3.0.40,<4" "shtab>=1.13,<2" \
        "pytest>=8" "hypothesis>=6.100" "setuptools>=77" "cython>=3.1,!=3.3.*"
    for wheel in "$here"/wheels/*.whl; do $host -m zipfile -e "$wheel" "$here/site"; done
}

[ -e "$here/fetched" ] || { fetch_root; write_python; fetch_wheels; touch "$here/fetched"; }

# Cython makes the same C code for every processor, so it runs on this one; the compiler crosses.
$host setup.py --quiet build_ext --inplace
rm -rf "$here/copy"
mkdir -p "$here/copy/build"
cp -rp llmhard pyx data tests docs_tools setup.py pyproject.toml README.md LICENSE "$here/copy"
cp -rp build/cython build/pyx "$here/copy/build/"
find "$here/copy" -name '*.so' -delete

cd "$here/copy"
CC="aarch64-linux-gnu-gcc -idirafter $root/usr/include" LLMHARD_ARCH=portable \
    "$here/python" setup.py --quiet build_ext --inplace
"$here/python" -m llmhard --version
[ $# -eq 0 ] || exec "$here/python" -m pytest -p no:cacheprovider -k "not new_operation" "$@"
