//! STUB
use crate::{
    Result,
    cli::{args::UpArgs, session::Session},
    execute::Observer,
};
pub(in crate::cli) fn run(_: &mut Session<'_, '_>, _: &UpArgs, _: &mut dyn Observer) -> Result<()> {
    Ok(())
}
