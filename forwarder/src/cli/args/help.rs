//! Examples below the help texts.

pub(crate) const ROOT: &str = "\
Examples:
  fwd up --ns mynet --uplink eth0                connect namespace mynet (made if missing) through eth0
  fwd exec --ns mynet -- ping -c1 192.0.2.1      run a program inside
  fwd ls                                         networks and endpoints
  fwd flows --ns mynet                           what is translated now
  fwd down --ns mynet                            undo it all

Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 not supported here.";

pub(crate) const UP: &str = "\
Examples:
  fwd up --ns mynet                              through the default route's interface
  fwd up --ns mynet --uplink eth0 --dry-run      only show what would be done
  fwd up --ns web --subnet 10.0.0.0/24 --network web
  fwd up --pid 4711                              attach a running container
  fwd up --ns old --datapath kernel              bridge and nftables, to compare";

pub(crate) const DOWN: &str = "\
Examples:
  fwd down --ns mynet                            the namespace goes too if `up` made it
  fwd down --all --dry-run                       only show what would be done
  fwd down --ns mynet --delete-ns                delete it even if somebody else made it";

pub(crate) const EXEC: &str = "\
Examples:
  fwd exec --ns mynet -- curl -s http://192.0.2.1/
  fwd exec --pid 4711 -- ip addr                 in the namespace of a process
  fwd exec mynet                                 a shell ($SHELL)

Exit status: the command's own; 125 if fwd failed, 126 if the command cannot be run, 127 if it is not found.";

pub(crate) const NS: &str = "\
Examples:
  fwd ns add mynet                               as `ip netns add mynet`
  fwd ns ls --all                                also namespaces without a name: containers, browsers, services
  fwd ns of 4711 4712                            where these processes are, and who is there with them";

pub(crate) const LS: &str = "\
Examples:
  fwd ls
  fwd ls --json | jq -r '.[] | [.ns, .addresses[0]] | @tsv'";

pub(crate) const INSPECT: &str = "\
Examples:
  fwd inspect --ns mynet                         all about one endpoint
  fwd inspect --if fwd0                          a bridge: its ports and who owns them
  fwd inspect --ns mynet --if eth0               what is at the other end of eth0@if29";

pub(crate) const FLOWS: &str = "\
tx is namespace → outside, rx is outside → namespace. Bytes are IP bytes, packets are as on the wire.

Examples:
  fwd flows
  fwd flows --ns mynet --json | jq 'map(.tx_bytes) | add'";

pub(crate) const STATS: &str = "\
Examples:
  fwd stats                                      what happened at all
  fwd stats --all                                every verdict and reason, zero or not
  fwd stats --json | jq '.[] | select(.verdict == \"dropped\" and .packets > 0)'";
