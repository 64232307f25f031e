# What a machine of `./x vm` is booted for: tells what its kernel has, runs the tests, and switches the machine off.
#
# /run/job says what to run: the programs, their directory and their arguments. Everything is told at the second serial port; the first one is
# the kernel's.
. /run/machine
exec >"$port" 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
stty -F "$port" -onlcr
. /run/job

# Whether the kernel has these is asked by making one, for which fwd loads no module.
for module in veth bridge nft_masq sch_tbf; do
    modprobe "$module"
done
echo "kernel: $(uname -rv)"
echo "features: $("$FWD_BIN" features --json | tr -d '\n')"
# Exit code 5 says that the kernel lacks something; an internal network needs no uplink.
why=$("$FWD_BIN" up --ns probe --internal --datapath tc --dry-run 2>&1 >/dev/null)
if [ $? = 5 ]; then
    echo "refused: $(echo "$why" | head -n 1)"
    [ -z "$refused" ] || eval "set -- $refused"
fi
"$@"
echo "ended: $?"
# The same at netkit pairs.
if [ -n "$netkit" ] && "$FWD_BIN" up --ns probe --internal --datapath netkit --dry-run >/dev/null 2>&1; then
    echo "netkit: supported"
    export FWD_TEST_DATAPATH=netkit
    eval "$netkit"
    echo "ended: $?"
fi
echo o >/proc/sysrq-trigger
# It takes a moment, and the first process must not end before.
while :; do sleep 100; done
