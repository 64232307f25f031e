//! How forwarding latency is measured: which packet is which at both ends of a path ([`key`](mod@key)), and a histogram whose
//! buckets a BPF program finds in a few instructions ([`bucket`]).

mod address;
mod histogram;
mod key;
mod timestamps;

pub use address::is_inside;
pub use histogram::{BUCKETS, bounds, bucket};
pub use key::{WORDS, WORDS_IPV6, key, key_ipv6, key_of_time};
pub use timestamps::{SEGMENT_WORDS, SEGMENT_WORDS_IPV6, Timestamps, timestamps, timestamps_ipv6};

/// Packets that can be under way at once, each way: a power of two. Where two keys meet, the earlier packet counts as lost: with
/// a hundred under way, one of 650.
pub const STARTS: usize = 65_536;

/// Conversations whose round trips are told, at most: where there are more, those that were used last.
pub const CONVERSATIONS: usize = 4_096;

/// Times that were sent and have not come back.
pub const TIMES: usize = 65_536;
