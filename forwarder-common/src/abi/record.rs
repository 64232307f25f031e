//! How a record of a map is declared.

pub(crate) use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the kernel and userspace may copy byte by byte: it has no padding ([`IntoBytes`]), any bytes are one ([`FromBytes`]), and
/// nothing in it changes behind a shared reference ([`Immutable`]). The derives of these traits prove it while compiling.
pub trait Bytes: FromBytes + IntoBytes + Immutable + Copy + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Bytes for T {}

/// Declares a record: laid out as C does, plain bytes, and with a [`Layout`](super::Layout). `transparent` is one around an integer.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            $crate::abi::record::FromBytes,
            $crate::abi::record::IntoBytes,
            $crate::abi::record::Immutable,
            $crate::abi::record::KnownLayout,
        )]
        #[repr(C)]
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type,)+
        }

        impl $crate::abi::Layout for $name {
            const LAYOUT: $crate::abi::layout::Hash = $crate::abi::layout::Hash::of_type::<Self>(stringify!($name))
                $(.field(
                    stringify!($field),
                    core::mem::offset_of!(Self, $field),
                    <$type as $crate::abi::Layout>::LAYOUT,
                ))+;
            const FIELDS: &'static [$crate::abi::layout::Field] = &[$($crate::abi::layout::Field {
                name: stringify!($field),
                offset: core::mem::offset_of!(Self, $field),
                size: size_of::<$type>(),
                layout: <$type as $crate::abi::Layout>::LAYOUT,
                element: <$type as $crate::abi::Layout>::ELEMENT,
            },)+];
        }

        $crate::abi::record::plain!($name);
    };
    (
        $(#[$meta:meta])*
        pub transparent $name:ident($type:ty);
    ) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            $crate::abi::record::FromBytes,
            $crate::abi::record::IntoBytes,
            $crate::abi::record::Immutable,
            $crate::abi::record::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name($type);

        impl $crate::abi::Layout for $name {
            const LAYOUT: $crate::abi::layout::Hash = <$type as $crate::abi::Layout>::LAYOUT;
            const FIELDS: &'static [$crate::abi::layout::Field] = <$type as $crate::abi::Layout>::FIELDS;
        }
    };
}

/// Lets aya read and write a record.
macro_rules! plain {
    ($type:ty) => {
        #[cfg(feature = "user")]
        const _: () = {
            const fn is_proven<T: $crate::abi::record::Bytes>() {}
            is_proven::<$type>();
        };
        // SAFETY: the type is `Bytes`, as the compiler has just been asked: it has no padding and no invalid bit pattern, so it can be
        // made of bytes and made into bytes.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}

pub(crate) use plain;
pub(crate) use record;
