# Makes a Debian with podman and netavark, and runs containers there on networks of fwd: on a host of their own, with an uplink and an internet behind
# it. Of this machine only a cgroup of the script's own is used, and a directory below /var/tmp.
#
# $1: fwd. $2: the directory of this script. $3: `plugin`, networks of the driver fwd by a podman that has plugins; `place`, networks of the driver bridge by one that has fwd in
# netavark's place. FWD_TRIXIE, FWD_BOOKWORM, if they are set: directories with such a Debian, which is copied instead of being made.
fwd=$1 shared=$2/../sandbox.sh way=$3
. "$shared"
case $way in
plugin) suite=trixie made=${FWD_TRIXIE:-} packages=podman,netavark,crun,iproute2,curl,busybox-static ;;
place) suite=bookworm made=${FWD_BOOKWORM:-} packages=podman,aardvark-dns,crun,iproute2,curl,busybox-static ;;
esac
begin netavark
own_cgroup
chmod 755 "$work"

if [ -d "$made" ]; then
    cp -a "$made" "$work/debian"
else
    mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$work/debian"
fi
root=$work/debian
install -D -m 755 "$fwd" "$root/usr/local/bin/fwd"
mkdir -p "$root/usr/local/lib/netavark" "$root/usr/local/lib/fwd"
case $way in
plugin) ln -s ../../bin/fwd "$root/usr/local/lib/netavark/fwd" ;;
place)
    ln -s ../../bin/fwd "$root/usr/local/lib/fwd/netavark"
    install -D -m 644 "$2/../../../contrib/podman/10-fwd.conf" "$root/etc/containers/containers.conf.d/10-fwd.conf"
    ;;
esac
cat >"$root/etc/containers/containers.conf" <<'CONF'
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
firewall_driver = "none"
CONF
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' >"$root/etc/containers/storage.conf"

cat "$shared" - >"$root/tmp/host.sh" <<'HOST'
script=netavark
# What the networks are made with, and the domain of their names.
case $1 in
plugin) driver=fwd domain=n1 ;;
place) driver=bridge domain=dns.podman ;;
esac
uplink 203.0.113.9

# What is in the containers: each serves its own name.
serve() {
    name=$1
    shift
    podman run -d --name "$name" "$@" --rootfs "/box/$name" httpd -f -p 80 -h /www >/dev/null
}
page() { [ "$(curl -s -m 5 "http://$1/")" = "this is $2" ] || fail "http://$1/ is not answered by $2 $3"; }
outside() {
    shown=$(nsenter --net=/run/netns/internet curl -s -m 5 "http://198.51.100.2:$1/") || true
    [ "$shown" = "this is $2" ] || fail "port $1 does not lead to $2 from outside $3"
}
# By the names that the container knows; busybox's own client of HTTP needs libraries that are not there.
from() { nsenter --net="/proc/$(podman inspect "$1" --format '{{.State.Pid}}')/ns/net" curl -s -m 5 "http://$2/"; }
asks() {
    address=$2
    case $2 in
    [0-9]*) ;;
    *) address=$(podman exec "$1" busybox nslookup "$2" | sed -n 's/^Address: *\([0-9.]*\)$/\1/p' | tail -n 1) ;;
    esac
    [ "$(from "$1" "$address")" = "this is $3" ] || fail "$1 does not reach $3 as $2"
}
endpoints() { [ "$(fwd ls --json | grep -c '"container":')" = "$1" ] || fail "there are not $1 endpoints $2"; }

podman --version
state() { ip -br link; ip -br addr; cat /proc/sys/net/ipv4/conf/*/forwarding; }
before=$(state)
for container in a b c; do
    box "/box/$container" sh httpd ping ip cat
    echo "this is $container" >"/box/$container/www/index.html"
done
podman network create -d $driver n1 >/dev/null
podman network create -d $driver --subnet 10.70.0.0/24 -o mtu=1400 n2 >/dev/null
podman network create -d $driver --internal vault >/dev/null
podman network create -d $driver -o nothing=x n4 >/dev/null 2>/tmp/said && fail "an option that there is not is taken"
grep -q 'option nothing=x: there is no such option\|unsupported bridge network option nothing' /tmp/said ||
    fail "podman does not say why: $(cat /tmp/said)"
done_with 'network create, and what it refuses'

serve a --network n1 --network-alias web -p 8080:80
serve b --network n1 --cap-add NET_RAW
serve c --network n2 --ip 10.70.0.9 --mac-address 02:00:00:00:00:09 -p 8081:80
outside 8080 a ''
outside 8081 c ''
page 198.51.100.2:8080 a 'from the host'
page 127.0.0.1:8080 a "by the host's loopback"
page 10.70.0.9 c 'from the host'
done_with "published ports: from outside, from the host's addresses, by its loopback"
podman exec c ip -o addr show eth0 | grep -q '10.70.0.9/24' || fail 'c has not the address that was asked for'
podman exec c ip -o link show eth0 | grep -q 'mtu 1400 .*02:00:00:00:00:09' || fail 'c has not the MTU or the address'
podman exec b ping -c 1 -W 5 203.0.113.9 >/dev/null || fail 'b does not get out'
asks b a a
asks b web a
asks b "a.$domain" a
asks a 198.51.100.2:8080 a
from b 10.70.0.9 >/dev/null && fail 'networks reach each other'
[ "$(podman inspect c --format '{{.NetworkSettings.Networks.n2.Gateway}}')" = 10.70.0.1 ] || fail 'podman does not know the gateway'
done_with 'way out, names and aliases, static address, isolation'

podman network connect --alias db n2 a
asks c db a
endpoints 4 'where a is in two networks'
podman network disconnect n1 a
asks c db a
outside 8080 a 'by the network that it is left in'
podman network connect n1 a
podman network disconnect n2 a
outside 8080 a 'after it came back'
endpoints 3 'where a is in one network again'
done_with 'connect and disconnect'
podman restart -t 0 a >/dev/null
outside 8080 a 'after a restart'
podman kill c >/dev/null
podman wait c >/dev/null
podman start c >/dev/null
outside 8081 c 'after it was killed'
podman network reload a c >/dev/null
outside 8080 a 'after a reload'
outside 8081 c 'after a reload'
done_with 'restart, kill and start, reload'
# It has to run, and to have an address, to say anything by not being answered.
podman run --rm --network vault --cap-add NET_RAW --rootfs /box/b \
    sh -c 'ip addr show eth0 | busybox grep -q "inet " && ! ping -c 1 -W 1 203.0.113.9' >/dev/null 2>&1 || fail 'something leaves an internal network'
podman rm -f -t 0 a b c >/dev/null
podman network rm n1 n2 vault >/dev/null
[ "$(fwd ls --json)" = '[]' ] || fail 'something is left'
fwd down --all >/dev/null
after=$(state)
[ "$before" = "$after" ] || fail "the host is not as it was: $before / $after"
done_with 'nothing is left'
HOST

# A process namespace of its own, in which the first process lives as long as the host does.
case $way in
plugin) echo "podman with networks of the driver fwd, by netavark" ;;
place) echo "podman with fwd in netavark's place" ;;
esac
on_a_host sh -ec '
    echo $$ >"$2/$3/cgroup.procs"
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount --bind "$2" sys/fs/cgroup
    mount -t tmpfs run run
    mkdir -p run/lock run/netns
    mount --rbind /dev dev
    mkdir -p old
    # Not chroot(2): whoever enters a container by its mount namespace would be in front of it.
    pivot_root . old
    export FWD_CGROUP=/sys/fs/cgroup/$3
    exec chroot . sh -c "umount -l /old && exec sh /tmp/host.sh $4"
' sh "$root" "$cgroups" "$group" "$way"
