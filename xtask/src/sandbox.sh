# What the scripts share that make a host of their own, with an uplink and an internet behind it: they read it, and what runs on the host begins
# with it. Of this machine only a directory below /var/tmp is used, and a cgroup of the script's own.
set -eu

# In a script.

begin() { # NAME: $work is a directory that goes with the script
    script=$1
    work=$(mktemp -d "/var/tmp/fwd-$script.XXXXXX")
    trap end EXIT
    trap 'exit 1' INT TERM HUP
}
own_cgroup() { # $group is a cgroup below $cgroups, and goes with the script, too
    cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    [ -n "$cgroups" ] || fail 'cgroup2 is not mounted'
    group=fwd-$script-$$
    mkdir "$cgroups/$group"
}
end() {
    rm -rf --one-file-system "$work"
    [ -z "${group:-}" ] || find "$cgroups/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
# Runs the words in namespaces of network, mounts and processes: all of it ends with its first process.
on_a_host() { unshare --net --mount --propagation private --pid --fork --kill-child "$@"; }

# On the host, and in a script.

fail() { # WHY: what is in files named $logs is shown
    echo "$script: $1" >&2
    # shellcheck disable=SC2086 # words
    [ -z "${logs:-}" ] || tail -n 30 $logs >&2
    exit 1
}
done_with() { echo "ok: $1"; }

# On the host.

until_true() { # a command that is to succeed soon
    patience=240
    until "$@" >/dev/null 2>&1; do
        patience=$((patience - 1))
        [ $patience -gt 0 ] || fail "this does not become true: $*"
        sleep 0.25
    done
}
empty_directories() { # DIRECTORY…: /run and /var/lib are empty but for these
    mount -t tmpfs run /run
    mount -t tmpfs lib /var/lib
    mkdir -p /run/lock /run/netns "$@"
}
cgroup2_alone() { # DIRECTORY: with no controllers asked for, which may belong to version 1 here
    mount --bind "$1" /mnt
    umount -R -l /sys/fs/cgroup
    mount --move /mnt /sys/fs/cgroup
}
uplink() { # ADDRESS: eth0, and the internet, which has this one besides
    ip link set lo up
    ip netns add internet
    ip link add eth0 type veth peer name inet0 netns internet
    ip addr add 198.51.100.2/24 dev eth0
    ip link set eth0 up
    ip -n internet addr add 198.51.100.1/24 dev inet0
    ip -n internet addr add "$1/32" dev lo
    for link in lo inet0; do ip -n internet link set "$link" up; done
    ip route add default via 198.51.100.1
}
uplink6() { # ADDRESS: the same of IPv6, afterwards
    ip addr add 2001:db8::2/64 dev eth0 nodad
    ip -n internet addr add 2001:db8::1/64 dev inet0 nodad
    ip -n internet addr add "$1/128" dev lo nodad
    ip route add default via 2001:db8::1
}
box() { # DIRECTORY NAME…: what is in a container, busybox by these names
    directory=$1
    shift
    for part in bin proc sys dev etc tmp run www; do mkdir -p "$directory/$part"; done
    cp "$(command -v busybox)" "$directory/bin/busybox"
    for name; do ln -s busybox "$directory/bin/$name"; done
    echo hello >"$directory/www/index.html"
}
