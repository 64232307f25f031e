//! Rules about whom endpoints speak with, and what each has refused.

use std::net::IpAddr;

use forwarder_common::abi::Endpoint;

use super::State;
use fwd_base::Result;
use fwd_dataplane::Rule;
use fwd_kernel::netlink::nft;
use fwd_plan::{
    Datapath,
    object::{Counted, kernel_counts},
};

impl State {
    /// Those of an endpoint. Where the kernel forwards nftables counts, of the namespace that the calling thread is in.
    ///
    /// # Errors
    /// A map cannot be read, or the kernel refuses.
    pub(super) fn rules(&self, record: &Endpoint) -> Result<Counted> {
        let (mut counted, mut rest) = self.plane.policy(record)?;
        if Datapath::of_flags(record.flags).is_ebpf() || counted.is_empty() {
            return Ok((counted, rest));
        }
        let rules: Vec<Rule> = counted.iter().map(|it| it.rule).collect();
        let v4 = (record.v4 != [0; 4]).then(|| IpAddr::from(record.v4));
        let v6 = (record.v6 != [0; 16]).then(|| IpAddr::from(record.v6));
        for address in v4.into_iter().chain(v6) {
            let (found, others) = kernel_counts(&rules, address.is_ipv4(), &nft::policy_counts(address)?);
            for (sum, one) in counted.iter_mut().zip(&found) {
                sum.refused += one.refused;
            }
            for (sum, one) in [(&mut rest.outbound, others.outbound), (&mut rest.inbound, others.inbound)] {
                *sum = sum.zip(one).map(|(sum, one)| sum + one);
            }
        }
        Ok((counted, rest))
    }
}
