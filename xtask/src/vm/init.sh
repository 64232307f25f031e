#!/bin/sh
# The first process of a machine that `./x vm` boots, in its initramfs: busybox and a few modules.
#
# It mounts the files of the host, which cannot be written to, and memory over them, which can; so programs find everything where it is on the
# host, and nothing that they leave outlives the machine. Then it hands over to job.sh. Where the host's programs are for another processor, a
# Debian below its target directory (`$system`) stands in their place; what is tested is where it is on the host, too.
#
# /machine says what is known of this machine: its second serial port, where modules and programs are; and by positional parameters, what
# directories of the host are tested.
busybox=/bin/busybox
. /machine
$busybox --install -s /bin
export PATH=/bin

mount -t devtmpfs dev /dev
mount -t proc proc /proc
fail() {
    echo "the machine cannot start: $1" >"$port"
    poweroff -f
}

for module in virtio_pci 9pnet_virtio 9p overlay; do
    # Some kernels have it built in, and busybox has no word for that.
    modprobe "$module" 2>/dev/null
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro host /host || fail "no files of the host"
mount -t tmpfs -o size=75% memory /memory && mkdir /memory/upper /memory/work
mount -t overlay -o "lowerdir=/host$system",upperdir=/memory/upper,workdir=/memory/work merged /merged || fail "no memory over the files of the host"

if [ -n "$system" ]; then
    for directory in "$@"; do
        mkdir -p "/merged$directory"
        mount --bind "/host$directory" "/merged$directory" || fail "no $directory"
    done
    # What a package does when it is installed.
    for file in passwd group; do
        cp "/merged/usr/share/base-passwd/$file.master" "/merged/etc/$file"
    done
fi

mount -t devtmpfs dev /merged/dev
mkdir -p /merged/dev/pts /merged/dev/shm
ln -s /proc/self/fd /merged/dev/fd
mount -t devpts -o mode=620,ptmxmode=666 devpts /merged/dev/pts
mount -t tmpfs shm /merged/dev/shm
mount -t proc proc /merged/proc
mount -t sysfs sys /merged/sys
mount -t cgroup2 cgroup2 /merged/sys/fs/cgroup
mount -t bpf bpf /merged/sys/fs/bpf
mount -t tmpfs -o mode=755 run /merged/run

# Modules are loaded on demand: the kernel calls /sbin/modprobe, which not every host has.
release=$(uname -r)
mkdir -p "/merged/lib/modules/$release"
mount --bind "/host$modules" "/merged/lib/modules/$release" || fail "no modules"
rm -f /merged/sbin/modprobe
cp $busybox /merged/sbin/modprobe

ip link set lo up
cp /machine /job /job.sh /merged/run/
exec switch_root /merged /bin/sh /run/job.sh
