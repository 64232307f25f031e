# Installs the given packages as root, without questions, recommendations, or services that are started, now or at the next boot.
#
# policy-rc.d is how Debian forbids packages to start services (status 101). Ours stands in for the machine's own for the
# time of the installation; the traps put that back, and so does the next run if this one is killed.
set -u
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
policy=/usr/sbin/policy-rc.d
saved=$policy.saved-by-fwd
mark='# of fwd: ./x setup'

restore() {
    if [ -e "$saved" ] || [ -L "$saved" ]; then
        mv -f "$saved" "$policy"
    elif grep -qsF "$mark" "$policy"; then
        rm -f "$policy"
    fi
}

installed() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p'; }
enabled() { find /etc/systemd/system -type l "$@" 2>/dev/null; }

exec 9</usr/sbin
flock -w 300 9 || { echo "another installation holds $policy"; exit 1; }
restore
trap restore EXIT
trap 'exit 1' INT TERM HUP PIPE
if [ -e "$policy" ] || [ -L "$policy" ]; then cp -a "$policy" "$saved"; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy.new" && chmod 755 "$policy.new" && mv -f "$policy.new" "$policy" || exit 1

had=$(installed)
had_enabled=$(enabled)

install() {
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" 9<&-
}
# A third party's broken list does not matter as long as the packages are found.
apt-get update -q 9<&- || echo "apt-get update failed: trying with the lists that are there"
status=0
if ! install "$@"; then
    # One by one, so that what is missing afterwards is exactly what cannot be installed.
    for package; do install "$package" || status=1; done
fi

# Packages enable their services for the next boot, too: a firewall would close the machine, a manager of networks take its interfaces. Here they
# are programs that tests start. What was there before stays as it is, and so does what systemd itself enables.
for package in $(installed | grep -vxF -e systemd -e "$had"); do
    files=$(dpkg -L "$package")
    for unit in $(printf '%s\n' "$files" | sed -n 's|.*/systemd/system/\([^/]*\)$|\1|p'); do
        enabled -lname "*/$unit" | grep -vxF -e "$had_enabled" | xargs -r rm -f --
    done
    for script in $(printf '%s\n' "$files" | sed -n 's|^/etc/init\.d/||p'); do
        update-rc.d "$script" disable
    done
done
exit $status
