//! A small HTTP server that serves known data, so that demo and tests depend on no other.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::socket;

use fwd_base::{Context, Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// How long a client may keep the server waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest request, bytes.
const REQUEST_MAX: u64 = 8192;
/// The data repeats with this period, bytes, except for the number of the block at the start of each.
const BLOCK: usize = 65536;

/// Answers `GET /<number>` with that many bytes of [`Body`], one connection each (HTTP/1.0). Ends when dropped.
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    clients: Arc<Mutex<Vec<SocketAddr>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens inside a namespace; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken or not of the namespace.
    pub fn start(ns: &Netns, address: impl Into<SocketAddr>) -> Result<Self> {
        let address = address.into();
        let listener = ns.run(|| TcpListener::bind(address).doing("listen on", address.to_string()))?;
        let listener = Arc::new(listener);
        let address = listener.local_addr().doing("listen on", address.to_string())?;
        let clients = Arc::default();
        let thread = thread::spawn({
            let (listener, clients) = (Arc::clone(&listener), Arc::clone(&clients));
            move || accept(&listener, &clients)
        });
        Ok(Self { listener, address, clients, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who has connected so far, as the server sees them.
    #[must_use]
    pub fn clients(&self) -> Vec<SocketAddr> {
        lock(&self.clients).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // On Linux this makes accept(2) fail, which ends the thread.
        if let Err(error) = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both) {
            return tracing::warn!("cannot stop the HTTP server on {}: {error}", self.address);
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the HTTP server on {} panicked", self.address);
        }
    }
}

fn accept(listener: &TcpListener, clients: &Mutex<Vec<SocketAddr>>) {
    while let Ok((stream, client)) = listener.accept() {
        // A socket of both families gives those of IPv4 mapped.
        lock(clients).push(SocketAddr::new(client.ip().to_canonical(), client.port()));
        // Threads of clients end with them, or with their patience.
        thread::spawn(move || {
            if let Err(error) = serve(&stream) {
                tracing::debug!("HTTP client {client}: {error}");
            }
        });
    }
}

fn serve(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(REQUEST_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.strip_prefix("GET /").and_then(|rest| rest.split(' ').next());
    match path.and_then(|path| path.parse::<u64>().ok()) {
        Some(length) => {
            write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n"
            )?;
            io::copy(&mut Body::new(length), &mut stream)?;
        }
        None => stream.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
    }
    stream.shutdown(Shutdown::Write)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Data that looks random and is the same for everybody: a longer body begins with every shorter one.
pub struct Body {
    block: Vec<u8>,
    position: u64,
    length: u64,
}

impl Body {
    /// The first `length` bytes.
    #[must_use]
    pub fn new(length: u64) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = (0..BLOCK / 8).flat_map(|_| {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Self { block: words.collect(), position: 0, length }
    }

    /// Compares with what was received.
    ///
    /// # Errors
    /// The first difference, or that `received` cannot be read.
    pub fn verify(mut self, mut received: impl Read) -> Result<()> {
        let (mut expected, mut actual) = (vec![0; BLOCK], vec![0; BLOCK]);
        loop {
            let start = self.position;
            let wanted = read_block(&mut self, &mut expected).doing("produce", "the data served")?;
            let got = read_block(&mut received, &mut actual).doing("read", "the data received")?;
            let same = expected[..wanted].iter().zip(&actual[..got]).take_while(|(a, b)| a == b).count();
            if same < wanted || same < got {
                let why = format!("it differs from what was served at byte {} of {}", start + same as u64, self.length);
                return Err(Error::new(Kind::Failed, "verify", "the data received", why));
            }
            if wanted == 0 {
                return Ok(());
            }
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let offset = (self.position % BLOCK as u64) as usize;
        if offset == 0 {
            let number = self.position / BLOCK as u64;
            self.block[..8].copy_from_slice(&number.to_le_bytes());
        }
        let left = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let length = left.min(buffer.len()).min(BLOCK - offset);
        buffer[..length].copy_from_slice(&self.block[offset..offset + length]);
        self.position += length as u64;
        Ok(length)
    }
}

/// Fills the buffer unless the end comes first.
fn read_block(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(length: u64) -> Vec<u8> {
        let mut data = Vec::new();
        Body::new(length).read_to_end(&mut data).unwrap();
        data
    }

    #[test]
    fn body_is_as_long_as_asked_and_differs_from_block_to_block() {
        for length in [0, 1, 65535, 65536, 65537, 200_000] {
            assert_eq!(data(length).len() as u64, length);
            Body::new(length).verify(data(length).as_slice()).unwrap();
        }
        let two = data(2 * BLOCK as u64);
        assert_ne!(two[..BLOCK], two[BLOCK..]);
    }

    #[test]
    fn verify_names_the_first_difference() {
        let mut received = data(200_000);
        received[131_080] ^= 1;
        let error = Body::new(200_000).verify(received.as_slice()).unwrap_err();
        assert!(error.to_string().ends_with("at byte 131080 of 200000"), "{error}");
        let error = Body::new(200_000).verify(&data(200_000)[..70_000]).unwrap_err();
        assert!(error.to_string().ends_with("at byte 70000 of 200000"), "{error}");
        let error = Body::new(10).verify(data(11).as_slice()).unwrap_err();
        assert!(error.to_string().ends_with("at byte 10 of 10"), "{error}");
    }
}
