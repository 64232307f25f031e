//! What networks and endpoints may do less than others.

mod internal;
