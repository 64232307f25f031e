//! What the programs that measure the project itself have in common: `fwd-packets`, `fwd-host-cost`, `fwd-rates`,
//! `fwd-stores`, `fwd-thousand`, `fwd-bench-check` and `fwd-bench-against`.

use fwd_base::{Error, Kind, Result};

/// What such a program is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Whether it prints JSON.
    pub json: bool,
    /// How many rounds it measures, at least one.
    pub rounds: usize,
    /// Of what it measures, only that whose name has these words in it; empty for all.
    pub only: String,
}

impl Arguments {
    /// Reads the arguments behind the name of the program. `usage` (`fwd-packets --used [--json] [--only WORDS] [ROUNDS]`) says
    /// which there are, and is shown to who gives another; `rounds` is how many are measured unless one says so.
    ///
    /// # Errors
    /// An argument is none of those in `usage`, or lacks its value.
    pub fn read(usage: &str, rounds: usize, arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let known: Vec<&str> = usage.split([' ', '[', ']']).filter(|word| word.starts_with("--")).collect();
        let mut read = Self { json: false, rounds, only: String::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let wrong = || Err(Error::new(Kind::Usage, "understand", &argument, format!("usage: {usage}")));
            match argument.as_str() {
                option if option.starts_with('-') && !known.contains(&option) => return wrong(),
                "--json" => read.json = true,
                "--only" => match arguments.next() {
                    Some(words) => read.only = words,
                    None => return wrong(),
                },
                // Another thing to measure: who has it in its usage knows whether it is asked for.
                option if option.starts_with('-') => {}
                number => match number.parse() {
                    Ok(number) if number > 0 => read.rounds = number,
                    _ => return wrong(),
                },
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use fwd_base::{Kind, Result};

    const PLAIN: &str = "fwd-stores [--json] [ROUNDS]";
    const RICH: &str = "fwd-packets --used [--json] [--only WORDS] [ROUNDS]";

    fn read(usage: &str, line: &str) -> Result<Arguments> {
        Arguments::read(usage, 9, line.split_whitespace().map(Into::into))
    }

    #[test]
    fn arguments_come_in_any_order_or_not_at_all() {
        let usual = Arguments { json: false, rounds: 9, only: String::new() };
        assert_eq!(read(PLAIN, "").expect("none"), usual);
        assert_eq!(read(PLAIN, "3 --json").expect("both"), Arguments { json: true, rounds: 3, ..usual.clone() });
        let only = Arguments { json: true, rounds: 2, only: "tcp".into() };
        assert_eq!(read(RICH, "--only tcp --used --json 2").expect("all"), only);
    }

    #[test]
    fn what_the_usage_does_not_name_is_refused_with_it() {
        let wrong = ["0", "-1", "many", "1.5", "--only tcp", "--used", "--", "-j"].map(|line| (PLAIN, line));
        for (usage, line) in wrong.into_iter().chain([(RICH, "--only"), (RICH, "--many-flows"), (RICH, "--jso")]) {
            let error = read(usage, line).expect_err(line);
            assert_eq!(error.kind, Kind::Usage, "{line}");
            assert!(error.to_string().contains(usage), "{line}: {error}");
        }
    }
}
