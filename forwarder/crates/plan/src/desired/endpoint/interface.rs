//! The interface inside of a namespace.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use fwd_base::text::mac;
use fwd_kernel::netlink::Mac;

/// A hardware address as it is written: `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HardwareAddress(pub Mac);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mac(self.0))
    }
}

impl FromStr for HardwareAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: Option<Vec<u8>> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2 && !byte.starts_with('+')))
            .collect();
        let address = bytes.and_then(|bytes| Mac::try_from(bytes).ok());
        address.map(Self).ok_or_else(|| "a hardware address has six bytes, two hexadecimal digits each".into())
    }
}

impl TryFrom<String> for HardwareAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HardwareAddress> for String {
    fn from(address: HardwareAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::HardwareAddress;

    proptest! {
        #[test]
        fn hardware_address_is_read_as_it_is_written(address: [u8; 6]) {
            prop_assert_eq!(HardwareAddress(address).to_string().parse(), Ok(HardwareAddress(address)));
        }
    }

    #[test]
    fn what_is_no_hardware_address_is_refused() {
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02-00-00-00-00-01", "+2:00:00:00:00:01"]
        {
            assert!(text.parse::<HardwareAddress>().is_err(), "{text}");
        }
    }
}
