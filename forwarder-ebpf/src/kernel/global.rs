//! Global functions.
//!
//! A function named `fwd_…` is a global one, declared by `global_fn!`: it does what the function behind the `=` does. What that means:
//!
//! - The verifier looks at it once, by itself, knowing nothing of its arguments; and at each call it knows nothing of the result. Inlined, it
//!   would be looked at again with every state in which it is reached: that is the difference between thousands of states and dozens.
//! - It has a stack of its own and leaves nothing on that of its caller. The stacks of all callers together are 512 bytes: so some are called
//!   one after the other where one that calls the others would be nicer.
//! - It costs a call. What every packet of an established flow needs is therefore not one, and some read headers again that their
//!   callers have read, which costs less than to hand them over.
//! - It takes and returns integers, and pointers to whole records that may be null as far as the verifier knows. [`Argument`] and
//!   [`Answer`] turn what is meant into those and back, on both sides of the call. All of them are called by this crate alone.

use forwarder_common::{
    abi::{FlowVersion, Hook},
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
};

/// Declares global functions: `fn fwd_NAME(argument: Type, …) -> Answer = function;`. What is called is typed on both sides.
macro_rules! global_fn {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $answer:ty = $body:path;)*) => {$(
        $(#[$meta])*
        #[inline(always)]
        $vis fn $name($($arg: $type),*) -> $answer {
            #[inline(never)]
            #[unsafe(no_mangle)]
            extern "C" fn $name(
                $($arg: <$type as $crate::kernel::global::Argument>::Raw),*
            ) -> <$answer as $crate::kernel::global::Answer>::Raw {
                #[allow(irrefutable_let_patterns, reason = "where there are no arguments")]
                let ($(Some($arg),)*) = ($(<$type as $crate::kernel::global::Argument>::given($arg),)*) else {
                    return <$answer as $crate::kernel::global::Answer>::ABSENT;
                };
                $crate::kernel::global::Answer::raw($body($($arg),*))
            }
            <$answer as $crate::kernel::global::Answer>::decode(
                $name($($crate::kernel::global::Argument::raw($arg)),*)
            )
        }
    )*};
}

/// What a global function can be given.
pub(crate) trait Argument: Sized {
    /// An integer, or a pointer.
    type Raw;

    /// As it is handed over.
    fn raw(self) -> Self::Raw;

    /// As it was meant. `None` never happens, as far as the verifier lets one say so: then the function returns [`Answer::ABSENT`].
    fn given(raw: Self::Raw) -> Option<Self>;
}

/// What a global function can return.
pub(crate) trait Answer: Sized {
    /// An integer.
    type Raw;

    /// What is returned for arguments that cannot be.
    const ABSENT: Self::Raw;

    /// As it is returned.
    fn raw(self) -> Self::Raw;

    /// As it was meant.
    fn decode(raw: Self::Raw) -> Self;
}

impl<'a, T> Argument for &'a T {
    type Raw = *const T;

    #[inline(always)]
    fn raw(self) -> *const T {
        self
    }

    #[inline(always)]
    fn given(raw: *const T) -> Option<&'a T> {
        // SAFETY: the verifier checks at each call of a global function that a whole record is passed, initialised, on a stack or in a map
        // of this program; it was made from a reference, which lives until the function returns.
        unsafe { raw.as_ref() }
    }
}

impl<'a, T> Argument for &'a mut T {
    type Raw = *mut T;

    #[inline(always)]
    fn raw(self) -> *mut T {
        self
    }

    #[inline(always)]
    fn given(raw: *mut T) -> Option<&'a mut T> {
        // SAFETY: as of a shared reference; the caller lends it to nobody else meanwhile.
        unsafe { raw.as_mut() }
    }
}

/// Declares what is handed over as an integer.
macro_rules! integers {
    ($($type:ty as $raw:ty: $to:expr, $from:expr;)*) => {$(
        impl Argument for $type {
            type Raw = $raw;

            #[inline(always)]
            fn raw(self) -> $raw {
                const TO: fn($type) -> $raw = $to;
                TO(self)
            }

            #[inline(always)]
            fn given(raw: $raw) -> Option<Self> {
                const FROM: fn($raw) -> $type = $from;
                Some(FROM(raw))
            }
        }
    )*};
}

/// Declares what is returned as an integer, and what for arguments that cannot be.
macro_rules! answers {
    ($($type:ty as $raw:ty: $to:expr, $from:expr, $absent:expr;)*) => {$(
        impl Answer for $type {
            type Raw = $raw;

            const ABSENT: $raw = $absent;

            #[inline(always)]
            fn raw(self) -> $raw {
                const TO: fn($type) -> $raw = $to;
                TO(self)
            }

            #[inline(always)]
            fn decode(raw: $raw) -> Self {
                const FROM: fn($raw) -> $type = $from;
                FROM(raw)
            }
        }
    )*};
}

integers! {
    u32 as u32: |value| value, |raw| raw;
    u64 as u64: |value| value, |raw| raw;
    bool as u32: |value| value as u32, |raw| raw & 1 != 0;
    Direction as u32: |value| value as u32, Direction::of;
    Hook as u32: |value| value as u32, Hook::of;
    FlowVersion as u32: FlowVersion::raw, FlowVersion::from_raw;
    Code as u32: Code::raw, Code::from_raw;
}

answers! {
    () as u32: |()| 0, |_| (), 0;
    u32 as u32: |value| value, |raw| raw, 0;
    i32 as i32: |value| value, |raw| raw, 0;
    u64 as u64: |value| value, |raw| raw, 0;
    bool as u32: |value| value as u32, |raw| raw & 1 != 0, 0;
    Code as u32: Code::raw, Code::from_raw, DropReason::Contended as u32;
    // No objection, or the code for which the packet is refused.
    Result<(), Code> as u32: |result| match result { Ok(()) => 0, Err(code) => code.raw() }, Code::checked, DropReason::Contended as u32;
    // What was found, or in the high half the code for which the packet is refused.
    Result<u32, Code> as u64:
        |result| match result { Ok(found) => found as u64, Err(code) => (code.raw() as u64) << 32 },
        |raw| match Code::checked((raw >> 32) as u32) { Ok(()) => Ok(raw as u32), Err(code) => Err(code) },
        (DropReason::Contended as u64) << 32;
    // A slot, and the version in the high half.
    (u32, FlowVersion) as u64:
        |(slot, version)| slot as u64 | (version.raw() as u64) << 32,
        |raw| (raw as u32, FlowVersion::from_raw((raw >> 32) as u32)),
        0;
}
