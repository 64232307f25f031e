//! One document on standard output, result or error, whatever happens.

use std::{
    any::Any,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::Value;

use fwd_base::{Error, Kind};

/// Where a plugin reads and writes.
pub struct Streams<'a> {
    /// What the runtime hands over.
    pub input: &'a mut dyn Read,
    /// One document, result or error.
    pub out: &'a mut dyn Write,
    /// What the runtime's log ought to say.
    pub err: &'a mut dyn Write,
}

/// What is answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The document on standard output, if there is one.
    pub document: Option<Value>,
    /// What the runtime's log ought to say.
    pub warnings: Vec<String>,
}

/// A mistake of ours, which is told as every other failure: what it said.
#[derive(Debug)]
pub struct Panic(pub String);

impl From<Panic> for Error {
    fn from(Panic(text): Panic) -> Self {
        Self::new(Kind::Failed, "go on with", "the call", format!("fwd has panicked: {text}"))
    }
}

/// Answers one call by what `call` makes of the input, or by the `document` of its failure. The exit status: 0, or 1 where it failed or nobody
/// takes the answer.
pub fn answer<E: From<Panic>>(
    streams: &mut Streams<'_>,
    call: impl FnOnce(&mut dyn Read) -> Result<Answer, E>,
    document: impl FnOnce(&E) -> Value,
) -> u8 {
    let answered = catch_unwind(AssertUnwindSafe(|| call(streams.input)));
    let (document, status) = match answered.unwrap_or_else(|panic| Err(said(&*panic).into())) {
        Ok(Answer { document, warnings }) => {
            // What is done is done, whether or not anybody hears what else there is to say.
            drop(warnings.iter().try_for_each(|warning| writeln!(streams.err, "fwd: {warning}")));
            (document, 0)
        }
        Err(failure) => (Some(document(&failure)), 1),
    };
    let written = document.map_or(Ok(()), |document| writeln!(streams.out, "{document}"));
    if written.and_then(|()| streams.out.flush()).is_ok() { status } else { 1 }
}

fn said(panic: &(dyn Any + Send)) -> Panic {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    Panic(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is not known where").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(call: impl FnOnce(&mut dyn Read) -> Result<Answer, Error>) -> (u8, String, String) {
        let mut err = Vec::new();
        let (status, out) = answered_to(&mut err, call);
        (status, out, String::from_utf8(err).expect("text"))
    }

    fn answered_to(err: &mut dyn Write, call: impl FnOnce(&mut dyn Read) -> Result<Answer, Error>) -> (u8, String) {
        let mut out = Vec::new();
        let mut streams = Streams { input: &mut std::io::empty(), out: &mut out, err };
        let status = answer(&mut streams, call, |error| json!({ "error": error.to_string() }));
        (status, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn success_is_one_although_nobody_takes_the_warnings() {
        let answer = Answer { document: Some(json!(1)), warnings: vec!["look".into()] };
        let mut full: &mut [u8] = &mut [];
        assert_eq!(answered_to(&mut full, |_| Ok(answer)), (0, "1\n".into()));
    }

    #[test]
    fn one_document_is_answered_whatever_happens() {
        let answer = Answer { document: Some(json!(1)), warnings: vec!["look".into()] };
        assert_eq!(answered(|_| Ok(answer)), (0, "1\n".into(), "fwd: look\n".into()));
        assert_eq!(answered(|_| Ok(Answer::default())), (0, String::new(), String::new()));
        let failed = answered(|_| Err(Error::new(Kind::Failed, "do", "it", "no")));
        assert_eq!(failed, (1, "{\"error\":\"cannot do it: no\"}\n".into(), String::new()));
        let (status, out, _) = answered(|_| panic!("of a test"));
        assert!(status == 1 && out.contains("panicked: of a test"), "{out}");
    }
}
