# Runs netavark's own tests (bats) of its source: with netavark itself, and with fwd in its place, in the same sandboxes; prints what each has passed.
# Of this machine only a cgroup of the script's own is used, and a directory below /var/tmp.
#
# $1: fwd. $2: the source of netavark, with its programs built. $3: what the scripts share. $4…: files of tests without their endings; otherwise those of what fwd does.
fwd=$1 source=$2
. "$3"
shift 3
[ $# -gt 0 ] || set -- 001-basic 250-bridge-nftables 600-bridge-vrf 610-bridge-vethname 620-bridge-mode 640-bridge-mtu 700-create
begin peers
own_cgroup
mkdir "$work/bin" "$work/results"

# Kernels without the type dummy: a veth pair does what tests want of one, whose addresses are there at once.
if ! unshare --net ip link add x type dummy 2>/dev/null; then
    cat >"$work/bin/ip" <<SHIM
#!/bin/sh
case " \$* " in
" link add type dummy ") set -- link add dummy0 type dummy ;;
esac
case " \$* " in
*" link add "*" type dummy ")
    $(command -v ip) link add "\$3" type veth peer name "px\$(printf %.13s "\$3")" || exit
    echo 0 >"/proc/sys/net/ipv6/conf/\$3/accept_dad"
    exec $(command -v ip) link set "px\$(printf %.13s "\$3")" up
    ;;
esac
exec $(command -v ip) "\$@"
SHIM
    chmod 755 "$work/bin/ip"
fi
# jq before 1.7 takes no index behind a dot.
if ! echo '[[1]]' | jq '.[0].[0]' >/dev/null 2>&1; then
    cat >"$work/bin/jq" <<SHIM
#!/bin/sh
for word; do
    shift
    set -- "\$@" "\$(printf %s "\$word" | sed 's/\([a-z_]\)\.\[/\1[/g')"
done
exec $(command -v jq) "\$@"
SHIM
    chmod 755 "$work/bin/jq"
fi
# What is not asked of another netavark: the count is of what fwd does by itself.
cat >"$work/bin/netavark" <<NETAVARK
#!/bin/sh
export FWD_NETAVARK=/nowhere/netavark FWD_RUN_DIR=/run/fwd FWD_CGROUP=$cgroups/$group
exec $fwd netavark "\$@"
NETAVARK
chmod 755 "$work/bin/netavark"

# $1: whose. $2: the program. Each file of tests by itself; `ok` and `not ok` are lines of their own.
tests() {
    whose=$1
    program=$2
    shift 2
    for file in "$@"; do
        on_a_host --mount-proc sh -ec '
            work=$1 whose=$2 program=$3 source=$4 file=$5 cgroup=$6
            echo 0 >"$cgroup/cgroup.procs"
            mount -t tmpfs run /run
            mkdir -p /run/lock
            # Where netavark looks for the name server, wherever the distribution has it.
            mkdir -p "$work/libexec/podman"
            cp -a /usr/libexec/. "$work/libexec/"
            [ -e "$work/libexec/podman/aardvark-dns" ] || ln -s /usr/lib/podman/aardvark-dns "$work/libexec/podman/aardvark-dns"
            mount --bind "$work/libexec" /usr/libexec
            export PATH="$work/bin:$PATH" BATS_TMPDIR="$work" TMPDIR="$work" NETAVARK="$program"
            export NETAVARK_CONNECTION_TESTER="$source/target/debug/netavark-connection-tester"
            cd "$source"
            bats --tap "test/$file.bats" >"$work/results/$whose.$file" 2>&1 || true
        ' sh "$work" "$whose" "$program" "$source" "$file" "$cgroups/$group"
    done
}
count() { { cat "$work/results/$1".* | grep "^$2 " | grep -vc '# skip'; } || true; }

tests netavark "$source/target/debug/netavark" "$@"
tests fwd "$work/bin/netavark" "$@"
for file in "$@"; do
    passed() { { grep '^ok ' "$work/results/$1.$file" | grep -vc '# skip'; } || true; }
    printf '%-24s netavark %3d, fwd %3d of %3d\n' "$file" "$(passed netavark)" "$(passed fwd)" "$(grep -c '^@test' "$source/test/$file.bats")"
done
printf '%-24s netavark %3d, fwd %3d of %3d\n' 'all of them' "$(count netavark ok)" "$(count fwd ok)" "$(cat "$source"/test/*.bats | grep -c '^@test')"
if [ -n "${FWD_PEERS_DETAILS:-}" ]; then
    mkdir -p "$FWD_PEERS_DETAILS"
    cp "$work/results"/* "$FWD_PEERS_DETAILS"
fi
