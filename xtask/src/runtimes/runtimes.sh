# Starts docker, podman and containerd on a host of their own (namespaces of network, mounts and processes, empty /run and /var/lib), and has
# fwd find and attach a container of each. All of it ends with the first process of the host. Of this machine only cgroups of the
# script's own are used, and a directory below /var/tmp.
#
# $1: fwd
set -eu
fwd=$1
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
[ -n "$cgroups" ] || { echo "runtimes: cgroup2 is not mounted" >&2; exit 1; }
work=$(mktemp -d /var/tmp/fwd-runtimes.XXXXXX)
clean() {
    rm -rf --one-file-system "$work"
    find "$cgroups"/fwd-runtimes -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

cat >"$work/host.sh" <<'HOST'
set -eu
fwd=$1 cgroups=$2 work=$3
fail() { echo "runtimes: $1" >&2; exit 1; }

# The host: an uplink, and an internet behind it.
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mkdir -p /run/lock /run/netns /var/lib/docker /var/lib/containers
ip link set lo up
ip netns add internet
ip link add eth0 type veth peer name inet0 netns internet
ip addr add 198.51.100.2/24 dev eth0
ip link set eth0 up
ip -n internet addr add 198.51.100.1/24 dev inet0
ip -n internet addr add 203.0.113.9/32 dev lo
for link in lo inet0; do ip -n internet link set "$link" up; done
ip route add default via 198.51.100.1

# cgroup2 alone, with no controllers asked for: those may belong to version 1 here.
mount --bind "$cgroups" /mnt
umount -R -l /sys/fs/cgroup
mount --move /mnt /sys/fs/cgroup
limits='--pids-limit=-1 --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --ulimit memlock=65536:65536'

# What is in the containers.
mkdir -p /run/box/bin /run/box/proc /run/box/sys /run/box/dev /run/box/etc /run/box/tmp
cp "$(command -v busybox)" /run/box/bin/busybox
for name in sh sleep; do ln -s busybox "/run/box/bin/$name"; done
box() { tar -C /run/box -c .; }

dockerd --iptables=false --ip6tables=false --ip-forward=false --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \
    --cgroup-parent /fwd-runtimes/docker >"$work/dockerd.log" 2>&1 &
patience=120
until docker info >/dev/null 2>&1; do
    patience=$((patience - 1))
    [ $patience -gt 0 ] || { cat "$work/dockerd.log" >&2; fail "docker does not start"; }
    sleep 0.5
done
box | docker import - box:1 >/dev/null
docker run -d --network none --name web box:1 sleep 600 >/dev/null
docker run -d --name own box:1 sleep 600 >/dev/null

printf '[engine]\nevents_logger="file"\nruntime="runc"\ncgroup_manager="cgroupfs"\n' >/run/containers.conf
export CONTAINERS_CONF=/run/containers.conf
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/run/policy.json
podman() { command podman --storage-driver vfs "$@"; }
box | podman import --signature-policy /run/policy.json - box:1 >/dev/null 2>&1
for options in '--name lasting' '--rm --name passing'; do
    # shellcheck disable=SC2086 # words
    podman run -d $limits $options --network none --cgroup-parent /fwd-runtimes/podman localhost/box:1 sleep 600 >/dev/null
done

# docker's containerd has a namespace for others, too.
ctr() { command ctr -a /run/docker/containerd/containerd.sock "$@"; }
command ctr oci spec | python3 -c '
import json, sys
spec = json.load(sys.stdin)
spec["linux"].pop("resources", None)
spec["linux"]["cgroupsPath"] = "/fwd-runtimes/task"
spec["process"]["args"] = ["/bin/sleep", "600"]
spec["root"] = {"path": "/run/box"}
json.dump(spec, open("/run/spec.json", "w"))'
ctr run -d --config /run/spec.json task

for container in web lasting passing task "$(docker inspect -f '{{.Id}}' own | cut -c-9)"; do
    options=
    case $container in [0-9a-f]*) options='--ifname eth1 --no-default-route --route 203.0.113.9/32' ;; esac
    # shellcheck disable=SC2086 # words
    "$fwd" up --container "$container" $options >/dev/null || fail "$container is not attached"
    "$fwd" exec --container "$container" ping -q -c1 -W5 203.0.113.9 >/dev/null || fail "$container does not reach the outside"
    echo "$container reaches the outside"
done
"$fwd" ls
for container in web lasting passing task 'own eth1'; do
    "$fwd" ls | grep -q "^ *$container " || fail "$container is not shown"
done

docker kill web >/dev/null
podman kill -s KILL lasting >/dev/null
refused() { # the container, and what is said
    if "$fwd" up --container "$1" 2>"$work/said"; then fail "$1 is attached"; fi
    grep -q "$2" "$work/said" || { cat "$work/said" >&2; fail "not a word of: $2"; }
    echo "$1: $(head -n 1 "$work/said")"
}
refused web 'docker start web'
refused lasting 'podman start lasting'
refused docker:lasting 'note none'
refused tusk 'did you mean `task`'
for container in web lasting passing task own; do "$fwd" down --container "$container" >/dev/null; done
[ -z "$("$fwd" ls --json | tr -d '[]\n ')" ] || fail "something is still up"
HOST

unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc sh "$work/host.sh" "$fwd" "$cgroups" "$work"
