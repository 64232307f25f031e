//! Writes a report to files. Whether they can be written is found out before the minutes that measuring takes.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{args::ExportArgs, caller};
use crate::{
    Error, Kind, Result,
    bench::{render, report::Report},
};

/// Files that can be written, and what goes into each.
#[derive(Debug)]
pub(super) struct Exports {
    files: Vec<Export>,
}

/// Makes the content of a file.
type Format = fn(&Report) -> String;

#[derive(Clone, Debug)]
struct Export {
    option: &'static str,
    file: PathBuf,
    content: Format,
}

impl Exports {
    /// Checks that every file can be written. None is changed yet, and none is left behind.
    pub(super) fn prepare(args: &ExportArgs) -> Result<Self> {
        let ExportArgs { export_json, export_markdown, export_html, export_hdr } = args;
        let all: [(&str, &Option<PathBuf>, Format); 4] = [
            ("--export-json", export_json, json),
            ("--export-markdown", export_markdown, render::markdown),
            ("--export-html", export_html, render::html),
            ("--export-hdr", export_hdr, render::hdr_log),
        ];
        let mut files: Vec<Export> = Vec::new();
        for (option, file, content) in all {
            let Some(file) = file else { continue };
            caller::check_file(option)?;
            if let Some(other) = files.iter().find(|other| other.file == *file) {
                let why = format!("{} names it too", other.option);
                let error = Error::new(Kind::Usage, "write", format!("{option} {}", file.display()), why);
                return Err(error.remedy("give each its own file"));
            }
            let export = Export { option, file: file.clone(), content };
            writable(file).map_err(|error| export.failed(&error))?;
            files.push(export);
        }
        Ok(Self { files })
    }

    /// Writes all files.
    pub(super) fn write(&self, report: &Report) -> Result<()> {
        self.files.iter().try_for_each(|export| {
            fs::write(&export.file, (export.content)(report)).map_err(|error| export.failed(&error))
        })
    }
}

impl Export {
    /// The error of writing this file.
    fn failed(&self, error: &io::Error) -> Error {
        let Self { option, file, .. } = self;
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let remedy = match error.kind() {
            ErrorKind::NotFound => format!("mkdir -p {}", directory.display()),
            ErrorKind::IsADirectory => format!("name a file in it: {option} {}", file.join("bench").display()),
            ErrorKind::StorageFull => format!("free space below {}", directory.display()),
            _ => format!("name a file that you may write: {option} /tmp/{}", name(file)),
        };
        let error = Error::new(Kind::Failed, "write", format!("{option} {}", file.display()), error.to_string());
        error.remedy(remedy)
    }
}

/// The last part of a file's name.
fn name(file: &Path) -> String {
    file.file_name().map_or_else(|| "bench".into(), |name| name.to_string_lossy().into_owned())
}

/// Opens the file for writing. One that was not there is removed again: an interrupted run leaves nothing behind.
fn writable(file: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(_) => fs::remove_file(file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(file).map(drop),
        Err(error) => Err(error),
    }
}

/// The document of `--json`.
fn json(report: &Report) -> String {
    // A report has no keys that are not strings and no type that refuses: nothing can fail.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::Exports;
    use crate::{
        Kind,
        bench::{
            Family,
            report::{Environment, Report, Settings},
        },
        cli::args::ExportArgs,
    };

    fn report() -> Report {
        let settings = Settings {
            family: Family::V4,
            published: false,
            rounds: 1,
            setups: 1,
            duration: 1.0,
            warm_up: 0.5,
            size: 64,
            streams: 1,
            rate: None,
            namespaces: 1,
            flows: 0,
            with: "fwd".into(),
            with_version: None,
            left_out: vec![],
        };
        Report {
            schema: 1,
            fwd: "0.0.0".into(),
            started: "2026-01-01T00:00:00Z".into(),
            took: 1.0,
            environment: Environment::default(),
            settings,
            live: None,
            paths: vec![],
            overheads: vec![],
            growth: vec![],
            warnings: vec![],
        }
    }

    fn html(file: &Path) -> ExportArgs {
        ExportArgs { export_html: Some(file.to_owned()), ..ExportArgs::default() }
    }

    #[test]
    fn every_format_gets_its_file_and_nothing_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(directory.path().join(name));
        let args = ExportArgs {
            export_json: path("a"),
            export_markdown: path("b"),
            export_html: path("c"),
            export_hdr: path("d"),
        };
        let exports = Exports::prepare(&args).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left before the report is there");
        let report = report();
        exports.write(&report).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        let back: Report = serde_json::from_str(&read("a")).expect("the document can be read back");
        assert_eq!((&back.started, back.paths.len()), (&report.started, report.paths.len()));
        assert!(read("b").starts_with("# fwd bench"));
        assert!(read("c").starts_with("<!DOCTYPE html>"));
        assert!(read("d").starts_with("#[Histogram log format version"));
    }

    #[test]
    fn a_file_that_was_there_stays_as_it_was_until_then() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("page.html");
        fs::write(&file, "before").unwrap();
        let exports = Exports::prepare(&html(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        exports.write(&report()).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with("<!DOCTYPE html>"));
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let error = Exports::prepare(&html(&directory.path().join("absent/page.html"))).unwrap_err();
        assert!(error.object.starts_with("--export-html /") && error.why.starts_with("No such file"), "{error}");
        assert!(error.remedy.as_ref().is_some_and(|remedy| remedy.ends_with("/absent")), "{error:?}");
        let error = Exports::prepare(&html(directory.path())).unwrap_err();
        assert!(error.why.starts_with("Is a directory"), "{error}");
        assert!(error.remedy.as_ref().is_some_and(|remedy| remedy.ends_with("/bench")), "{error:?}");
        let error = Exports::prepare(&html(Path::new("/proc/page.html"))).unwrap_err();
        assert_eq!(error.kind, Kind::Failed, "{error}");
    }

    #[test]
    fn two_formats_cannot_share_a_file() {
        let file = Some("/tmp/fwd-bench-of-two".into());
        let args = ExportArgs { export_json: file.clone(), export_html: file, ..ExportArgs::default() };
        let error = Exports::prepare(&args).unwrap_err();
        assert_eq!((error.kind, error.why.as_str()), (Kind::Usage, "--export-json names it too"));
    }
}
