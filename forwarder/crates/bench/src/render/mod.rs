//! What a [`Report`] looks like in a terminal, in Markdown, as a page, and as a log of histograms; what a run of `fwd bench control` looks like in a terminal.
//!
//! The three of a report show the same tables: [`sheet`] lays them out, [`words`] says the rest.

mod control;
mod hdr;
mod html;
mod markdown;
mod numbers;
mod sheet;
mod text;
mod words;

pub use hdr::log as hdr_log;
pub use html::html;
pub use markdown::markdown;

use std::io::{self, Write};

use crate::report::Report;
use fwd_render::{Look, View};

impl View for Report {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        text::write(self, look, out)
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
