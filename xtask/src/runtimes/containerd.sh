# Starts containerd on a host of its own (namespaces of network, mounts and processes, empty /run and /var/lib), with fwd as its CNI plugin, and does
# by CRI what a kubelet does. All of it ends with the first process of the host. Of this machine only a cgroup of the script's own is used,
# and a directory below /var/tmp.
#
# $1: fwd. $2: the directory of this script. PYTHONPATH: where the client of CRI is.
set -eu
fwd=$1 pods=$2/pods.py
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
[ -n "$cgroups" ] || { echo "containerd: cgroup2 is not mounted" >&2; exit 1; }
work=$(mktemp -d /var/tmp/fwd-containerd.XXXXXX)
group=fwd-containerd-$$
clean() {
    rm -rf --one-file-system "$work"
    find "$cgroups/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

cat >"$work/host.sh" <<'HOST'
set -eu
fwd=$1 cgroups=$2 work=$3 pods=$4 group=$5

# The host: an uplink of both families, and an internet behind it.
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mkdir -p /run/lock /run/netns "$work/cni" "$work/lists"
ip link set lo up
ip netns add internet
ip link add eth0 type veth peer name inet0 netns internet
ip addr add 198.51.100.2/24 dev eth0
ip addr add 2001:db8::2/64 dev eth0 nodad
ip link set eth0 up
ip -n internet addr add 198.51.100.1/24 dev inet0
ip -n internet addr add 2001:db8::1/64 dev inet0 nodad
ip -n internet addr add 203.0.113.9/32 dev lo
ip -n internet addr add 2001:db8:9::9/128 dev lo nodad
for link in lo inet0; do ip -n internet link set "$link" up; done
ip route add default via 198.51.100.1
ip route add default via 2001:db8::1

# cgroup2 alone, with no controllers asked for: those may belong to version 1 here.
mount --bind "$cgroups" /mnt
umount -R -l /sys/fs/cgroup
mount --move /mnt /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$group/host"
echo $$ >"/sys/fs/cgroup/$group/host/cgroup.procs"

# The image of sandboxes, and of what is in them: a sandbox serves a page by itself.
box=/run/box
mkdir -p $box/bin $box/proc $box/sys $box/dev $box/etc $box/tmp $box/www
cp "$(command -v busybox)" $box/bin/busybox
for name in sh sleep ip cat ping wget httpd; do ln -s busybox "$box/bin/$name"; done
echo hello >$box/www/index.html
mkdir /run/image
tar -C $box -c . >/run/image/layer.tar
layer=$(sha256sum /run/image/layer.tar | cut -d ' ' -f 1)
cat >/run/image/config.json <<CONFIG
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]},
 "config": {"Entrypoint": ["/bin/httpd", "-f", "-p", "80", "-h", "/www"]}}
CONFIG
echo '[{"Config": "config.json", "RepoTags": ["localhost/box:1"], "Layers": ["layer.tar"]}]' >/run/image/manifest.json
tar -C /run/image -cf "$work/image.tar" manifest.json config.json layer.tar

# The plugin, with the list of contrib/ and ranges of both families.
ln -s "$fwd" "$work/cni/fwd"
ln -s /usr/lib/cni/loopback "$work/cni/loopback"
cat >"$work/lists/10-fwd.conflist" <<'LIST'
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "fwd",
 "ipam": {"ranges": [[{"subnet": "10.90.0.0/16"}], [{"subnet": "fd00:90::/64"}]]},
 "capabilities": {"portMappings": true, "bandwidth": true, "dns": true}}]}
LIST
cat >"$work/containerd.toml" <<CONFIG
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.internal.v1.opt"]
path = "/run/containerd/opt"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/box:1"
disable_cgroup = true
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$work/cni"
conf_dir = "$work/lists"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
CONFIG
exec python3 "$pods" "$fwd" "$work"
HOST

unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc sh "$work/host.sh" "$fwd" "$cgroups" "$work" "$pods" "$group"
