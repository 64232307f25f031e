# Starts dockerd with fwd as its network driver on a host of its own (namespaces of network, mounts and processes, empty /run and /var/lib), and
# does with containers what people do with them. All of it ends with the first process of the host. Of this machine only a cgroup of the script's
# own is used, and a directory below /var/tmp.
#
# $1: fwd. $2: the directory of this script.
fwd=$1 shared=$2/../sandbox.sh
. "$shared"
begin docker
own_cgroup

cat "$shared" - >"$work/host.sh" <<'HOST'
script=docker fwd=$1 cgroups=$2 work=$3 group=$4
logs="$work/fwd.log $work/dockerd.log"

# The host: an uplink, and an internet behind it.
empty_directories /var/lib/docker
uplink 203.0.113.9
cgroup2_alone "$cgroups"
mkdir -p "/sys/fs/cgroup/$group/host"
echo $$ >"/sys/fs/cgroup/$group/host/cgroup.procs"

# What is in the containers.
box /run/box sh sleep ip nc ping httpd nslookup printf

start_fwd() {
    FWD_LOG=info "$fwd" --cgroup "/sys/fs/cgroup/$group/host" docker >>"$work/fwd.log" 2>&1 &
    driver=$!
    until_true test -S /run/docker/plugins/fwd.sock
}
start_dockerd() {
    dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --storage-driver vfs \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$group/docker" "$@" >>"$work/dockerd.log" 2>&1 &
    daemon=$!
    until_true docker info
}
stop() { # a process of this script
    kill "-$1" "$2"
    wait "$2" || true
}
get() { # whether the page is there: for the host, the internet or a container $1, at the address $2 and the port $3
    script="printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox timeout 10 busybox nc $2 $3"
    case $1 in
        host) sh -c "$script" ;;
        internet) ip netns exec internet sh -c "$script" ;;
        *) docker exec "$1" /bin/busybox sh -c "$script" ;;
    esac | grep -q '^hello'
}
run() { docker run -d --network "$@"; }

start_fwd
start_dockerd
tar -C /run/box -c . | docker import - box:1 >/dev/null

docker network create -d fwd --subnet 10.80.0.0/24 n1 >/dev/null || fail "no network is made"
run n1 --name web -p 8081:80 box:1 httpd -f -p 80 -h /www >/dev/null || fail "no container is started"
run n1 --name other box:1 sleep 600 >/dev/null
docker exec web ip addr show eth0 | grep -q ' 10.80.0.2/24 ' || fail "web has another address"
docker exec web ping -q -c1 -W5 203.0.113.9 >/dev/null || fail "no way out"
get other 10.80.0.2 80 || fail "containers do not reach each other"
docker exec other nslookup web 127.0.0.11 | grep -q 10.80.0.2 || fail "containers do not find each other by name"
get internet 198.51.100.2 8081 || fail "the published port is not reached from outside"
get host 198.51.100.2 8081 || fail "the published port is not reached by the host's address"
get host 127.0.0.1 8081 || fail "the published port is not reached by 127.0.0.1"
get other 198.51.100.2 8081 || fail "the published port is not reached from another container"
get web 198.51.100.2 8081 || fail "the published port is not reached from the container itself"
get host 10.80.0.2 80 || fail "the host does not reach the container"
done_with "out with NAT, to one another, published ports"

learned() { "$fwd" ls --json | tr -d '\n ' | grep -q '"ns_if":"eth0".*"ns_if":"eth0"'; }
until_true learned
named() { "$fwd" ls | grep -q "container $(docker inspect -f '{{.Id}}' web | cut -c-12)"; }
until_true named
"$fwd" ls
"$fwd" doctor | grep '^ *endpoints' || true
done_with "the namespaces of containers are learned"

if docker run --rm --network n1 -p 8081:80 box:1 true 2>"$work/said"; then fail "a port is given twice"; fi
grep -q '8081' "$work/said" || { cat "$work/said" >&2; fail "not a word of the port"; }
docker run -d --name any -p 80 --network n1 box:1 httpd -f -p 80 -h /www >/dev/null
any=$("$fwd" ls --json | tr ',' '\n' | sed -n 's/.*"\([0-9]*\):80\/tcp".*/\1/p' | grep -v 8081 | head -n 1)
get internet 198.51.100.2 "$any" || fail "the port that was chosen, $any, is not reached"
docker rm -f any >/dev/null
done_with "ports that are taken, and that are chosen ($any)"

docker network create -d fwd --internal --subnet 10.81.0.0/24 inner >/dev/null
run inner --name inside box:1 sleep 600 >/dev/null
if docker exec inside ping -q -c1 -W1 203.0.113.9 >/dev/null 2>&1; then fail "it leaves an internal network"; fi
docker exec inside ip route | grep -q default && fail "an internal network has a way out"
docker network connect inner other
docker exec other ping -q -c1 -W5 10.81.0.2 >/dev/null || fail "a second network is not joined"
docker network disconnect inner other
docker rm -f inside >/dev/null
docker network rm inner >/dev/null
done_with "internal networks; connect and disconnect"

docker restart -t 0 web >/dev/null
until_true get internet 198.51.100.2 8081
stop KILL "$driver"
until_true get internet 198.51.100.2 8081
start_fwd
docker rm -f other >/dev/null || fail "a container is not removed after the driver was killed"
run n1 --name other box:1 sleep 600 >/dev/null
get other 10.80.0.2 80 || fail "no container is started after the driver was killed"
done_with "a container that is restarted, a driver that was killed"

stop TERM "$daemon"
start_dockerd
docker start web other >/dev/null
until_true get internet 198.51.100.2 8081
done_with "dockerd is started again, without live-restore"

stop TERM "$daemon"
start_dockerd --live-restore
docker start web other >/dev/null
stop TERM "$daemon"
get internet 198.51.100.2 8081 || fail "nothing is forwarded without dockerd"
start_dockerd --live-restore
get internet 198.51.100.2 8081 || fail "nothing is forwarded after dockerd was started again"
docker rm -f web >/dev/null || fail "a container that outlived dockerd is not removed"
done_with "dockerd is started again, with live-restore"

# Killed while it works at something: docker is told that nobody answers, or waits for the next driver.
for moment in 0.02 0.05 0.1 0.2 0.4; do
    run n1 --name killed -p 8082:80 box:1 httpd -f -p 80 -h /www >/dev/null 2>&1 &
    call=$!
    sleep "$moment"
    stop KILL "$driver"
    start_fwd
    wait "$call" || true
    docker rm -f killed >/dev/null 2>&1 || true
    run n1 --name killed -p 8082:80 box:1 httpd -f -p 80 -h /www >/dev/null || fail "what a killed driver left is in the way ($moment)"
    until_true get internet 198.51.100.2 8082
    docker rm -f killed >/dev/null
done
done_with "a driver that is killed in a call"

# A reboot: the records are gone, and all interfaces with them; files and docker's own state are there.
docker rm -f other >/dev/null
docker run -d --restart always --network n1 --name lasting -p 8083:80 box:1 httpd -f -p 80 -h /www >/dev/null
stop KILL "$daemon"
for pid in $(cat /sys/fs/cgroup/"$group"/docker/*/cgroup.procs /run/docker/containerd/containerd.pid); do
    kill -KILL "$pid" 2>/dev/null || true
done
stop KILL "$driver"
"$fwd" down --all >/dev/null
start_fwd
for file in /run/docker/netns/*; do umount -l "$file" 2>/dev/null || true; done
rm -rf /run/docker/netns /run/docker/containerd /run/docker/runtime-* /run/docker.pid
start_dockerd
until_true get internet 198.51.100.2 8083
done_with "after a reboot the containers that are to be there are"

docker rm -f lasting >/dev/null
docker network rm n1 >/dev/null
[ -z "$(ls /var/lib/fwd/docker)" ] || fail "a file of a network is left"
[ -z "$("$fwd" ls --json | tr -d '[]\n ')" ] || fail "something is still up"
if ip -o link | grep -E 'fwd[vp]|d-[0-9a-f]{12}'; then fail "an interface is left"; fi
stop TERM "$driver"
[ ! -e /run/docker/plugins/fwd.sock ] || fail "the socket is left"
done_with "nothing is left"
HOST

on_a_host --mount-proc sh "$work/host.sh" "$fwd" "$cgroups" "$work" "$group"
