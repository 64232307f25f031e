//! Runs what several CPUs do in every order of their steps.
//!
//! What a CPU does is a function that changes the shared state by [`Cpu::step`] only. To take one more step it is run anew: it gets the
//! results of the steps that it has taken, does the next one, and is cut off. So a state is the shared one and the results so
//! far, and each that can be reached is looked at once.

use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    collections::HashSet,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    vec,
    vec::Vec,
};

/// What a CPU does.
pub(super) type Task<S> = fn(&Cpu<'_, S>);

/// A CPU.
pub(super) struct Cpu<'a, S> {
    shared: RefCell<&'a mut S>,
    /// Results of the steps so far.
    results: RefCell<&'a mut Vec<u64>>,
    next: Cell<usize>,
    /// Steps that it may take after those.
    left: Cell<u32>,
}

/// Cuts a CPU off before its next step.
struct Stop;

impl<S> Cpu<'_, S> {
    /// One step: nobody else does anything meanwhile.
    pub(super) fn step(&self, change: impl FnOnce(&mut S) -> u64) -> u64 {
        let next = self.next.replace(self.next.get() + 1);
        if let Some(result) = self.results.borrow().get(next) {
            return *result;
        }
        if self.left.get() == 0 {
            resume_unwind(Box::new(Stop));
        }
        self.left.set(self.left.get() - 1);
        let result = change(&mut self.shared.borrow_mut());
        self.results.borrow_mut().push(result);
        result
    }
}

/// What there is between two steps.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State<S> {
    shared: S,
    /// Of each CPU the results so far.
    results: Vec<Vec<u64>>,
    done: Vec<bool>,
}

impl<S> State<S> {
    /// Lets a CPU take up to so many steps.
    fn run(&mut self, cpu: usize, task: Task<S>, steps: u32) {
        let Self { shared, results, done } = self;
        let cpu_state = Cpu {
            shared: RefCell::new(shared),
            results: RefCell::new(&mut results[cpu]),
            next: Cell::new(0),
            left: Cell::new(steps),
        };
        match catch_unwind(AssertUnwindSafe(|| task(&cpu_state))) {
            Ok(()) => done[cpu] = true,
            Err(stopped) if stopped.is::<Stop>() => {}
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Does a task alone, to its end.
pub(super) fn alone<S>(shared: S, task: Task<S>) -> S {
    let mut state = State { shared, results: vec![Vec::new()], done: vec![false] };
    state.run(0, task, u32::MAX);
    state.shared
}

/// Does the tasks in every order of their steps, and calls `at_end` with each state to which that leads. Returns how many states there
/// were.
pub(super) fn interleaved<S: Clone + Eq + Hash>(shared: S, tasks: &[Task<S>], at_end: impl Fn(S)) -> usize {
    let first = State { shared, results: vec![Vec::new(); tasks.len()], done: vec![false; tasks.len()] };
    let (mut seen, mut open) = (HashSet::new(), vec![first]);
    while let Some(state) = open.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        if state.done.iter().all(|done| *done) {
            at_end(state.shared);
            continue;
        }
        for (cpu, task) in tasks.iter().enumerate().filter(|(cpu, _)| !state.done[*cpu]) {
            let mut next = state.clone();
            next.run(cpu, *task, 1);
            open.push(next);
        }
    }
    seen.len()
}

#[test]
fn every_order_is_tried() {
    // Two CPUs that each add one by a read and a write: one of the additions may be lost.
    let add: Task<u64> = |cpu| {
        let before = cpu.step(|shared| *shared);
        cpu.step(|shared| {
            *shared = before + 1;
            0
        });
    };
    let ends = RefCell::new(HashSet::new());
    interleaved(0, &[add, add], |end| _ = ends.borrow_mut().insert(end));
    assert_eq!(ends.into_inner(), HashSet::from([1, 2]));
}
