//! How forwarding latency is measured: which packet is which at both ends of a path ([`key`](mod@key)), and a histogram whose
//! buckets a BPF program finds in a few instructions ([`bucket`]).

mod address;
mod histogram;
mod key;

pub use address::is_inside;
pub use histogram::{BUCKETS, bounds, bucket};
pub use key::{WORDS, WORDS_IPV6, key, key_ipv6};

/// Packets that can be under way at once, each way: a power of two. Where two keys meet, the earlier packet counts as lost: with
/// a hundred under way, one of 650.
pub const STARTS: usize = 65_536;
