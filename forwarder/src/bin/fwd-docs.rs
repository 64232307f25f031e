//! `fwd-docs CHECKOUT`: writes the parts of the pages that are made of what the code declares (`./x docs`).

use std::{fs, path::Path, process::ExitCode};

use forwarder::{Context as _, Error, Kind, Result, docs};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-docs: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let checkout = std::env::args_os().nth(1);
    let usage = || Error::new(Kind::Usage, "write", "the pages", "usage: fwd-docs CHECKOUT");
    let checkout = checkout.ok_or_else(usage)?;
    for page in docs::pages() {
        let path = Path::new(&checkout).join(page);
        let text = fs::read_to_string(&path).doing("read", page)?;
        let updated = docs::updated(page, &text)?;
        if updated != text {
            fs::write(&path, updated).doing("write", page)?;
            println!("{page}: written");
        }
    }
    Ok(())
}
