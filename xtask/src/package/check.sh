# Makes a Debian of nothing but its essential packages, installs the package there as a user would, and types commands in a network
# namespace that is a host with an uplink and an internet behind it. Nothing of this machine is touched but a directory below /var/tmp.
#
# $1: the package; $2: the commands, a line each, of which those that go on until Ctrl-C have three seconds. $3: what the
# scripts share.
package=$1 commands=$2 shared=$3
. "$shared"
begin package
chmod 755 "$work"

mmdebstrap --quiet --variant=minbase --include=iproute2,iputils-ping,bash \
    --customize-hook="copy-in '$package' /tmp" \
    --customize-hook='chroot "$1" sh -c "apt-get install -y -q /tmp/*.deb"' \
    bookworm "$work/debian"
printf '%s\n' "$commands" >"$work/debian/tmp/commands"

cat "$shared" - >"$work/debian/tmp/host.sh" <<'HOST'
script=package
uplink 1.1.1.1

for file in /usr/share/man/man1/fwd.1.gz /usr/share/man/man1/fwd-up.1.gz /usr/share/bash-completion/completions/fwd \
    /usr/share/zsh/vendor-completions/_fwd /usr/share/fish/vendor_completions.d/fwd.fish /usr/share/doc/fwd/copyright \
    /usr/lib/udev/rules.d/85-fwd.rules /usr/lib/systemd/network/10-fwd.network \
    /usr/lib/systemd/system/fwd-docker.socket /usr/lib/systemd/system/fwd-docker.service \
    /usr/lib/systemd/system/fwd-pool.timer /usr/lib/systemd/system/fwd-pool.service /usr/share/doc/fwd/fwd.cdx.json.gz /usr/share/doc/fwd/changelog.Debian.gz; do
    [ -s "$file" ] || [ -s "${file%.gz}" ] || fail "$file is not there"
done
bash -n /usr/share/bash-completion/completions/fwd

state() { ip -br link; ip -br addr; cat /proc/sys/net/ipv4/conf/*/forwarding; }
before=$(state)
while read -r command; do
    echo "# $command"
    case $command in
    *' latency '* | *' trace '*)
        fwd exec mynet ping -q -i 0.2 1.1.1.1 &
        ping=$!
        timeout --preserve-status -s INT 3 $command
        kill "$ping"
        wait "$ping" || true
        ;;
    *) $command </dev/null ;;
    esac
done </tmp/commands
after=$(state)
[ "$before" = "$after" ] || fail "the host is not as it was: $before / $after"
dpkg --purge fwd
[ -z "$(find / -xdev -path /proc -prune -o -name '*fwd*' -not -path '/tmp/*' -print)" ] || fail "something is left of the package"
HOST

# A process namespace of its own, in which the first process lives as long as the host does.
on_a_host sh -ec '
    # What is told about / by mount(8) needs a mount there.
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t tmpfs run run
    mount --rbind /dev dev
    chroot . sh /tmp/host.sh
' sh "$work/debian"
