//! STUB
use crate::{
    Result,
    cli::{args::DownArgs, session::Session},
    execute::Observer,
};
pub(in crate::cli) fn run(_: &mut Session<'_, '_>, _: &DownArgs, _: &mut dyn Observer) -> Result<()> {
    Ok(())
}
