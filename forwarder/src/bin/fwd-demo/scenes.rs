//! The steps of the story.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Error, Kind, Result,
    bench::{Family, path::bridge_masquerade},
    netns::{Name, Netns},
    testbed::{self, Process, Testbed, TestbedSpec, http},
};

use crate::{
    containers,
    latency::{self, RoundTrip},
    story::Story,
};

/// Bytes that are downloaded.
const DOWNLOAD: u64 = 100_000_000;
const HTTP: u16 = 80;
/// The port of the host that is published, and the page that is fetched by it, bytes.
const PUBLISHED: u16 = 8080;
const PAGE: u64 = 20_000;
const IPERF: u16 = 5201;
const PATIENCE: Duration = Duration::from_secs(5);
/// Rounds of the comparison.
const ROUNDS: usize = 41;
/// Lines of a command's output that are shown, and where it is long, fewer.
const LINES: usize = 40;
const FEW_LINES: usize = 14;
/// The namespace as the reader would call it.
const MYNET: &str = "mynet";

/// The host of the story, and the program it is about.
struct Stage<'a> {
    testbed: &'a Testbed,
    fwd: &'a Path,
    /// Where its pins go. One level down: the last `down` removes the directory.
    run_dir: PathBuf,
    /// What `mynet` is really called.
    name: String,
    /// An address beyond the router.
    outside: Ipv4Addr,
}

/// Tells the whole story.
pub(crate) fn tell(story: &mut Story, fwd: &Path) -> Result<()> {
    let began = Instant::now();
    let testbed =
        Testbed::with(&testbed::unique_prefix(), &TestbedSpec { ipv6: has_ipv6(), ..TestbedSpec::default() })?;
    let uplink = testbed.uplink(0);
    let outside = outside(&testbed);
    let web = http::Server::start(&uplink.internet, SocketAddrV4::new(outside, HTTP))?;
    let stage =
        Stage { testbed: &testbed, fwd, run_dir: testbed.run_dir().join("run"), name: testbed.name(MYNET), outside };
    introduce(story, &stage)?;
    let before = testbed.snapshot()?;

    up(story, &stage)?;
    pings(story, &stage)?;
    download(story, &stage, &web)?;
    throughput(story, &stage)?;
    publish(story, &stage)?;
    look(story, &stage)?;
    processes(story, &stage)?;
    compare(story, &stage)?;
    down(story, &stage)?;
    let what = "The host is as it was: links, addresses, routes, sysctls, nftables, mounts, attached programs.";
    story.is_as_before(&testbed, &before, what)?;
    containers::tell(story, fwd)?;
    story.line("")?;
    let took = began.elapsed().as_secs();
    story.say(&format!("That was all, in {took} s. On a real host: sudo target/release/fwd up --ns mynet"))
}

/// Whether this kernel has IPv6 (`ipv6.disable=1` takes it away): without it the story is that of IPv4.
fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

fn introduce(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    let Stage { testbed, run_dir, name, outside, .. } = stage;
    let uplink = testbed.uplink(0);
    story.say(&format!(
        "This is fwd on a sandboxed host: the network namespace {} plays the host, its uplink eth0 ({}) leads to {}, which \
         plays the internet: a router ({}) and a web server behind it ({outside}). Nothing of this machine's own network is \
         touched, and all of it is gone at the end, also after Ctrl-C.",
        testbed.host().name(),
        uplink.address,
        uplink.internet.name(),
        uplink.gateway,
    ))?;
    story.line("")?;
    story.say(&format!(
        "Commands are shown as you would type them on a real host. Here each also gets --host-netns {} and --run-dir {}, \
         which stand in for that host, and mynet is really called {name}, so that it cannot clash with a namespace of yours.",
        testbed.host().name(),
        run_dir.display(),
    ))
}

fn up(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Make a namespace and connect it to the outside: first only shown, then done")?;
    stage.fwd_cut(story, &["up", "--ns", MYNET, "--uplink", "eth0", "--dry-run"], FEW_LINES)?;
    stage.fwd(story, &["up", "--ns", MYNET, "--uplink", "eth0"])
}

fn pings(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Ping the gateway, then the internet, over IPv4 and IPv6")?;
    let gateway = gateway(stage)?.to_string();
    stage.inside(story, &["ping", "-q", "-c3", "-i0.2", "-W2", &gateway])?;
    stage.inside(story, &["ping", "-q", "-c3", "-i0.2", "-W2", &stage.outside.to_string()])?;
    match stage.testbed.uplink(0).ipv6 {
        Some(link) => stage.inside(story, &["ping", "-q", "-c3", "-i0.2", "-W2", &link.outside.to_string()]),
        None => story.say("This machine has no IPv6, which fwd translates as well."),
    }
}

fn download(story: &mut Story, stage: &Stage<'_>, web: &http::Server) -> Result<()> {
    story.step("Download 100 MB")?;
    let file = stage.testbed.run_dir().join("download");
    let path = file.display().to_string();
    let url = format!("http://{}/{DOWNLOAD}", stage.outside);
    let what = "%{size_download} bytes in %{time_total} s\n";
    let shown = format!("fwd exec --ns {MYNET} -- curl -sS -o download {url}");
    let curl = ["exec", "--ns", MYNET, "--", "curl", "-sS", "--fail", "-o", &path, "-w", what, &url];
    story.run(&shown, stage.command(&curl), LINES)?;
    http::Body::new(DOWNLOAD).verify(File::open(&file).doing("open", &*path)?)?;
    fs::remove_file(&file).doing("remove", &*path)?;
    let uplink = IpAddr::from(stage.testbed.uplink(0).address);
    let clients = web.clients();
    if clients.is_empty() || clients.iter().any(|client| client.ip() != uplink) {
        let why = format!("the web server saw {clients:?} instead of {uplink}");
        return Err(Error::new(Kind::Failed, "translate", "the source address", why));
    }
    story.holds(&format!("Every byte is right, and the web server saw {uplink}, the uplink's address."))
}

fn throughput(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Measure TCP throughput, out and in")?;
    let argv = ["iperf3".to_owned(), "-s".into(), "-B".into(), stage.outside.to_string()];
    let internet = stage.testbed.internet(0);
    let server = Process::spawn(testbed::command_in(internet, &argv))?;
    let listens = || internet.run(listening).map(|yes| yes.then_some(()));
    testbed::wait_until(PATIENCE, "the iperf3 server listens", listens)?;
    let outside = stage.outside.to_string();
    let result = stage
        .inside(story, &["iperf3", "-c", &outside, "-t2", "-i0"])
        .and_then(|()| stage.inside(story, &["iperf3", "-c", &outside, "-t2", "-i0", "-R"]));
    drop(server);
    result
}

/// A web server inside is fetched from by its published port: by a browser of the internet, and by one of the host.
fn publish(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Publish a port: a web server inside, reached from the internet and by localhost")?;
    let mynet = stage.mynet()?;
    let ipv6 = stage.testbed.uplink(0).ipv6;
    // A socket of IPv6 is one of IPv4, too (RFC 3493 §3.7).
    let all = ipv6.map_or(IpAddr::from(Ipv4Addr::UNSPECIFIED), |_| Ipv6Addr::UNSPECIFIED.into());
    let web = http::Server::start(&mynet, SocketAddr::new(all, HTTP))?;
    let ports = format!("{PUBLISHED}:{HTTP}");
    stage.fwd(story, &["port", "add", MYNET, "-p", &ports])?;
    stage.fwd(story, &["port", "ls"])?;
    let (host, internet) = (stage.testbed.host(), stage.testbed.internet(0));
    let uplink = stage.testbed.uplink(0).address;
    fetch(story, &uplink.to_string(), |argv| testbed::command_in(internet, argv))?;
    if let Some(link) = ipv6 {
        fetch(story, &format!("[{}]", link.address), |argv| testbed::command_in(internet, argv))?;
    }
    // Where the machine has no cgroup2, `port add` has said so, and the host's own programs go by the namespace's address.
    if let Some(cgroup) = stage.testbed.cgroup() {
        fetch(story, &Ipv4Addr::LOCALHOST.to_string(), |argv| testbed::command_in_cgroup(host, cgroup, argv))?;
    }
    let clients = web.clients();
    let routers = [Some(stage.testbed.uplink(0).gateway.into()), ipv6.map(|link| IpAddr::from(link.gateway))];
    let outside: Vec<_> = routers.into_iter().flatten().collect();
    if let Some(missing) = outside.iter().find(|address| !clients.iter().any(|client| client.ip() == **address)) {
        let why = format!("the web server saw {clients:?}, and not {missing}");
        return Err(Error::new(Kind::Failed, "keep", "the client's address", why));
    }
    let outside: Vec<_> = outside.iter().map(ToString::to_string).collect();
    story.holds(&format!("The web server saw {}: the clients' own addresses arrive.", outside.join(" and ")))
}

/// Fetches a page from the published port as a browser would, and verifies it.
fn fetch(story: &mut Story, address: &str, command: impl Fn(&[&str]) -> Command) -> Result<()> {
    let url = format!("http://{address}:{PUBLISHED}/{PAGE}");
    let what = "%{http_code}, %{size_download} bytes from %{remote_ip} port %{remote_port}\n";
    let argv = ["curl", "-sS", "--fail", "-A", "Mozilla/5.0", "-o", "/dev/null", "-w", what, &url];
    let output = story.run(&format!("curl -o /dev/null {url}"), command(&argv), LINES)?;
    let told = format!("{PAGE} bytes from {} port {PUBLISHED}", address.trim_matches(['[', ']']));
    if output.stdout.contains(&told) {
        return Ok(());
    }
    Err(Error::new(Kind::Failed, "fetch", url, format!("curl says {:?} instead of {told}", output.stdout)))
}

/// Whether somebody listens on the port of iperf3 in the calling thread's namespace.
fn listening() -> Result<bool> {
    // proc_net_tcp.txt: local address and port in hexadecimal, the other end, and state 0A for LISTEN.
    let sockets = fs::read_to_string("/proc/thread-self/net/tcp").doing("read", "/proc/thread-self/net/tcp")?;
    let port = format!(":{IPERF:04X}");
    Ok(sockets.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, local, _, "0A", ..] if local.ends_with(&port))
    }))
}

fn look(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("See what was translated, and what became of every packet")?;
    stage.fwd(story, &["flows", "--ns", MYNET])?;
    stage.fwd(story, &["ls"])?;
    stage.fwd(story, &["stats"])
}

fn processes(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Find the namespace of a process, and enter it")?;
    let mynet = stage.mynet()?;
    let sleeper = Process::spawn(testbed::command_in(&mynet, &["sleep", "60"]))?;
    let pid = sleeper.id().to_string();
    stage.fwd_cut(story, &["ns", "ls", "--all"], FEW_LINES)?;
    stage.fwd(story, &["ns", "of", &pid])?;
    stage.fwd(story, &["exec", "--pid", &pid, "--", "ip", "-br", "addr"])?;
    stage.fwd(story, &["inspect", "--ns", MYNET])
}

fn compare(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Compare the latency: fwd, bridge + iptables MASQUERADE, and no namespace at all")?;
    story.say(
        "Three sandboxed hosts alike: the one above, one with a bridge set up by hand, and one with nothing. 64 bytes go to \
         a server beyond the router and back, client and server on one CPU, one path after the other in each round.",
    )?;
    let (by_hand, plain) = (Testbed::new(&testbed::unique_prefix())?, Testbed::new(&testbed::unique_prefix())?);
    let bridge = story.during("setting up the bridge", || rival(&by_hand))?;
    let mynet = stage.mynet()?;
    let paths = [
        path("no namespace", &plain, plain.host()),
        path("fwd", stage.testbed, &mynet),
        path("bridge + iptables", &by_hand, &bridge),
    ];
    let results = story.announced("measuring", || latency::compare(&paths, ROUNDS))?;
    table(story, &paths, &results)
}

/// What fwd is compared with: a namespace behind a bridge and a MASQUERADE rule of iptables.
fn rival(testbed: &Testbed) -> Result<Netns> {
    let veth = bridge_masquerade(testbed, 1, Family::V4)?.pop();
    veth.map(|veth| veth.client).ok_or_else(|| Error::new(Kind::Failed, "set up", "the bridge", "it has no namespace"))
}

/// From a client on the host of `testbed` to a server beyond its router.
fn path<'a>(title: &'static str, testbed: &'a Testbed, client: &'a Netns) -> latency::Path<'a> {
    latency::Path { title, client, server: testbed.internet(0), address: outside(testbed) }
}

/// An address of the internet of `testbed`, beyond the router.
fn outside(testbed: &Testbed) -> Ipv4Addr {
    let uplink = testbed.uplink(0);
    uplink.outside.first().copied().unwrap_or(uplink.gateway)
}

/// One line per path; the first is what the others are compared with.
fn table(story: &mut Story, paths: &[latency::Path<'_>], results: &[[RoundTrip; 2]]) -> Result<()> {
    story.line(&format!("  {:<18} {:>10} {:>19}", "round trip, median", "TCP", "UDP"))?;
    for (path, [tcp, udp]) in paths.iter().zip(results) {
        let line = format!(
            "  {:<18} {:>7.2} µs {:>6.2}× {:>8.2} µs {:>6.2}×",
            path.title, tcp.micros, tcp.ratio, udp.micros, udp.ratio
        );
        story.line(&line)?;
    }
    if let [_, [fwd, _], [bridge, _]] = results {
        let (fwd, bridge) = (fwd.added, bridge.added);
        story.line(&format!(
            "  More per TCP round trip: {fwd:.1} µs with fwd, {bridge:.1} µs with bridge + iptables."
        ))?;
    }
    story.line(&format!("  (medians of {ROUNDS} rounds; × is the ratio to no namespace in the same round)"))
}

fn down(story: &mut Story, stage: &Stage<'_>) -> Result<()> {
    story.step("Take it down")?;
    stage.fwd(story, &["down", "--ns", MYNET])
}

/// The gateway of the only network.
fn gateway(stage: &Stage<'_>) -> Result<Ipv4Addr> {
    let output = testbed::run(stage.command(&["ls", "--json"]), PATIENCE)?.success()?;
    let endpoints: serde_json::Value = serde_json::from_str(&output.stdout).doing("read", "the output of fwd ls")?;
    let gateway = endpoints.pointer("/0/gateways/0").and_then(|gateway| gateway.as_str()?.parse().ok());
    gateway.ok_or_else(|| Error::new(Kind::Failed, "find", "the gateway", "fwd ls --json does not tell"))
}

impl Stage<'_> {
    /// The namespace `mynet`, opened.
    fn mynet(&self) -> Result<Netns> {
        Netns::open_named(&Name::try_from(self.name.as_str())?)
    }

    /// Shows and runs `fwd` with these arguments.
    fn fwd(&self, story: &mut Story, arguments: &[&str]) -> Result<()> {
        self.fwd_cut(story, arguments, LINES)
    }

    /// The same, with `most` lines of output.
    fn fwd_cut(&self, story: &mut Story, arguments: &[&str], most: usize) -> Result<()> {
        story.run(&format!("fwd {}", arguments.join(" ")), self.command(arguments), most).map(drop)
    }

    /// Shows and runs a command inside `mynet`.
    fn inside(&self, story: &mut Story, argv: &[&str]) -> Result<()> {
        let arguments = [&["exec", "--ns", MYNET, "--"], argv].concat();
        self.fwd(story, &arguments)
    }

    /// `fwd` on the sandboxed host.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.fwd);
        // The first word shows in the hints that fwd gives.
        command.arg0("fwd").stdin(Stdio::null());
        command.arg("--host-netns").arg(self.testbed.host().name().as_str()).arg("--run-dir").arg(&self.run_dir);
        command.args(arguments.iter().map(|&argument| if argument == MYNET { self.name.as_str() } else { argument }));
        // The sandbox decides, not the caller's settings.
        command.env_remove("FWD_RUN_DIR").env_remove("FWD_CGROUP").env_remove("SUDO_USER");
        if let Some(cgroup) = self.testbed.cgroup() {
            command.env("FWD_CGROUP", cgroup);
        }
        command
    }
}
