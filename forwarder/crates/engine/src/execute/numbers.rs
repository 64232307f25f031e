//! The numbers of interfaces: of ten operations on a new veth pair nine would ask again.

use std::{cell::RefCell, collections::BTreeMap};

use fwd_base::Result;

/// The numbers of a namespace's interfaces, by the names that they had when they were noted.
#[derive(Debug, Default)]
pub(super) struct Numbers(RefCell<BTreeMap<String, u32>>);

impl Numbers {
    /// The number of an interface, if it was noted.
    pub(super) fn known(&self, name: &str) -> Option<u32> {
        self.0.borrow().get(name).copied()
    }

    /// Notes the number of an interface.
    pub(super) fn note(&self, name: &str, number: u32) {
        self.0.borrow_mut().insert(name.to_owned(), number);
    }

    /// The number of an interface; `ask` tells it the first time.
    ///
    /// # Errors
    /// What `ask` returns.
    pub(super) fn of(&self, name: &str, ask: impl FnOnce() -> Result<u32>) -> Result<u32> {
        if let Some(number) = self.known(name) {
            return Ok(number);
        }
        let number = ask()?;
        self.note(name, number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwd_base::{Error, Kind};

    #[test]
    fn number_is_asked_for_once_and_again_after_a_failure() {
        let numbers = Numbers::default();
        let refuse = || Err(Error::new(Kind::NotFound, "find", "interface a", "there is no such interface"));
        assert!(numbers.of("a", refuse).is_err());
        assert_eq!(numbers.known("a"), None);
        assert_eq!(numbers.of("a", || Ok(7)).expect("it is told"), 7);
        assert_eq!(numbers.of("a", refuse).expect("it is known"), 7);
    }
}
