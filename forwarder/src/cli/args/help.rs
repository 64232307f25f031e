//! Examples below the help texts, for terminals of 80 columns.

pub(super) const ROOT: &str = "\
Examples:
  fwd up --ns mynet --uplink eth0             make mynet, connect it through eth0
  fwd exec mynet ping -c1 192.0.2.1           run a program inside
  fwd ls                                      networks and their endpoints
  fwd flows --ns mynet                        what is translated now
  fwd bench                                   what it gains over the alternatives
  fwd down --ns mynet                         undo it all

Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unsupported here";

pub(super) const UP: &str = "\
Examples:
  fwd up --ns mynet                           through the default route's interface
  fwd up --ns mynet --uplink eth0 --dry-run   only show what would be done
  fwd up --ns web --network web --subnet 10.0.0.0/24
  fwd up --pid 4711                           attach a running container
  fwd up --ns old --datapath kernel           bridge and nftables, to compare";

pub(super) const DOWN: &str = "\
Examples:
  fwd down --ns mynet                the namespace goes too if `up` made it
  fwd down --ns mynet --delete-ns    it goes even if somebody else made it
  fwd down --all --dry-run           only show what would be done";

pub(super) const RELOAD: &str = "\
After an upgrade the programs in the kernel are still those of the former fwd.
Each is replaced in one step, and flows, counters and connections go on: no
packet is lost. Where the maps have changed too, it refuses and changes nothing;
then `fwd down --all`, and `fwd up` for each namespace.

Examples:
  fwd inspect mynet --json | jq .programs    are they this fwd's?
  fwd reload";

pub(super) const GC: &str = "\
A host here is a network namespace in which `fwd up` was run, such as one given
by --host-netns. What it had pinned is removed by the next command of any host,
once it is gone; this does it at once, and deletes namespaces that `up` had made
for it and that have nothing inside.

Examples:
  fwd ls --all-hosts     which there are, and which are gone
  fwd gc";

pub(super) const FEATURES: &str = "\
The kernel is asked by trying: small programs and maps that go at once, and
interfaces in a network namespace that goes with them. What is missing is shown
with what is lost without it. docs/kernels.md has the same list.

Examples:
  fwd features
  fwd features --json | jq -r '.[] | select(.support != \"supported\") | .feature'";

pub(super) const COMPLETIONS: &str = "\
Examples:
  fwd completions bash > /etc/bash_completion.d/fwd
  fwd completions zsh > /usr/local/share/zsh/site-functions/_fwd
  fwd completions fish > /etc/fish/completions/fwd.fish";

pub(super) const MAN: &str = "\
Examples:
  fwd man /usr/local/share/man/man1
  man fwd-up";

pub(super) const EXEC: &str = "\
Examples:
  fwd exec mynet curl -s http://192.0.2.1/
  fwd exec --pid 4711 ip addr        in the namespace of a process
  fwd exec mynet                     a shell ($SHELL)

Exit status: the command's own; 125 if fwd itself failed, 126 if the command
cannot be executed, 127 if there is no such command";

pub(super) const NS: &str = "\
Examples:
  fwd ns add mynet       as `ip netns add mynet`
  fwd ns ls --all        also those without a name, such as containers
  fwd ns of 4711 4712    where these processes are, and who is there with them";

pub(super) const LS: &str = "\
Examples:
  fwd ls
  fwd ls --json | jq -r '.[] | [.ns, .addresses[0]] | @tsv'";

pub(super) const INSPECT: &str = "\
Examples:
  fwd inspect --ns mynet              all about one endpoint
  fwd inspect --if fwd0               a bridge: its ports and who owns them
  fwd inspect --ns mynet --if eth0    what is at the other end of eth0@if29";

pub(super) const FLOWS: &str = "\
tx is namespace → outside, rx is outside → namespace. Bytes are IP bytes,
packets are counted as on the wire. RTT is the round trip of a TCP handshake.

Examples:
  fwd flows
  fwd flows --ns mynet --json | jq 'map(.tx_bytes) | add'";

pub(super) const STATS: &str = "\
Examples:
  fwd stats          what has happened
  fwd stats --all    every verdict and reason, zero or not
  fwd stats --nat    how full the flow table and the ports are
  fwd stats --json | jq '.[] | select(.verdict == \"dropped\" and .packets > 0)'";

pub(super) const BENCH: &str = "\
Everything happens in network namespaces of its own, which go with it. Paths:
  host, veth-floor, fwd-tc, fwd-xdp, fwd-netkit, routed, nft-masquerade,
  nft-flowtable, bridge-masquerade
Metrics:
  tcp-rr, udp-rr                   half a round trip, median
  tcp-crr                          connections: connect, ask, reset
  tcp-stream-out, tcp-stream-in    from and into the namespace
  udp-64, udp-mtu                  datagrams from the namespace that arrive

Examples:
  fwd bench                                  all of it, in two minutes
  fwd bench --quick                          the same roughly, in a quarter
  fwd bench --paths host,fwd-tc --metrics tcp-rr --rounds 31
  fwd bench --metrics tcp-rr --namespaces 100   how latency grows with them
  fwd bench --with sockperf --paths host,fwd-tc  what another program says
  fwd bench --export-html bench.html         tables, and a page with plots
  fwd bench --json > bench.json
  fwd bench --serve                          on another machine, and then here:
  fwd bench --ns mynet --target 192.0.2.7:5210 --token k7qf-2m3x-9dwa-p5bt
                                             what is really between them

--serve lets in who knows its token, but encrypts nothing: it is for networks
whose traffic no stranger can read.";

pub(super) const LATENCY: &str = "\
Each packet is timed in the kernel where it leaves the namespace and where it
leaves the uplink, and on its way back in; whatever forwards it. TCP, UDP and
ICMP echo over IPv4.

Examples:
  fwd latency                     every endpoint, until Ctrl-C
  fwd latency mynet --duration 10s --json | jq '.paths[0].out.p99_ns'
  fwd latency --pid 4711 --uplink eth0          a container of docker
  fwd latency --host-if veth3a1b --uplink eth0  the same by its host-side veth";

pub(super) const TRACE: &str = "\
One line for each packet and hook: when, since its former hook, what it was, and
what became of it: forwarded as which address, delivered to which, left to the
kernel (punted) or dropped for which reason, by which flow.

The programs are replaced by traced ones meanwhile, under traffic and without
losing a packet, and put back at the end. While nobody traces nothing is slower.

Examples:
  fwd trace mynet                    until Ctrl-C
  fwd trace --drops                  what does not get through, and why
  fwd trace --flow 'tcp 10.77.0.2 > 203.0.113.1:443'
  fwd trace --flow 'udp *:53' --count 20 --json";
