# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
#
# Source this before a camera driver or `ros2 bag play`, so that their large images reach other
# processes (it makes Fast DDS load fastdds.xml, which lies beside this file):
#
#     source config/transport.sh && ros2 bag play drive.mcap
#
# For sh, bash and zsh. Settings that are there already stay as they are. A shell that cannot
# tell where this file lies is told by SEGNODE_FASTDDS_PROFILE=/path/to/fastdds.xml.

_segnode_transport() {
    # Another choice of transports, or another middleware: nothing to do.
    if [ -n "${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}${FASTDDS_BUILTIN_TRANSPORTS:-}" ]; then
        echo 'segnode: a Fast DDS profile or choice of transports is set already and stays as it is.' >&2
        return 0
    fi
    case "${RMW_IMPLEMENTATION:-fastrtps}" in
        *fastrtps*) ;;
        *)
            echo "segnode: RMW_IMPLEMENTATION is $RMW_IMPLEMENTATION, which reads no Fast DDS profile." >&2
            return 0 ;;
    esac
    if [ "${ROS_LOCALHOST_ONLY:-}" = 1 ] && [ "${ROS_DISTRO:-}" = humble ]; then
        echo 'segnode: ROS_LOCALHOST_ONLY is 1, and on Humble the Fast DDS profile would open the network again: not set.' >&2
        return 0
    fi

    if [ ! -f "$1" ]; then
        echo 'error: fastdds.xml was not found; set SEGNODE_FASTDDS_PROFILE to its path.' >&2
        return 1
    fi
    # Fast DDS 2 (Humble, Iron, Jazzy) reads the first variable, Fast DDS 3 the second one; with
    # the first one it only warns that the name is old.
    case "${ROS_DISTRO:-}" in
        foxy | galactic | humble | iron | jazzy) export FASTRTPS_DEFAULT_PROFILES_FILE="$1" ;;
        '')
            export FASTRTPS_DEFAULT_PROFILES_FILE="$1"
            export FASTDDS_DEFAULT_PROFILES_FILE="$1" ;;
        *) export FASTDDS_DEFAULT_PROFILES_FILE="$1" ;;
    esac

    # KiB that the segment takes (with a sixteenth for bookkeeping) and KiB that are free.
    set -- "$(sed -n 's|.*<segment_size>\([0-9]*\)</segment_size>.*|\1|p' "$1")" \
        "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')"
    set -- "$((${1:-0} / 1024 * 17 / 16))" "${2:-0}"
    if [ "$2" -lt "$1" ]; then
        echo "segnode: /dev/shm has $(($2 / 1024)) MB free, but the shared-memory segment of each ROS process takes $(($1 / 1024)) MB: large frames will get lost (in a container: --ipc=host or a larger --shm-size)." >&2
    fi
    return 0
}

# Print the path of this file's fastdds.xml, or nothing.
_segnode_profile() {
    if [ -n "${SEGNODE_FASTDDS_PROFILE:-}" ]; then
        printf '%s\n' "$SEGNODE_FASTDDS_PROFILE"
        return 0
    fi
    if [ -z "$1" ]; then
        # Only bash and zsh tell which file they read; another shell has it open meanwhile.
        for _segnode_file in /proc/$$/fd/*; do
            _segnode_file=$(readlink "$_segnode_file") || continue
            case "$_segnode_file" in */transport.sh) set -- "$_segnode_file" ;; esac
        done
    fi
    case "$1" in
        */*) _segnode_folder=${1%/*} ;;
        *) _segnode_folder=. ;;
    esac
    if [ -f "$_segnode_folder/fastdds.xml" ]; then
        (CDPATH='' cd -- "$_segnode_folder" && printf '%s/fastdds.xml\n' "$(pwd -P)")
    fi
}

# zsh only: (the text is not parsed by other shells before it is evaluated)
_segnode_here=${BASH_SOURCE:-}
if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_segnode_here=${(%):-%x}'
fi
_segnode_here=$(_segnode_profile "$_segnode_here" || :)
_segnode_transport "$_segnode_here"
_segnode_status=$?
unset _segnode_here
unset -f _segnode_transport _segnode_profile
# The last command decides what `source` returns, and leaves no variable behind.
if [ "$_segnode_status" -eq 0 ]; then
    unset _segnode_status
else
    unset _segnode_status
    false
fi
