//! Programs of others that are given a document and answer with one.

use std::{
    io::{self, Write as _},
    process::{Command, ExitStatus, Stdio},
};

use serde_json::Value;

/// How such a program has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it has answered, if that is JSON.
    pub document: Option<Value>,
}

/// Runs `program` to its end, with the document on its standard input; what it says to the user goes where ours goes.
///
/// # Errors
/// It cannot be run.
pub fn run(program: &mut Command, document: &Value) -> io::Result<Ended> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read it all says why.
        drop(input.write_all(document.to_string().as_bytes()));
    }
    let output = child.wait_with_output()?;
    Ok(Ended { status: output.status, document: serde_json::from_slice(&output.stdout).ok() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn program_is_given_a_document_and_answers_with_one() {
        let shell = |script: &str| run(Command::new("sh").args(["-c", script]), &json!({ "a": 1 })).expect("it runs");
        let same = shell("cat");
        assert!(same.status.success() && same.document == Some(json!({ "a": 1 })));
        let failed = shell("echo no; exit 3");
        assert_eq!((failed.status.code(), failed.document), (Some(3), None), "and none that reads nothing hangs");
        assert!(run(&mut Command::new("/nowhere/at-all"), &json!({})).is_err());
    }
}
