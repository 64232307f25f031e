# Starts containerd on a host of its own (namespaces of network, mounts and processes, empty /run and /var/lib), with fwd as its CNI plugin, and does
# by CRI what a kubelet does. All of it ends with the first process of the host. Of this machine only a cgroup of the script's own is used,
# and a directory below /var/tmp.
#
# $1: fwd. $2: the directory of this script. PYTHONPATH: where the client of CRI is.
fwd=$1 pods=$2/pods.py shared=$2/../sandbox.sh
. "$shared"
begin containerd
own_cgroup

cat "$shared" - >"$work/host.sh" <<'HOST'
script=containerd fwd=$1 cgroups=$2 work=$3 pods=$4 group=$5

# The host: an uplink of both families, and an internet behind it.
empty_directories "$work/cni" "$work/lists"
uplink 203.0.113.9
uplink6 2001:db8:9::9
cgroup2_alone "$cgroups"
mkdir -p "/sys/fs/cgroup/$group/host"
echo $$ >"/sys/fs/cgroup/$group/host/cgroup.procs"

# The image of sandboxes, and of what is in them: a sandbox serves a page by itself.
box /run/box sh sleep ip cat ping wget httpd
mkdir /run/image
tar -C /run/box -c . >/run/image/layer.tar
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

on_a_host --mount-proc sh "$work/host.sh" "$fwd" "$cgroups" "$work" "$pods" "$group"
