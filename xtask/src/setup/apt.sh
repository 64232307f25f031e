# Installs the given packages as root, without questions, recommendations or started services.
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

has_nginx() { command -v nginx >/dev/null; }

exec 9</usr/sbin
flock -w 300 9 || { echo "another installation holds $policy"; exit 1; }
restore
trap restore EXIT
trap 'exit 1' INT TERM HUP PIPE
if [ -e "$policy" ] || [ -L "$policy" ]; then cp -a "$policy" "$saved"; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy.new" && chmod 755 "$policy.new" && mv -f "$policy.new" "$policy" || exit 1

had_nginx=no
if has_nginx; then had_nginx=yes; fi

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

# The package also enables nginx for the next boot; here it is a program that tests start, not a service.
if [ $had_nginx = no ] && has_nginx; then
    if command -v systemctl >/dev/null; then systemctl --quiet disable nginx.service; else update-rc.d nginx disable; fi
fi
exit $status
