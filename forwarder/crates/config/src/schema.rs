//! The JSON schema of a file: for editors and other programs.

use schemars::{generate::SchemaSettings, transform::RestrictFormats};

use crate::file::File;

/// The schema (JSON Schema, draft 2020-12), indented, with a newline at its end. Editors check TOML by it, too.
#[must_use]
pub fn schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(RestrictFormats::default());
    let schema = settings.into_generator().into_root_schema_for::<File>();
    format!("{schema:#}\n", schema = schema.as_value())
}
