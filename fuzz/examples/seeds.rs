//! `seeds DIRECTORY`: writes the packets from which a corpus starts, for each property into a directory of its name.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let directory = env::args().nth(1).ok_or_else(|| io::Error::other("usage: seeds DIRECTORY"))?;
    for (name, _) in fuzz::PROPERTIES {
        let directory = Path::new(&directory).join(name);
        fs::create_dir_all(&directory)?;
        for (number, packet) in fuzz::seeds().iter().enumerate() {
            // The parameters in front: one byte for the parser, seven for the others; both checksums are made right.
            let parameters: &[u8] = if name == "parse" { &[0] } else { &[6, 198, 51, 100, 2, 4, 210] };
            fs::write(directory.join(format!("seed-{number:02}")), [parameters, packet].concat())?;
        }
    }
    Ok(())
}
