//! The buckets of the flow cache; what stands in them is in [`forwarder_common::flow::cache`].

use forwarder_common::flow::cache::{self, Bucket as _};

use crate::kernel::{
    maps::{CACHE_MASK, FLOW_CACHE},
    shared::Shared,
};

/// The bucket of the flow cache for `hash`.
#[inline(always)]
pub(crate) fn bucket(hash: u32) -> Option<Bucket> {
    Shared::element(&FLOW_CACHE, hash & CACHE_MASK.load()).map(Bucket)
}

/// The cache entries for `hash`: see [`cache`].
#[inline(always)]
pub(crate) fn load_bucket(hash: u32) -> u64 {
    bucket(hash).map_or(0, |bucket| bucket.load())
}

/// A bucket of the flow cache: writers replace it as a whole.
pub(crate) struct Bucket(Shared<u64>);

impl cache::Bucket for Bucket {
    #[inline(always)]
    fn load(&self) -> u64 {
        self.0.read()
    }

    #[inline(always)]
    fn replace(&self, old: u64, new: u64) -> bool {
        self.0.replace(old, new)
    }

    #[inline(always)]
    fn set(&self, bits: u64) {
        self.0.set(bits);
    }
}
