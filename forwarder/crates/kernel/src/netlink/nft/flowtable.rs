//! A flow table: established flows bypass the kernel's routing from the ingress of one device to the other. Only `fwd bench`
//! makes one, to compare.

use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, HOOK_NUMBER, HOOK_PRIORITY, Message, Socket,
    TABLE_FLAGS, TABLE_NAME,
    message::{nested, number, text},
    rule::{self, expression},
};
use fwd_base::{Error, Kind, Result};

/// The table, of family `ip`.
const TABLE: &str = "fwd_bench";
const CHAIN: &str = "forward";
const FLOWTABLE: &str = "fast";

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_FLOWTABLE_*, NFTA_FLOWTABLE_HOOK_*, NFTA_DEVICE_*, NFTA_FLOW_*.
const FLOWTABLE_TABLE: u16 = 1;
const FLOWTABLE_NAME: u16 = 2;
const FLOWTABLE_HOOK: u16 = 3;
const FLOWTABLE_HOOK_DEVS: u16 = 3;
const DEVICE_NAME: u16 = 1;
const FLOW_TABLE_NAME: u16 = 1;

/// `NF_INET_FORWARD`.
const HOOK_FORWARD: u32 = 2;
/// `NF_NETDEV_INGRESS`.
const HOOK_INGRESS: u32 = 0;
/// Priority `filter`.
const PRIORITY_FILTER: u32 = 0;

/// Makes a flow table over `devices`, and a rule that puts established flows there.
///
/// # Errors
/// [`Kind::Unsupported`] where the kernel has no flow tables.
pub fn make_flowtable(devices: &[&str]) -> Result<()> {
    Socket::open().and_then(|socket| socket.commit(&messages(devices))).map_err(|failure| match failure.errno() {
        // ENOENT is the answer to a type of flow table that the kernel does not have.
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::ENOENT) => {
            let why = format!("this kernel has no flow tables of nftables: {failure}");
            Error::new(Kind::Unsupported, "make", "a flow table", why)
                .remedy("load nf_flow_table_inet and nft_flow_offload (CONFIG_NFT_FLOW_OFFLOAD)")
                .caused_by(failure)
        }
        _ => failure.doing("make", "a flow table"),
    })
}

fn messages(devices: &[&str]) -> [Message; 4] {
    let names: Vec<DefaultNla> = devices.iter().map(|device| text(DEVICE_NAME, device)).collect();
    let ingress = [
        number(HOOK_NUMBER, HOOK_INGRESS),
        number(HOOK_PRIORITY, PRIORITY_FILTER),
        nested(FLOWTABLE_HOOK_DEVS, &names),
    ];
    let forward = [number(HOOK_NUMBER, HOOK_FORWARD), number(HOOK_PRIORITY, PRIORITY_FILTER)];
    [
        Message::new_table(vec![text(TABLE_NAME, TABLE), number(TABLE_FLAGS, 0)]),
        Message::new_chain(vec![
            text(CHAIN_TABLE, TABLE),
            text(CHAIN_NAME, CHAIN),
            text(CHAIN_TYPE, "filter"),
            number(CHAIN_POLICY, 1),
            nested(CHAIN_HOOK, &forward),
        ]),
        Message::new_flowtable(vec![
            text(FLOWTABLE_TABLE, TABLE),
            text(FLOWTABLE_NAME, FLOWTABLE),
            nested(FLOWTABLE_HOOK, &ingress),
        ]),
        Message::new_rule(vec![
            text(rule::TABLE, TABLE),
            text(rule::RULE_CHAIN, CHAIN),
            nested(rule::EXPRESSIONS, &offload()),
        ]),
    ]
}

/// `ct state established flow add @fast`.
fn offload() -> [DefaultNla; 4] {
    [
        rule::conntrack_state(),
        expression("bitwise", &rule::masked(&rule::ESTABLISHED.to_ne_bytes())),
        expression("cmp", &rule::compared(rule::DIFFERENT, &[0; 4])),
        expression("flow_offload", &[text(FLOW_TABLE_NAME, FLOWTABLE)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::message::attribute, *};

    #[test]
    fn expressions_are_those_of_nft() {
        // Sent by nft 1.0.6 for `ct state established flow add @fast`.
        let sent: &[u8] = b"\x20\x00\x01\x80\x07\x00\x01\x00ct\x00\x00\x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x00\
            \x08\x00\x01\x00\x00\x00\x00\x01\
            \x44\x00\x01\x80\x0c\x00\x01\x00bitwise\x00\x34\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
            \x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x04\
            \x0c\x00\x04\x80\x08\x00\x01\x00\x02\x00\x00\x00\x0c\x00\x05\x80\x08\x00\x01\x00\x00\x00\x00\x00\
            \x2c\x00\x01\x80\x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
            \x08\x00\x02\x00\x00\x00\x00\x01\x0c\x00\x03\x80\x08\x00\x01\x00\x00\x00\x00\x00\
            \x28\x00\x01\x80\x11\x00\x01\x00flow_offload\x00\x00\x00\x00\x10\x00\x02\x80\x09\x00\x01\x00fast\x00\x00\x00\x00";
        let [_, _, _, rule] = messages(&["eth0", "v1"]);
        assert_eq!(attribute(rule.attributes(), rule::EXPRESSIONS).expect("expressions"), sent);
    }

    #[test]
    fn devices_are_those_of_nft() {
        // Sent by nft 1.0.6 for `hook ingress priority filter; devices = { v1, eth0 }`.
        let sent: &[u8] = b"\x08\x00\x01\x00\x00\x00\x00\x00\x08\x00\x02\x00\x00\x00\x00\x00\
            \x18\x00\x03\x80\x07\x00\x01\x00v1\x00\x00\x09\x00\x01\x00eth0\x00\x00\x00\x00";
        let [_, _, table, _] = messages(&["v1", "eth0"]);
        assert_eq!(attribute(table.attributes(), FLOWTABLE_HOOK).expect("the hook"), sent);
    }
}
