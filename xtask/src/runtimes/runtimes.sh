# Starts docker, podman and containerd on a host of their own (namespaces of network, mounts and processes, empty /run and /var/lib), and has
# fwd find and attach a container of each. All of it ends with the first process of the host. Of this machine only a cgroup of the
# script's own is used, and a directory below /var/tmp.
#
# $1: fwd. $2: the directory of this script.
fwd=$1 shared=$2/../sandbox.sh
. "$shared"
begin runtimes
own_cgroup

cat "$shared" - >"$work/host.sh" <<'HOST'
script=runtimes fwd=$1 cgroups=$2 work=$3 group=$4 logs="$3/dockerd.log"

# The host: an uplink, and an internet behind it.
empty_directories /var/lib/docker /var/lib/containers
uplink 203.0.113.9
cgroup2_alone "$cgroups"
limits='--pids-limit=-1 --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --ulimit memlock=65536:65536'

# What is in the containers.
box /run/box sh sleep
image() { tar -C /run/box -c .; }

dockerd --iptables=false --ip6tables=false --ip-forward=false --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \
    --cgroup-parent "/$group/docker" >"$work/dockerd.log" 2>&1 &
until_true docker info
image | docker import - box:1 >/dev/null
docker run -d --network none --name web box:1 sleep 600 >/dev/null
docker run -d --name own box:1 sleep 600 >/dev/null

printf '[engine]\nevents_logger="file"\nruntime="runc"\ncgroup_manager="cgroupfs"\n' >/run/containers.conf
export CONTAINERS_CONF=/run/containers.conf
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/run/policy.json
podman() { command podman --storage-driver vfs "$@"; }
image | podman import --signature-policy /run/policy.json - box:1 >/dev/null 2>&1
for options in '--name lasting' '--rm --name passing'; do
    # shellcheck disable=SC2086 # words
    podman run -d $limits $options --network none --cgroup-parent "/$group/podman" localhost/box:1 sleep 600 >/dev/null
done

# docker's containerd has a namespace for others, too.
ctr() { command ctr -a /run/docker/containerd/containerd.sock "$@"; }
command ctr oci spec | group=$group python3 -c '
import json, os, sys
spec = json.load(sys.stdin)
spec["linux"].pop("resources", None)
spec["linux"]["cgroupsPath"] = "/" + os.environ["group"] + "/task"
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

on_a_host --mount-proc sh "$work/host.sh" "$fwd" "$cgroups" "$work" "$group"
