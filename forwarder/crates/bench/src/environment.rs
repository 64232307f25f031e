//! What of the machine may change the figures.

use std::{fs, path::Path};

use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::utsname::uname,
    unistd::Pid,
};

use super::report::Environment;
use fwd_kernel::{netlink, netns::Netns};

const CPUS: &str = "/sys/devices/system/cpu";
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The machine; `pinned`, `pinned_streams`, `offloads` and `steal` are left to who measures. What cannot be read is left out: a sandbox may hide
/// it, and no figure depends on it.
///
/// Call it before entering another mount namespace: /sys may be another one there.
#[must_use]
pub fn gather() -> Environment {
    let names = uname();
    let name = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map(|names| get(names).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let machine = name(nix::sys::utsname::UtsName::machine);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        kernel: name(nix::sys::utsname::UtsName::release),
        cpu: model(&cpuinfo).unwrap_or_else(|| machine.clone()),
        machine,
        cpus: cpus(),
        pinned: [0, 0],
        pinned_streams: [0, 0],
        hypervisor: hypervisor(&cpuinfo),
        governor: line(&Path::new(CPUS).join("cpu0/cpufreq/scaling_governor")),
        clock_source: line(Path::new(CLOCK)),
        mitigations: mitigations(&Path::new(CPUS).join("vulnerabilities")),
        offloads: Vec::new(),
        steal: 0.0,
    }
}

/// The offloads of an interface that are on, for [`Environment::offloads`]: `eth0: tx-checksumming`.
///
/// # Errors
/// There is no such interface, or the namespace cannot be entered.
pub fn offloads(ns: &Netns, ifname: &str) -> fwd_base::Result<Vec<String>> {
    let on = netlink::offloads(ns, ifname)?;
    Ok(on.into_iter().map(|offload| format!("{ifname}: {offload}")).collect())
}

/// CPUs that this thread may use.
fn cpus() -> usize {
    let allowed = sched_getaffinity(Pid::from_raw(0));
    allowed.map_or(0, |set| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count())
}

/// The model of the first CPU.
fn model(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "uarch"].into_iter().find_map(|key| field(cpuinfo, key))
}

/// The value of a line of /proc/cpuinfo.
fn field(cpuinfo: &str, key: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(name, _)| name.trim() == key)?.1.split_whitespace().collect::<Vec<_>>().join(" ");
    (!value.is_empty()).then_some(value)
}

/// The hypervisor, if the CPU says that there is one.
fn hypervisor(cpuinfo: &str) -> Option<String> {
    if !field(cpuinfo, "flags")?.split(' ').any(|flag| flag == "hypervisor") {
        return None;
    }
    let signature = signature();
    let known = [
        ("KVMKVMKVM", "KVM"),
        ("Linux KVM Hv", "KVM"),
        ("TCGTCGTCGTCG", "QEMU"),
        ("VMwareVMware", "VMware"),
        ("Microsoft Hv", "Hyper-V"),
        ("XenVMMXenVMM", "Xen"),
        ("bhyve bhyve ", "bhyve"),
        ("VBoxVBoxVBox", "VirtualBox"),
        ("ACRNACRNACRN", "ACRN"),
    ];
    let name = known.into_iter().find(|(known, _)| signature.trim_end_matches('\0') == *known).map(|(_, name)| name);
    Some(name.map_or_else(|| "unknown".into(), Into::into))
}

/// Who the hypervisor says it is: leaf 0x4000_0000 of CPUID, which is reserved for that (Linux:
/// Documentation/virt/kvm/x86/cpuid.rst).
#[cfg(target_arch = "x86_64")]
fn signature() -> String {
    let leaf = std::arch::x86_64::__cpuid(0x4000_0000);
    let bytes: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx].into_iter().flat_map(u32::to_le_bytes).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Other CPUs have no such leaf.
#[cfg(not(target_arch = "x86_64"))]
fn signature() -> String {
    String::new()
}

/// Vulnerabilities that affect this CPU, and what the kernel does about each.
fn mitigations(directory: &Path) -> Vec<[String; 2]> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mitigation = |entry: fs::DirEntry| {
        let what = line(&entry.path()).filter(|what| what != "Not affected")?;
        Some([entry.file_name().to_string_lossy().into_owned(), what])
    };
    let mut found: Vec<_> = entries.filter_map(mitigation).collect();
    found.sort();
    found
}

/// The only line of a file.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{field, gather, hypervisor, mitigations, model};

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: AMD  EPYC 7B13\nflags\t\t: fpu vme\n\nprocessor\t: 1\n";

    #[test]
    fn this_machine_has_a_kernel_and_cpus() {
        let environment = gather();
        assert!(environment.kernel.starts_with(|c: char| c.is_ascii_digit()), "{environment:?}");
        assert!(environment.cpus > 0 && !environment.cpu.is_empty(), "{environment:?}");
    }

    #[test]
    fn the_model_is_found_wherever_the_architecture_puts_it() {
        assert_eq!(model(CPUINFO).as_deref(), Some("AMD EPYC 7B13"));
        assert_eq!(model("Model\t\t: Raspberry Pi 5\n").as_deref(), Some("Raspberry Pi 5"));
        assert_eq!(model("processor\t: 0\n"), None);
        assert_eq!(field("model name\t:\n", "model name"), None);
    }

    #[test]
    fn a_machine_of_its_own_has_no_hypervisor() {
        assert_eq!(hypervisor(CPUINFO), None);
        assert!(hypervisor(&CPUINFO.replace("vme", "vme hypervisor")).is_some());
    }

    #[test]
    fn vulnerabilities_that_do_not_affect_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, what: &str| fs::write(directory.path().join(name), what).unwrap();
        write("vmscape", "Mitigation: IBPB before exit to userspace\n");
        write("meltdown", "Not affected\n");
        write("mds", "Vulnerable\n");
        let found = mitigations(directory.path());
        assert_eq!(found, [["mds", "Vulnerable"], ["vmscape", "Mitigation: IBPB before exit to userspace"]]);
        assert!(mitigations(&directory.path().join("absent")).is_empty());
    }
}
