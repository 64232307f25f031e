//! Rules about whom a namespace speaks with: words into values.

use clap::Args;

use super::parsed;
use crate::{
    Error, Kind, Result,
    dataplane::{Match, Rule, Verb},
    reconcile::AskedRules,
};

/// Whom the namespace speaks with.
#[derive(Args, Clone, Debug)]
pub(crate) struct PolicyArgs {
    /// Let the namespace begin conversations with these, and with no others that no rule
    /// is about: CIDR[:PORT[-PORT]][/PROTO], such as 10.0.0.0/8:443/tcp, [fd00::/8]:443 or
    /// any:53; several times for several, the most specific counts; given for a namespace
    /// that is up, its rules are these from then on, or none
    #[arg(long, value_name = "RULE")]
    pub(crate) allow_out: Vec<String>,
    /// Let it begin none with these
    #[arg(long, value_name = "RULE")]
    pub(crate) deny_out: Vec<String>,
    /// Let these, and no others that no rule is about, begin conversations with it: of its
    /// network, and by published ports; the port is the one inside
    #[arg(long, value_name = "RULE")]
    pub(crate) allow_in: Vec<String>,
    /// Let these begin none with it
    #[arg(long, value_name = "RULE")]
    pub(crate) deny_in: Vec<String>,
}

/// What takes the place of a rule where there is to be none.
const NONE: &str = "none";

/// What the words ask for.
pub(super) fn rules(args: &PolicyArgs) -> Result<AskedRules> {
    let PolicyArgs { allow_out, deny_out, allow_in, deny_in } = args;
    let given = [allow_out, deny_out, allow_in, deny_in];
    let said = Verb::ALL.into_iter().zip(given).flat_map(|(verb, words)| words.iter().map(move |word| (verb, word)));
    let said: Vec<(Verb, &String)> = said.collect();
    if said.is_empty() {
        return Ok(None);
    }
    if let Some((verb, _)) = said.iter().find(|(_, word)| *word == NONE) {
        return if said.len() == 1 { Ok(Some(Vec::new())) } else { Err(contradicts(*verb)) };
    }
    let rule = |(verb, text): (Verb, &String)| {
        let example = "CIDR[:PORT[-PORT]][/PROTO], such as 10.0.0.0/8:443/tcp, [fd00::/8]:443 or any:53, or none";
        Ok(Rule { verb, what: parsed::<Match>(&format!("--{}", verb.name()), text, example)? })
    };
    said.into_iter().map(rule).collect::<Result<Vec<_>>>().map(Some)
}

fn contradicts(verb: Verb) -> Error {
    let why = "it takes all rules away, and others are given";
    Error::new(Kind::Usage, "use", format!("--{} {NONE}", verb.name()), why)
        .remedy("leave it out: the rules that are given take the place of all others")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(allow_out: &[&str], deny_in: &[&str]) -> Result<AskedRules> {
        let words = |given: &[&str]| given.iter().map(|word| (*word).to_owned()).collect();
        let args = PolicyArgs {
            allow_out: words(allow_out),
            deny_out: Vec::new(),
            allow_in: Vec::new(),
            deny_in: words(deny_in),
        };
        rules(&args)
    }

    #[test]
    fn rules_are_taken_as_they_are_given() {
        assert_eq!(asked(&[], &[]).expect("nothing"), None);
        assert_eq!(asked(&["none"], &[]).expect("none"), Some(Vec::new()));
        let rules = asked(&["10.0.0.0/8:443/tcp"], &["0.0.0.0/0"]).expect("two").expect("two");
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["allow-out 10.0.0.0/8:443/tcp", "deny-in 0.0.0.0/0"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_remedy() {
        for (out, inward) in
            [(vec!["10.0.0.0"], vec!["none"]), (vec!["10.0.0/8"], vec![]), (vec!["none", "none"], vec![])]
        {
            let error = asked(&out, &inward).expect_err("it is refused");
            assert!(error.kind == Kind::Usage && error.remedy.is_some(), "{error}");
        }
    }
}
