//! STUB.
#![allow(missing_docs, unused, reason = "stub")]
pub trait Observer {}
pub struct Unobserved;
impl Observer for Unobserved {}
