//! Whether a conversation may begin: the rules of the endpoints at its ends (`--allow-out`, `--deny-out`, `--allow-in`, `--deny-in`).

pub mod conversation;
pub mod head;

use crate::{
    abi::{POLICY_RULES, PolicyRule, policy_action},
    wire::{icmpv6, l4::Proto},
};

/// The protocol of a packet as rules know it: ICMPv6 is the ICMP of IPv6.
#[inline(always)]
#[must_use]
pub const fn protocol(number: u8) -> u8 {
    if number == icmpv6::PROTO { Proto::Icmp as u8 } else { number }
}

/// Whether a rule applies to a protocol (see [`protocol`]) and a port (host byte order; that of whom the first packet is sent to).
#[inline(always)]
#[must_use]
pub const fn applies(rule: &PolicyRule, proto: u8, port: u16) -> bool {
    (rule.proto == 0 || rule.proto == proto) && rule.first <= port && port <= rule.last
}

/// What `rule` says of a conversation: [`PASSES`], the element of `POLICY_COUNTS` that counts its refusal, or [`NEXT`] where the next rule is asked.
///
/// Numbers and not an enum: LLVM would carry a value along where there is none.
#[inline(always)]
#[must_use]
pub const fn said(rule: &PolicyRule, proto: u8, port: u16) -> u32 {
    match rule.action & !policy_action::OWN {
        policy_action::END => PASSES,
        _ if !applies(rule, proto, port) => NEXT,
        policy_action::DENY => rule.number as u32,
        _ => PASSES,
    }
}

/// The conversation may begin. So it may where no rule applies.
pub const PASSES: u32 = u32::MAX;
/// A rule does not apply.
pub const NEXT: u32 = u32::MAX - 1;

/// What `rules` say of a conversation, in their order: as [`said`] by the first that applies.
#[must_use]
pub fn refusal(rules: &[PolicyRule; POLICY_RULES], proto: u8, port: u16) -> u32 {
    rules.iter().map(|rule| said(rule, proto, port)).find(|said| *said != NEXT).unwrap_or(PASSES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_action::{ALLOW, DENY};

    fn rules(given: &[(u8, u8, u16, u16, u16)]) -> [PolicyRule; POLICY_RULES] {
        let mut rules = [PolicyRule::default(); POLICY_RULES];
        for (place, &(action, proto, first, last, number)) in rules.iter_mut().zip(given) {
            *place = PolicyRule { first, last, proto, action: action | policy_action::OWN, number };
        }
        rules
    }

    #[test]
    fn first_rule_that_applies_decides() {
        let rules =
            rules(&[(ALLOW, 6, 443, 443, 1), (DENY, 6, 1, 1023, 2), (ALLOW, 17, 53, 53, 3), (DENY, 0, 0, u16::MAX, 4)]);
        assert_eq!(refusal(&rules, 6, 443), PASSES);
        assert_eq!(refusal(&rules, 6, 442), 2);
        assert_eq!(refusal(&rules, 6, 1024), 4);
        assert_eq!(refusal(&rules, 17, 53), PASSES);
        assert_eq!(refusal(&rules, 17, 443), 4);
        assert_eq!(refusal(&rules, 1, 0), 4, "a protocol without ports is met by rules for all of them");
    }

    #[test]
    fn what_no_rule_applies_to_passes() {
        assert_eq!(refusal(&rules(&[]), 6, 80), PASSES);
        assert_eq!(refusal(&rules(&[(DENY, 6, 80, 80, 1)]), 6, 81), PASSES);
        let full = [PolicyRule { first: 7, last: 7, proto: 6, action: DENY, number: 9 }; POLICY_RULES];
        assert_eq!((refusal(&full, 6, 80), refusal(&full, 6, 7)), (PASSES, 9));
    }
}
