//! Numbers as people write them.

/// A whole number with a decimal unit: `1500`, `100M`, `2.5G`. None for anything else.
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'M') => (&text[..at], 1_000_000),
        (at, 'G') => (&text[..at], 1_000_000_000),
        _ => (text, 1_u64),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?).filter(|scale| unit.is_multiple_of(*scale))?;
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.checked_mul(unit / fits)? };
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

/// A port, or a range of ports with both ends in it: `80`, `8000-8009`.
///
/// # Errors
/// What is wrong with it, to be read behind "cannot read …: ".
pub fn ports(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(format!("{text:?} is no port: it takes 1 to 65535")),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first { Err(format!("{text} ends before it begins")) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::{decimal, ports};

    #[test]
    fn a_port_is_a_range_of_one() {
        for (text, range) in [("80", (80, 80)), ("8000-8009", (8000, 8009)), ("1-65535", (1, 65535))] {
            assert_eq!(ports(text), Ok(range), "{text}");
        }
        for text in ["", "0", "65536", "-1", "9-8", "1-", "1-2-3", "0-1", " 1"] {
            assert!(ports(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_with_units() {
        for (text, value) in
            [("0", 0), ("1500", 1_500), ("64k", 64_000), ("100M", 100_000_000), ("2.5G", 2_500_000_000), ("0.25k", 250)]
        {
            assert_eq!(decimal(text), Some(value), "{text}");
        }
        for text in [
            "",
            "k",
            ".",
            ".5M",
            "5.M",
            "1.5",
            "0.0001k",
            "-1",
            "+1",
            "1 M",
            "1m",
            "1T",
            "1e6",
            "99999999999999999999",
            "18446744073709551615k",
            "1.x",
            "٣M",
        ] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }
}
