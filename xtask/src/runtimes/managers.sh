# Runs what else manages a host's network beside fwd, on a host of its own (namespaces of network, mounts and processes, empty /run and
# /var/lib): ufw and firewalld with a closed host, NetworkManager and systemd-networkd that would configure whatever there is. None of it sees
# this machine, of which only a directory below /var/tmp is used.
#
# $1: fwd. $2: the directory of this script.
fwd=$1 contrib=$2/../../../contrib shared=$2/../sandbox.sh
. "$shared"
begin managers

cat "$shared" - >"$work/host.sh" <<'HOST'
script=managers fwd=$1 contrib=$2 work=$3 logs="$3/*.log"

# The host: an uplink, and an internet behind it.
empty_directories /run/dbus /run/udev /run/systemd/netif /run/cgroup /run/etc /var/lib/NetworkManager
mount --bind "$(findmnt -n -t cgroup2 -o TARGET | head -n 1)" /run/cgroup
umount -R -l /sys
mount -t sysfs sysfs /sys
# The kernel tells every namespace of devices that come and go, and udev would give the nodes of this machine owners and modes of its own.
mkdir /run/dev
mount -t tmpfs dev /run/dev
mkdir /run/dev/net /run/dev/shm
for node in null zero full random urandom tty; do
    : >/run/dev/$node
    mount --bind /dev/$node /run/dev/$node
done
mount --move /run/dev /dev
mount --move /run/cgroup /sys/fs/cgroup
uplink 203.0.113.9

# Configuration of their own.
own() { # a directory of /etc, with what is in it
    cp -a "/etc/$1" /run/etc/
    mount --bind "/run/etc/$1" "/etc/$1"
}
mkdir -p /run/www /run/none
echo hello >/run/www/index.html
for rules in /lib/udev/rules.d /lib/systemd/network /etc/udev /etc/systemd/network /etc/NetworkManager; do
    [ ! -d $rules ] || mount -t tmpfs none $rules
done
mkdir -p /etc/NetworkManager/system-connections
printf '[main]\nplugins=keyfile\n' >/etc/NetworkManager/NetworkManager.conf
install -m 644 "$contrib"/udev/85-fwd.rules /lib/udev/rules.d/
install -m 644 "$contrib"/networkd/10-fwd.network /lib/systemd/network/
/lib/systemd/systemd-udevd >"$work/udevd.log" 2>&1 &
until_true udevadm control --ping
dbus-daemon --system --nofork --nopidfile --address=unix:path=/run/dbus/system_bus_socket >"$work/dbus.log" 2>&1 &
until_true test -S /run/dbus/system_bus_socket

# One network that programs forward, and one that the kernel does.
"$fwd" up --ns web -p 8080:80 >/dev/null
"$fwd" up --ns old --network kernel0 --datapath kernel -p 8081:80 >/dev/null
for ns in web old internet; do ip netns exec $ns busybox httpd -p 80 -h /run/www; done

page() { # namespace, address
    [ "$(nsenter --net=/run/netns/"$1" curl -s -m 5 "http://$2/")" = hello ]
}
gets_out() { page "$1" 203.0.113.9; }
is_reached() { page internet "198.51.100.2:$1"; }
works() { # namespace, port, when
    gets_out "$1" || fail "$1 does not get out $3"
    is_reached "$2" || fail "$1 is not reached from outside $3"
}
warned() { "$fwd" stats | grep -c '^warning' || true; }
open() { # the commands that the warnings tell
    "$fwd" stats | grep '^warning' | grep -o '`[^`]*`' | tr -d '`' >"$work/commands"
    sh -e "$work/commands" >/dev/null || fail "what the warnings tell cannot be done: $(cat "$work/commands")"
}
busybox httpd -p 2222 -h /run/www
is_reached 2222 || fail 'a program of the host is not reached'
state() { ip -br addr; ip route; cat /proc/sys/net/ipv4/conf/*/forwarding; }
works web 8080 'at first'
works old 8081 'at first'
[ "$(warned)" = 0 ] || fail "there are warnings at first: $("$fwd" stats)"

closed() { # who closes the host
    works web 8080 "beside $1"
    is_reached 2222 && fail "$1 closes nothing"
    [ "$(warned)" = 2 ] || fail "nothing is said of what $1 keeps from both networks: $("$fwd" stats)"
    open
    [ "$(warned)" = 0 ] || fail "what was told does not open $1: $("$fwd" stats)"
    works web 8080 "where $1 was opened"
    works old 8081 "where $1 was opened"
}
own ufw
cp /etc/default/ufw /run/etc/default-ufw
mount --bind /run/etc/default-ufw /etc/default/ufw
ufw --force enable >/dev/null
closed ufw
ufw reload >/dev/null
works web 8080 'after ufw reload'
works old 8081 'after ufw reload'
sed 's/ -I / -D /' "$work/commands" | sh -e
ufw --force reset >/dev/null
ufw --force enable >/dev/null
for network in fwd0 kernel0; do
    ufw route allow in on $network >/dev/null
    ufw route allow out on $network >/dev/null
done
[ "$(warned)" = 0 ] || fail "rules of ufw are not understood: $("$fwd" stats)"
works old 8081 'by rules of ufw'
ufw --force reset >/dev/null
works old 8081 'after ufw'
done_with 'ufw: closed, opened by what is told and by rules of its own, reloaded, reset'

own firewalld
firewalld --nofork --nopid >"$work/firewalld.log" 2>&1 &
firewalld=$!
until_true firewall-cmd --state
closed firewalld
firewall-cmd --reload >/dev/null
works old 8081 'after a reload of firewalld'
firewall-cmd --complete-reload >/dev/null
works old 8081 'after a complete reload of firewalld'
[ "$(warned)" = 0 ] || fail "firewalld has forgotten what was told: $("$fwd" stats)"
kill $firewalld
wait $firewalld || true
done_with 'firewalld: closed, opened by what is told, reloaded'

# As a restart of nftables.service does.
nft flush ruleset
works web 8080 'where all rules are gone'
"$fwd" up --ns old -p 8081:80 2>/dev/null >&2 || fail 'rules that are gone are not made anew'
works old 8081 'after rules were made anew'
done_with 'nftables: all rules flushed'

# Somebody else's bridge, which it takes.
ip link add br9 type bridge
ip addr add 198.51.100.129/32 dev br9
ip link set br9 up
udevadm settle
before=$(state | grep -v br9)
NetworkManager --no-daemon >"$work/nm.log" 2>&1 &
manager=$!
managed() { nmcli -g GENERAL.STATE device show "$1" | grep -qv unmanaged; }
until_true managed br9
"$fwd" up --ns late >/dev/null
udevadm settle
known() { nmcli -g GENERAL.STATE device show "$1"; }
for link in fwd0 kernel0 $(ip -o link | grep -o 'fwdv[0-9a-f]*'); do
    until_true known "$link"
    managed "$link" && fail "NetworkManager takes $link"
done
"$fwd" down --ns late >/dev/null
kill $manager
wait $manager || true
[ "$before" = "$(state | grep -v br9)" ] || fail "NetworkManager changes the host: $before / $(state)"
works web 8080 'after NetworkManager'
done_with 'NetworkManager: it leaves networks and namespaces alone'

ip addr flush dev br9
printf '[Match]\nName=eth0\n[Network]\nAddress=198.51.100.2/24\nGateway=198.51.100.1\n' >/lib/systemd/network/20-eth0.network
printf '[Match]\nName=*\n[Network]\nAddress=192.0.2.77/24\n' >/lib/systemd/network/90-all.network
! id systemd-network >/dev/null 2>&1 || chown systemd-network /run/systemd/netif
before=$(state | grep -v 'eth0\|br9')
taken() { ip addr show br9 | grep -q 192.0.2.77; }
for time in first second; do
    /lib/systemd/systemd-networkd >"$work/networkd.log" 2>&1 &
    manager=$!
    until_true taken
    works web 8080 "beside systemd-networkd, the $time time"
    works old 8081 "beside systemd-networkd, the $time time"
    kill $manager
    wait $manager || true
    [ "$before" = "$(state | grep -v 'eth0\|br9')" ] || fail "systemd-networkd changes what is not its own: $before / $(state)"
    ip addr flush dev br9
done
done_with 'systemd-networkd: it leaves networks and namespaces alone, with a file that matches all'

"$fwd" down --all >/dev/null
[ -z "$(nft list ruleset)" ] || fail "rules are left: $(nft list ruleset)"
done_with 'nothing is left'
HOST

on_a_host --mount-proc sh "$work/host.sh" "$fwd" "$contrib" "$work"
