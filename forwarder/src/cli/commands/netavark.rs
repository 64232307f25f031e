//! `fwd netavark`.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, builder::OsStringValueParser};

use crate::{
    Result,
    cli::{
        args::global::{cgroup, run_dir},
        caller,
        io::Io,
        logging,
    },
    execute::Observer,
    netavark::replacement::{self, CALLED, Call, Task, VERSION},
    plugin::{Settings, Streams},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  install -d /usr/local/lib/fwd
  ln -s \"$(command -v fwd)\" /usr/local/lib/fwd/netavark
                                 and in containers.conf:
  [engine]
  helper_binaries_dir = [\"/usr/local/lib/fwd\", \"/usr/lib/podman\"]
  [network]
  network_backend = \"netavark\"";

/// Where distributions have aardvark-dns; the first is netavark's own default.
const AARDVARK: [&str; 2] = ["/usr/libexec/podman/aardvark-dns", "/usr/lib/podman/aardvark-dns"];

/// `fwd netavark`.
#[derive(Args, Debug)]
#[command(version = VERSION)]
pub(crate) struct NetavarkArgs {
    /// Read the document of a file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// podman's directory for its networks
    #[arg(long, short, value_name = "DIR")]
    config: Option<PathBuf>,
    /// Whether podman is not run by root
    #[arg(long, short, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    rootless: Option<bool>,
    /// The program aardvark-dns, which answers names
    // podman gives an empty path where it has found none.
    #[arg(long, short, value_name = "PATH", value_parser = OsStringValueParser::new())]
    aardvark_binary: Option<OsString>,
    /// Where plugins are, for networks of other drivers; may be given several times
    #[arg(long = "plugin-directory", value_name = "DIR")]
    plugin_directories: Vec<PathBuf>,
    /// Firewall of networks of other drivers; for those of fwd there is no rule
    #[arg(long, value_name = "NAME")]
    firewall_driver: Option<String>,
    #[command(subcommand)]
    task: TaskArgs,
}

/// What podman asks for.
#[derive(Debug, Subcommand)]
enum TaskArgs {
    /// Complete and check a network
    Create,
    /// Attach a container to its networks
    Setup {
        /// Its namespace
        #[arg(value_name = "NETNS")]
        netns: PathBuf,
    },
    /// Detach it
    Teardown {
        /// What was its namespace
        #[arg(value_name = "NETNS")]
        netns: PathBuf,
    },
    /// Have the name server of a network ask others
    Update {
        /// What podman calls the network
        network: String,
        /// Whom it asks; empty: whom the host asks
        #[arg(long, value_name = "ADDRESSES", required = true, value_delimiter = ',')]
        network_dns_servers: Vec<String>,
    },
    /// Tell which version of netavark is spoken
    Version,
}

/// Answers podman; the exit status.
pub(super) fn run(args: &NetavarkArgs, observer: &mut dyn Observer, io: &mut Io<'_>) -> Result<u8> {
    // It runs the programs that it is told of, and writes where it is told to.
    caller::check_command("netavark")?;
    let call = call(args);
    logging::start(0);
    let settings = Settings { run_dir: run_dir(), cgroup: cgroup() };
    let mut streams = Streams { input: &mut std::io::stdin(), out: &mut *io.out, err: &mut *io.err };
    Ok(replacement::run(&call, &settings, observer, &mut streams))
}

fn call(args: &NetavarkArgs) -> Call {
    let NetavarkArgs { file, config, rootless, aardvark_binary, plugin_directories, firewall_driver, task } = args;
    let usual = || {
        let found = AARDVARK.iter().find(|path| Path::new(path).exists());
        PathBuf::from(found.unwrap_or(&AARDVARK[0]))
    };
    Call {
        file: file.clone(),
        config: config.clone(),
        rootless: rootless.unwrap_or(false),
        aardvark: aardvark_binary.clone().filter(|path| !path.is_empty()).map_or_else(usual, PathBuf::from),
        // `dns_bind_port` of containers.conf.
        dns_port: env::var_os("NETAVARK_DNS_PORT").map(|port| port.to_string_lossy().into_owned()),
        plugin_directories: plugin_directories.clone(),
        firewall_driver: firewall_driver.clone(),
        other: env::var_os("FWD_NETAVARK").filter(|path| !path.is_empty()).map(Into::into),
        is_called: env::var_os(CALLED).is_some(),
        task: match task {
            TaskArgs::Create => Task::Create,
            TaskArgs::Setup { netns } => Task::Setup { netns: netns.clone() },
            TaskArgs::Teardown { netns } => Task::Teardown { netns: netns.clone() },
            TaskArgs::Update { network, network_dns_servers } => {
                let servers = network_dns_servers.iter().filter(|server| !server.is_empty()).cloned().collect();
                Task::Update { network: network.clone(), servers }
            }
            TaskArgs::Version => Task::Version,
        },
    }
}
