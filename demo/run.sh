#!/usr/bin/env bash
# containerd runs a container on snapfs snapshots; nothing is left behind.
#
#   demo/run.sh          (or `make demo`, which sets up Python first)
#
# The interesting part is the function containerd_demo. Everything happens in a
# directory below $TMPDIR and in private namespaces: an installed containerd or Docker
# is not touched, and when the script ends, by itself, by an error or by Ctrl-C, every
# process and every mount of it ends too.
#
# As root it installs containerd and runc where none exists (it says so, and starts no
# service). Without root, or where they cannot be had, snapshot_demo shows the
# snapshots without containers.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$repository/.venv/bin:$PATH:/usr/sbin:/sbin"

# ----------------------------------------------------------------- the demonstration

# One image, one container that changes and deletes files, one commit.
containerd_demo() {
    step "Make an image of three layers from the programs of this machine"
    show python3 "$repository/demo/make_image.py" image.tar

    # Where a private containerd will be; ctr and snapfs look here.
    export CONTAINERD_ADDRESS="$PWD/containerd.sock"

    step "Serve a snapshot store to containerd"
    show_in_background snapfs serve --address "$PWD/snapfs.sock"
    wait_for "snapfs serve" test -S snapfs.sock

    step "Let snapfs write its part of containerd's configuration"
    show snapfs config containerd --address "$PWD/snapfs.sock" | tee snapfs.toml
    cat >containerd.toml <<EOF
version = 2
imports = ["$PWD/snapfs.toml"]
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.opt", "io.containerd.image-verifier.v1.bindir",
]
EOF

    step "Start a private containerd: its own root, state and socket"
    show_in_background containerd --config containerd.toml \
        --root "$PWD/containerd" --state "$PWD/state" --address "$CONTAINERD_ADDRESS"
    wait_for containerd ctr version

    step "Import the image: containerd unpacks each layer into a snapshot of snapfs"
    show ctr images import --snapshotter snapfs image.tar
    show snapfs tree

    step "Run a container on it. It changes one file and deletes another"
    show ctr run --snapshotter snapfs --cgroup "/$(basename "$PWD")/demo" \
        snapfs.test/demo:latest demo /bin/sh -c '
            cat /srv/app/message
            echo "Hello from the container." >/srv/app/message
            rm /srv/app/data
            ls -l /srv/app'

    step "Look at its snapshot: only what the container changed; a deletion is 0, 0"
    local key directory
    key=$(snapfs ls --filter kind==active --json | field name)
    directory=$(snapfs info "$key" --json | field directory)
    show ls -lR "$directory/fs"

    step "Commit the container as a new layer, and look at all snapshots"
    show ctr snapshots --snapshotter snapfs commit edited demo
    show snapfs tree
    show snapfs usage

    step "The image itself has not changed: another container starts from it"
    show ctr run --rm --snapshotter snapfs --cgroup "/$(basename "$PWD")/again" \
        snapfs.test/demo:latest again

    step "Remove everything; containerd collects its garbage and so does snapfs"
    show ctr containers rm demo
    show ctr snapshots --snapshotter snapfs rm edited
    show ctr images rm --sync snapfs.test/demo:latest
    show snapfs cleanup
    the_store_is_empty
}

# The same store without containerd: what `ctr` asked for above, asked by hand.
snapshot_demo() {
    local merged=$PWD/merged
    mkdir "$merged"

    step "Prepare a snapshot, mount it, write into it, and commit it"
    show snapfs prepare work
    show snapfs mount work "$merged" --rw
    show sh -c 'echo "Hello from the base." >merged/message; seq 1000 >merged/data'
    show snapfs umount "$merged"
    show snapfs commit base work

    step "Prepare another on top. Change one file and delete the other"
    show snapfs prepare change base
    show snapfs mount change "$merged" --rw
    show sh -c 'echo "Hello from the change." >merged/message; rm merged/data'
    show ls -l "$merged"
    show snapfs umount "$merged"

    step "Look at what it holds: only the changes; a deletion is a device 0, 0"
    show ls -lR "$(snapfs info change --json | field directory)/fs"

    step "Commit it, and look at all snapshots"
    show snapfs commit changed change
    show snapfs tree
    show snapfs usage

    step "The base has not changed"
    show snapfs mount base "$merged"
    show cat "$merged/message"
    show snapfs umount "$merged"

    if [ -r /dev/fuse ] && [ -w /dev/fuse ]; then
        step "The other driver shows the same: FUSE, and what its server had to do"
        show snapfs --driver fuse mount changed "$merged"
        show cat "$merged/message"
        show snapfs stats "$merged"
        show snapfs umount "$merged"
    fi

    step "Remove everything, children first"
    show snapfs rm changed base
    show snapfs cleanup
    the_store_is_empty
}

the_store_is_empty() {
    step "What is left in the store"
    show snapfs tree
    show find "$SNAPFS_ROOT/snapshots" "$SNAPFS_ROOT/trash" -mindepth 1
    [ -z "$(snapfs tree)" ] || fail "snapshots are left"
    [ -z "$(find "$SNAPFS_ROOT/snapshots" "$SNAPFS_ROOT/trash" -mindepth 1)" ] ||
        fail "directories are left"
    printf '\nNothing. The demo is over.\n'
}

# ------------------------------------------------------------------------- telling it

exec 3>&1
number=0
step() {
    number=$((number + 1))
    printf '\n%s%d. %s.%s\n' "$bold" "$number" "$*" "$plain"
}

# Print a command as one could type it, then run it.
show() {
    print_command "$@"
    "$@"
}

show_in_background() {
    print_command "$@" "&"
    "$@" >"$1.log" 2>&1 &
}

print_command() {
    local word line=''
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=,@%+\&-]* | '') line+=" '$word'" ;;
        *) line+=" $word" ;;
        esac
    done
    printf '%s  $%s%s\n' "$dim" "$line" "$plain" >&3 # also where output is piped
}

# Wait until the program that was started last answers.
wait_for() {
    local what=$1
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 $! 2>/dev/null || fail "$what ended: $(tail -n 5 "${what%% *}.log")"
        sleep 0.1
    done
}

# Print the value of a text field of the JSON object on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

say() { printf '%s\n' "$*"; }
fail() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

# ------------------------------------------------------- the stage, built and removed

# Inside the namespaces. /run is empty here: shims and runc keep their state there,
# whatever containerd's own configuration says.
perform() {
    exec 2>&4 4>&-
    cd "$1"
    # containerd mounts below $TMPDIR while it unpacks; what a kill leaves goes with us.
    mkdir -p tmp
    export TMPDIR="$PWD/tmp"
    export SNAPFS_ROOT="$PWD/store"
    # containerd 2.x warns of cgroup version 1 before each answer.
    export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1
    [ "$2" = snapshot_demo ] || mount -t tmpfs tmpfs /run
    "$2"
}

# Processes: they end with the namespace's first one, which is ours to end. Mounts end
# with their last user. That leaves a directory and, made by runc, empty cgroups.
clean_up() {
    local status=$? first folder
    trap '' INT TERM HUP
    set +e
    if [ -d "/proc/${stage:-none}" ]; then
        # One child: the first process of the namespaces.
        read -r first <<<"$(cat "/proc/$stage/task/$stage/children")"
        kill -KILL "${first:-$stage}"
        wait "$stage"
    fi
    for folder in /sys/fs/cgroup/"$(basename "$scratch")" \
        /sys/fs/cgroup/*/"$(basename "$scratch")"; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} \;
    done
    chmod -R u+rwX "$scratch" 2>/dev/null # overlayfs makes directories of mode 0
    rm -rf "$scratch"
    [ "$status" -eq 0 ] || say "The demo did not end well; nothing of it is left."
    exit "$status"
}

main() {
    local play=containerd_demo private=(unshare --mount --pid --fork --kill-child --mount-proc)
    command -v snapfs >/dev/null || fail "no snapfs command; run 'make demo'"
    if [ "$(id -u)" -ne 0 ]; then
        play=snapshot_demo private+=(--user --map-root-user)
        say "Without root there are no containers: showing snapshots in a user namespace."
    elif ! "${private[@]}" true 2>/dev/null; then
        play=snapshot_demo private+=(--user --map-root-user)
        say "This root may not mount: showing snapshots in a user namespace."
    else
        "$repository/scripts/install-containerd" packages
        if ! command -v containerd >/dev/null || ! command -v runc >/dev/null; then
            play=snapshot_demo
            say "Without containerd there are no containers: showing snapshots only."
        fi
    fi
    "${private[@]}" true || fail "this host refuses user namespaces (see unshare(1))"

    scratch=$(mktemp -d "${TMPDIR:-/tmp}/snapfs-demo-XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # In the background, so that a signal is answered at once. Only the play may write
    # to standard error: unshare complains when its child is killed.
    "${private[@]}" "${BASH_SOURCE[0]}" perform "$scratch" "$play" 4>&2 2>/dev/null &
    stage=$!
    wait "$stage"
}

case ${1:-} in
perform) perform "$2" "$3" ;;
'') main ;;
*) fail "usage: demo/run.sh" ;;
esac
