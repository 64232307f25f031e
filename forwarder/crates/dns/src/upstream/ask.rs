//! A query as it came, asked of servers one after another, with a number and a port that nobody can know.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::message::{HEADER, Transport};

/// How long the next server is not asked yet.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// How long an answer is waited for in all: resolvers ask again after five seconds.
const LIMIT: Duration = Duration::from_millis(4_500);
/// How often each server is asked at most: datagrams get lost.
const ROUNDS: usize = 2;
/// Bytes of an answer by UDP at most.
const DATAGRAM: usize = 4_096;

/// Asks `servers` in their order, each a while after the one before it, or once that one has failed. The first answer counts, and who
/// gave it; one that tells of a failure only where no other comes.
pub(crate) async fn ask(servers: &[SocketAddr], query: &[u8], transport: Transport) -> Option<(Vec<u8>, SocketAddr)> {
    let deadline = Instant::now() + LIMIT;
    let mut tries: VecDeque<SocketAddr> = std::iter::repeat_n(servers, ROUNDS).flatten().copied().collect();
    let mut asked = JoinSet::new();
    let mut failure = None;
    loop {
        match tries.pop_front() {
            Some(server) => {
                let query = query.to_vec();
                asked.spawn(async move { (server, one(server, &query, transport).await) });
            }
            None if asked.is_empty() => return failure,
            None => {}
        }
        let until = if tries.is_empty() { deadline } else { deadline.min(Instant::now() + PATIENCE) };
        let (server, answer) = match timeout_at(until, asked.join_next()).await {
            Ok(Some(Ok(done))) => done,
            Err(_) if Instant::now() >= deadline => return failure,
            // Nobody has answered yet, or a task has ended without an answer: the next one.
            Ok(_) | Err(_) => continue,
        };
        match answer {
            Ok(answer) if !is_failure(&answer) => return Some((answer, server)),
            Ok(answer) => failure = Some((answer, server)),
            Err(_) => {}
        }
        tries.retain(|other| *other != server);
    }
}

/// The server cannot or will not tell (RFC 1035 section 4.1.1: SERVFAIL, NOTIMP, REFUSED).
fn is_failure(answer: &[u8]) -> bool {
    answer.get(3).is_some_and(|byte| matches!(byte & 0xf, 2 | 4 | 5))
}

/// Asks one server. What does not answer this very question is passed over.
async fn one(server: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    let question = question(query).ok_or(io::ErrorKind::InvalidInput)?;
    let own = getrandom::u32()? as u16;
    let mut sent = query.to_vec();
    sent[..2].copy_from_slice(&own.to_be_bytes());
    let mut answer = match transport {
        Transport::Udp => by_udp(server, &sent, question).await?,
        Transport::Tcp => by_tcp(server, &sent, question).await?,
    };
    answer[..2].copy_from_slice(&query[..2]);
    Ok(answer)
}

async fn by_udp(server: SocketAddr, query: &[u8], question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    // The kernel chooses a port for each query; what others send to it, it does not deliver.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = buffer.get(..length).filter(|answer| answers(answer, query, question)) {
            return Ok(answer.to_vec());
        }
    }
}

async fn by_tcp(server: SocketAddr, query: &[u8], question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = timeout(PATIENCE * 2, TcpStream::connect(server)).await??;
    let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    if answers(&answer, query, question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The question of a query: a name, a type and a class.
fn question(query: &[u8]) -> Option<&[u8]> {
    let mut end = HEADER;
    loop {
        match *query.get(end)? {
            0 => break,
            // No query has a pointer in its first name: nothing is before it.
            length @ 1..=63 => end += 1 + usize::from(length),
            _ => return None,
        }
    }
    query.get(HEADER..end + 5)
}

/// Whether a message answers a query: by its number, and by the question, but where it tells only of a failure.
fn answers(message: &[u8], query: &[u8], question: &[u8]) -> bool {
    let Some(header) = message.first_chunk::<HEADER>() else { return false };
    let is_answer = header[2] & 0x80 != 0 && query.get(..2) == Some(&header[..2]);
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let same = || message.get(HEADER..HEADER + question.len()).is_some_and(|it| it.eq_ignore_ascii_case(question));
    is_answer
        && match questions {
            0 => header[3] & 0xf != 0,
            1 => same(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x03org\0\0\x01\0\x01";

    fn answer() -> Vec<u8> {
        let mut answer = QUERY.to_vec();
        answer[2] |= 0x80;
        answer
    }

    #[test]
    fn answer_has_the_number_and_the_question() {
        let question = question(QUERY).expect("it has one");
        assert_eq!(question, b"\x01a\x03org\0\0\x01\0\x01");
        assert!(answers(&answer(), QUERY, question));
        let wrong: [fn(&mut Vec<u8>); 6] = [
            |it| it[0] ^= 1,
            |it| it[2] &= 0x7f,
            |it| it[13] = b'b',
            |it| it.truncate(20),
            |it| it[5] = 2,
            |it| it[5] = 0,
        ];
        for (at, change) in wrong.into_iter().enumerate() {
            let mut forged = answer();
            change(&mut forged);
            assert!(!answers(&forged, QUERY, question), "{at}");
        }
        let mut refused = answer()[..HEADER].to_vec();
        (refused[3], refused[5]) = (5, 0);
        assert!(answers(&refused, QUERY, question), "a failure needs no question");
    }

    #[test]
    fn question_ends_within_its_query() {
        for length in 0..QUERY.len() {
            assert_eq!(question(&QUERY[..length]), None, "{length}");
        }
        let mut pointer = QUERY.to_vec();
        pointer[HEADER] = 0xc0;
        assert_eq!(question(&pointer), None);
    }
}
