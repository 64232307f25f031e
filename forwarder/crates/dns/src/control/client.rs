//! The name server as commands see it.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use fwd_base::{Context as _, Error, Kind, Result};

use super::{
    channel::{receive, send},
    protocol::{Reply, Request, Status},
    sockets::Sockets,
};
use crate::Table;

/// How long it may take to answer: it has little to do, and the machine may have much.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the name server of a host.
#[derive(Debug)]
pub struct NameServer {
    stream: UnixStream,
    status: Status,
}

impl NameServer {
    /// The one that listens at `socket`; none if nobody does.
    ///
    /// # Errors
    /// It does not answer.
    pub fn find(socket: &Path) -> Result<Option<Self>> {
        let connected = short(socket).and_then(|(_dir, path)| UnixStream::connect(path));
        match connected {
            Ok(stream) => match Self::greet(stream) {
                // It was about to end.
                Err(error) if error.kind == Kind::NotFound => Ok(None),
                greeted => greeted.map(Some),
            },
            // Nobody was there yet, or it has died.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(failed("ask", error)),
        }
    }

    fn greet(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| failed("ask", error))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|error| failed("ask", error))?;
        let mut server = Self { stream, status: Status::default() };
        server.call("ask", &Request::Status)?;
        Ok(server)
    }

    /// What it does, as of the last that was said to it.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Hands it sockets of a network's gateway.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn listen(&mut self, network: &str, sockets: &Sockets) -> Result<()> {
        let request = Request::Listen { network: network.into(), addresses: sockets.addresses.clone() };
        send(&self.stream, &request, &sockets.descriptors()).map_err(|error| failed("tell", error))?;
        self.answered("tell")
    }

    /// Has it let go of a network.
    ///
    /// # Errors
    /// It does not answer.
    pub fn leave(&mut self, network: &str) -> Result<()> {
        self.call("tell", &Request::Leave { network: network.into() })
    }

    /// Tells it all names.
    ///
    /// # Errors
    /// It does not answer.
    pub fn names(&mut self, table: &Table) -> Result<()> {
        self.call("tell", &Request::Names(table.clone()))
    }

    /// Has it end, and waits until it has. Its socket's file goes, too.
    ///
    /// # Errors
    /// It does not.
    pub fn stop(self, socket: &Path) -> Result<()> {
        send(&self.stream, &Request::Stop, &[]).map_err(|error| failed("stop", error))?;
        loop {
            match receive::<Reply>(&self.stream) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    let why = format!("it goes on after {} s", PATIENCE.as_secs());
                    return Err(Error::new(Kind::Failed, "stop", OBJECT, why)
                        .remedy(format!("kill {}, and run the command again", self.status.pid)));
                }
                Err(_) => break,
            }
        }
        forget(socket)
    }

    fn call(&mut self, doing: &str, request: &Request) -> Result<()> {
        send(&self.stream, request, &[]).map_err(|error| failed(doing, error))?;
        self.answered(doing)
    }

    fn answered(&mut self, doing: &str) -> Result<()> {
        match receive::<Reply>(&self.stream).map_err(|error| failed(doing, error))? {
            Ok(status) => self.status = status,
            Err(why) => return Err(Error::new(Kind::Failed, doing, OBJECT, why)),
        }
        Ok(())
    }
}

/// Starts the name server that will listen at `socket`, as `program dns serve`, and says whom the host asks: the first that exists of
/// `resolv_conf`. It goes on when this process ends, and ends itself when it serves no network at the end of this connection.
///
/// # Errors
/// The program cannot be run, or what it says of itself.
pub fn start(program: &Path, socket: &Path, resolv_conf: &[PathBuf]) -> Result<NameServer> {
    forget(socket)?;
    let (near, far) = UnixStream::pair().doing("start", OBJECT)?;
    let mut command = Command::new(program);
    // As people know it: the program may be given by a link of /proc.
    command.arg0("fwd");
    command.args(["dns", "serve", "--socket"]).arg(socket);
    command.args(resolv_conf.iter().flat_map(|file| [OsStr::new("--resolv-conf"), file.as_os_str()]));
    command.env_clear().stdin(Stdio::from(OwnedFd::from(far))).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir("/").spawn().doing("start", OBJECT)?;
    // What it holds of the other end would keep its death from being seen here.
    drop(command);
    NameServer::greet(near).map_err(|error| Error::new(Kind::Failed, "start", OBJECT, error.why))
}

const OBJECT: &str = "the name server";

fn failed(doing: &str, error: io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            return Error::new(Kind::NotFound, doing, OBJECT, "its process has ended").caused_by(error);
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".into(),
        _ => error.to_string(),
    };
    Error::new(Kind::Failed, doing, OBJECT, why).caused_by(error)
}

/// Removes the file of a socket at which nobody listens.
///
/// # Errors
/// It cannot be removed.
pub fn forget(socket: &Path) -> Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing("remove", socket.display().to_string()),
    }
}

/// A path of a socket by its open directory: the path of a socket has 107 bytes at most, that of a run directory any number.
pub(crate) fn short(socket: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(dir), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = File::open(dir)?;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    Ok((dir, path))
}
