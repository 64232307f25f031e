//! `seeds DIRECTORY`: writes the packets from which a corpus starts, for each property into a directory of its name.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let directory = env::args().nth(1).ok_or_else(|| io::Error::other("usage: seeds DIRECTORY"))?;
    for (name, _) in fuzz::PROPERTIES {
        let directory = Path::new(&directory).join(name);
        fs::create_dir_all(&directory)?;
        let seeds = if name.ends_with("ipv6") { fuzz::seeds_v6() } else { fuzz::seeds() };
        for (number, packet) in seeds.iter().enumerate() {
            // The parameters in front: one byte for the parser, seven for translations; the checksums are made right. To
            // sequences a packet is a sequence like any other.
            let parameters: &[u8] = match name {
                "translate" | "errors" | "translate_ipv6" | "errors_ipv6" => &[6, 198, 51, 100, 2, 4, 210],
                _ => &[0],
            };
            fs::write(directory.join(format!("seed-{number:02}")), [parameters, packet].concat())?;
        }
    }
    Ok(())
}
