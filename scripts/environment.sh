# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts/demo and scripts/test: makes and fills .venv beside this folder.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"

fail() {
    echo "error: $*" >&2
    exit 1
}

# A ROS installation that was sourced in this shell must not leak into .venv.
if [ -n "${ROS_DISTRO:-}" ]; then
    unset ROS_DISTRO LD_LIBRARY_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
fi
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PYTHONPATH="$root"

# Prints a Python 3.10 to 3.13, for which there are rclpy wheels.
find_python() {
    local candidate found=""
    for candidate in ${SEGNODE_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
                2>/dev/null; then
            command -v "$candidate"
            return
        fi
        found="$found $("$candidate" -c 'import platform; print(platform.python_version())' \
            2>/dev/null || true)"
    done
    fail "segnode without a ROS installation needs Python 3.10 to 3.13 (found:${found:- none});" \
        "install one, or name it: SEGNODE_PYTHON=/path/to/python3.12 $0"
}

check_platform() {
    if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != x86_64 ]; then
        fail "ROS 2 comes as Python wheels for x86-64 Linux only, and this is $(uname -s)" \
            "$(uname -m): build segnode with colcon in a ROS 2 installation (README.md)"
    fi
}

make_venv() {
    if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        return
    fi
    local python
    python="$(find_python)" || exit 1
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments: install its venv package" \
            "(Debian, Ubuntu: apt install python3-venv)"
    rm -rf "$venv"
    echo "making .venv with $("$python" --version)"
    "$python" -m venv "$venv" || fail "$python could not make $venv"
}

# install_requirements NAME MESSAGE: installs requirements/NAME.txt unless it was installed already.
install_requirements() {
    local list="$root/requirements/$1.txt" stamp="$venv/.installed_$1" sum
    sum="$(sha256sum <"$list")"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
        return
    fi
    echo "installing $2"
    # Bytecode is made when a module is first used: a third of the files never are.
    "$venv/bin/python" -m pip install --quiet --no-compile --prefer-binary --no-input \
        --disable-pip-version-check --requirement "$list" >"$venv/pip.log" 2>&1 || {
        tail -n 15 "$venv/pip.log" >&2
        fail "pip could not install requirements/$1.txt: its last words are above, all of them" \
            "in $venv/pip.log"
    }
    "$venv/bin/python" "$root/scripts/slim_environment.py" "$venv"
    echo "$sum" >"$stamp"
}

# Two runs at once must not fill the same .venv.
lock_venv() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$root/.venv.lock"
        flock -n 9 || { echo "waiting for another run that sets up .venv"; flock 9; }
    fi
}

unlock_venv() {
    exec 9>&-
}

setup_demo() {
    check_platform
    lock_venv
    make_venv
    install_requirements demo "ROS 2, Fast DDS, ONNX Runtime, OpenCV into .venv (380 MB, a minute)"
}
