//! Builds the eBPF programs with a nested cargo and leaves the objects in `OUT_DIR`: `fwd-datapath`,
//! `fwd-latency` for `fwd latency`, `fwd-stores` for `./x stores`, and `fwd-baseline` for `fwd bench`; and of the first once more
//! `fwd-datapath-traced`, for `fwd trace`.
//!
//! The same job as `aya_build::build_ebpf`, which fixes the rustflags: this passes `-Ctarget-cpu=v3` (cmpxchg, and atomic
//! adds that return). One stable toolchain builds both halves: `RUSTC_BOOTSTRAP` is set for the nested cargo only.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

const PACKAGE: &str = "forwarder-ebpf";
const BINARIES: [&str; 4] = [DATAPATH, "fwd-latency", "fwd-stores", "fwd-baseline"];
/// The object of the data path, and what it is called with the feature `trace`.
const DATAPATH: &str = "fwd-datapath";
const TRACED: &str = "fwd-datapath-traced";
const TARGET: &str = "bpfel-unknown-none";

fn main() {
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("../../..");
    for input in ["forwarder-ebpf/src", "forwarder-ebpf/Cargo.toml", "forwarder-common/src", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=BPF_LINKER");
    let out = PathBuf::from(var("OUT_DIR"));
    let target_dir = shared_target_dir(&out);
    let linker = linker(&workspace);
    let build = |features: &str, binaries: &[&str]| {
        let status = Command::new(var("CARGO"))
            .current_dir(&workspace)
            .args(["build", "--locked", "--release", "--package", PACKAGE, "--features", features])
            .args(binaries.iter().map(|binary| format!("--bin={binary}")))
            .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
            .arg(&target_dir)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&linker))
            .env_remove("RUSTC")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the eBPF programs do not build: see above; `./x setup` installs what they need");
    };
    let built = |binary: &str| target_dir.join(TARGET).join("release").join(binary);
    let keep = |binary: &str, name: &str| {
        let object = lean(&fs::read(built(binary)).expect("the object was built"));
        fs::write(out.join(name), &object).expect("the object is written");
        object
    };
    // In this order: cargo leaves the object that it built last.
    build("trace", &[DATAPATH]);
    println!("cargo:rustc-env=FWD_TRACED_OBJECT={:016x}", fnv(&keep(DATAPATH, TRACED)));
    build("", &BINARIES);
    for binary in BINARIES {
        let object = keep(binary, binary);
        if binary == DATAPATH {
            println!("cargo:rustc-env=FWD_OBJECT={:016x}", fnv(&object));
        }
    }
}

/// An object without what nobody reads when the programs are loaded: its DWARF sections, from which the linker has made the BTF, and which are
/// four fifths of it; and which instruction comes from which line, which the kernel checks, and moves along whenever it rewrites one: 8 % of
/// what a first `up` takes.
fn lean(object: &[u8]) -> Vec<u8> {
    let mut builder = Builder::read(object).expect("the object is ELF");
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        // Relocations of the lines: where they are told, they are told as the linker left them.
        let dropped = [&b".debug_"[..], b".rel.debug_", b".rel.BTF.ext"];
        section.delete = dropped.iter().any(|start| name.starts_with(start));
        if let (b".BTF.ext", SectionData::Data(data)) = (name, &mut section.data) {
            *data = without_lines(data).into();
        }
    }
    builder.delete_orphans();
    // LLVM has names of sections and of symbols in one table; the builder wants two.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped).expect("the object is written");
    stripped
}

/// The section .BTF.ext with what it says of functions alone. Its header (`struct btf_ext_header` in tools/lib/bpf/libbpf_internal.h) says, from
/// byte 8 on, where functions, lines and relocations (CO-RE) stand behind it, each with their length, little-endian.
fn without_lines(section: &[u8]) -> Vec<u8> {
    let word = |at: usize| {
        let bytes = section.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.expect("the section has a header"))
    };
    let [header, functions, length, lines, relocations] = [4, 8, 12, 16, 28].map(word);
    assert_eq!((header, functions, lines, relocations), (32, 0, length, 0), "functions, lines, and nothing else");
    let mut rest = section[..(header + length) as usize].to_vec();
    // No lines, and behind them no relocations.
    rest[20..24].fill(0);
    rest[24..28].copy_from_slice(&length.to_le_bytes());
    rest
}

/// 64-bit FNV-1a: tells the programs of one build from those of another.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `ebpf` in the target directory, above `<profile>/build/<package>/out`: every profile and clippy share one nested build.
fn shared_target_dir(out: &Path) -> PathBuf {
    out.ancestors().nth(4).unwrap_or(out).join("ebpf")
}

/// A variable that cargo always sets for build scripts.
fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `BPF_LINKER`, else the one that `./x setup` built, else the one on the PATH.
fn linker(workspace: &Path) -> String {
    if let Ok(linker) = env::var("BPF_LINKER") {
        return linker;
    }
    let toolchain =
        include_str!("../../../rust-toolchain.toml").lines().find_map(|line| line.strip_prefix("channel = "));
    let toolchain = toolchain.expect("rust-toolchain.toml names a channel").trim_matches('"');
    let ours = workspace.join(".tools").join(toolchain).join("bin/bpf-linker");
    if ours.exists() { ours.display().to_string() } else { "bpf-linker".into() }
}

/// The flags of the nested build, separated by 0x1f as cargo reads them.
fn rustflags(linker: &str) -> String {
    [
        format!("--cfg=bpf_target_arch=\"{}\"", var("CARGO_CFG_TARGET_ARCH")),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        "-Ctarget-cpu=v3".into(),
        format!("-Clinker={linker}"),
    ]
    .join("\x1f")
}
