# Makes a sandboxed host one on which docker and podman run: namespaces of mounts, processes and cgroups, in which /run, /var/lib and /dev/shm are
# empty, so that neither sees or changes what this machine's own have. It is read behind what the scripts of `./x` share, and all of it ends with it.
#
# $1: fwd. What it writes: `host` and its process id as it is seen outside; of each runtime `runs` and its name, or `lacks`, its name and why; and
# `ready`, whereupon it waits, or `ended`.
script=containers fwd=$1
trap 'echo ended' EXIT
read -r pid rest </proc/self/stat
echo "host $pid"

# Contexts of docker and the like are the caller's, too.
export HOME=/run
mount -t proc proc /proc
empty_directories
# Where it were no link to /run, the socket of this machine's own docker would be there.
[ /var/run -ef /run ] || mount --bind /run /var/run
mount -t tmpfs shm /dev/shm
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Both would load a profile of AppArmor into the kernel, where it stays.
apparmor=/sys/module/apparmor/parameters/enabled
[ ! -e $apparmor ] || mount --bind /dev/null $apparmor

# dockerd would do so, if it were not told to leave the host as it is; it warns where nobody does.
echo 1 >/proc/sys/net/ipv4/ip_forward
# fwd by the name that is typed, and by that of the program whose place it takes for podman.
mkdir /run/bin
for called in fwd netavark; do ln -s "$fwd" /run/bin/$called; done

# What is in the containers: each serves its own name.
command -v busybox >/dev/null || fail 'there is no busybox on this machine'
for container in shop db; do
    box "/run/box/$container" httpd ping true
    echo "this is $container" >"/run/box/$container/www/index.html"
done

try() { # RUNTIME PROGRAM…: whether it can run a container at all, which has nothing to do with networks
    runtime=$1
    for program; do
        command -v "$program" >/dev/null || { echo "lacks $runtime there is no $program on this machine"; return; }
    done
    if "try_$runtime" >"/run/$runtime.said" 2>&1; then
        echo "runs $runtime"
    else
        echo "lacks $runtime it runs no container here: $(tail -n 1 "/run/$runtime.said")"
    fi
}
try_docker() {
    "$fwd" docker >/run/fwd.log 2>&1 &
    # What /etc/docker says is about this machine's own: a data-root, for one.
    echo '{}' >/run/daemon.json
    dockerd --config-file /run/daemon.json --bridge=none --iptables=false --ip6tables=false --ip-forward=false --storage-driver vfs \
        --exec-opt native.cgroupdriver=cgroupfs >/run/dockerd.log 2>&1 &
    daemon=$!
    until docker info >/dev/null 2>&1; do
        kill -0 $daemon || { tail -n 1 /run/dockerd.log; return 1; }
        sleep 0.2
    done
    tar -C /run/box/shop -c . | docker import - box && docker run --rm --network none box true
}
try_podman() {
    cat >/run/containers.conf <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000", "memlock=65536:65536"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
helper_binaries_dir = ["/run/bin"]
[network]
network_backend = "netavark"
network_config_dir = "/run/networks"
CONF
    printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' >/run/storage.conf
    export CONTAINERS_CONF=/run/containers.conf CONTAINERS_STORAGE_CONF=/run/storage.conf
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/run/policy.json
    tar -C /run/box/db -c . | podman import --signature-policy /run/policy.json - box &&
        podman run --rm --pids-limit=-1 --network none box true
}
try docker dockerd runc
try podman runc
echo ready
exec sleep 600
