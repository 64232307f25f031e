//! What goes on although something failed, and what does not.

use fwd_base::{Error, Result};
use fwd_plan::{Object, Op};

/// Runs `ops` in order, whatever fails, and returns the failures. What it takes to try again is kept. Only of the first `mends`, those
/// after one that fails are left to the next command: a network is not led through an uplink that nothing guards.
///
/// It begins with the operation of number `start`. `run` runs the one of this number, with others that follow if they go together, and says
/// how many that were.
pub(super) fn run_each(
    ops: &[Op],
    start: usize,
    mends: usize,
    mut run: impl FnMut(usize, &Op) -> Result<usize>,
) -> Vec<Error> {
    let mut failures = Failures::default();
    let mut next = start;
    while let Some(op) = ops.get(next) {
        let done = if failures.forbid(op) { Ok(1) } else { run(next, op) };
        next = match done {
            Ok(count) => next + count,
            Err(error) => {
                failures.add(op, error);
                if next < mends { mends } else { next + 1 }
            }
        };
    }
    failures.errors
}

/// What could not be removed.
#[derive(Default)]
pub(super) struct Failures {
    objects: Vec<Object>,
    pub(super) errors: Vec<Error>,
}

impl Failures {
    pub(super) fn add(&mut self, op: &Op, error: Error) {
        self.objects.push(op.object.clone());
        self.errors.push(error);
    }

    pub(super) fn forbid(&self, op: &Op) -> bool {
        op.forgets(&self.objects)
    }
}

/// One error for several: the first, which names the others.
///
/// # Errors
/// If there is any.
pub(super) fn all_of(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    let others: Vec<Error> = errors.collect();
    Err(with_leftovers(first, &others))
}

pub(super) fn with_leftovers(mut error: Error, others: &[Error]) -> Error {
    for other in others {
        error.why.push_str(&format!("; then: {other}"));
    }
    if !others.is_empty() && error.remedy.is_none() {
        error.remedy = Some("`fwd down --all` removes what is left".into());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwd_base::Kind;
    use fwd_plan::{Undo, object};

    fn failure() -> Error {
        Error::new(Kind::Failed, "do", "something", "it fails")
    }

    /// The numbers of the operations that are run, if the one of number `fails` does.
    fn run(ops: &[Op], mends: usize, fails: usize) -> Vec<usize> {
        let mut seen = Vec::new();
        let errors = run_each(ops, 0, mends, |index, _| {
            seen.push(index);
            if index == fails { Err(failure()) } else { Ok(1) }
        });
        assert_eq!(errors.len(), 1);
        seen
    }

    #[test]
    fn mends_after_one_that_failed_are_left_and_removals_go_on() {
        let hooks = |index| {
            let name = format!("eth{index}");
            Op::make(Object::UplinkHooks(object::UplinkHooks { name, index, layer: Default::default() }))
        };
        let gone = |index| {
            let (name, address) = (format!("eth{index}"), std::net::Ipv4Addr::UNSPECIFIED);
            Op::remove(Object::Uplink(object::Uplink { name, index, address }))
        };
        let ops = [hooks(1), hooks(2), hooks(3), gone(4), gone(5)];
        assert_eq!(run(&ops, 3, 1), [0, 1, 3, 4]);
        assert_eq!(run(&ops, 3, 3), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_it_takes_to_try_again_is_kept() {
        let ns: fwd_kernel::netns::Name = "a".try_into().expect("a valid name");
        let file = Object::ResolvConf(object::ResolvConf { ns: ns.clone(), contents: String::new() });
        let ops = [Op::remove(file), Op::remove(Object::Undo(Undo::ResolvConf { ns }))];
        assert_eq!(run(&ops, 0, 0), [0]);
    }
}
