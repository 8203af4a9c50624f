//! HTTP/1.1 by hand, over whatever carries it: what a client sends to the byte, and when it got what.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub const HOST: &str = "host: localhost\r\n";
pub const JSON: &str = "host: localhost\r\ncontent-type: application/json\r\n";
/// Bytes of an answer that are kept.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

pub trait Link: Read + Write + Send {}
impl<T: Read + Write + Send> Link for T {}

/// One request with its whole body.
pub fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request without a body.
pub fn head(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{headers}\r\n").into_bytes()
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A connection on which requests are asked one after another.
pub struct Line<'a> {
    link: Box<dyn Link + 'a>,
    /// Read and not yet taken.
    rest: Vec<u8>,
}

impl<'a> Line<'a> {
    pub fn over(link: impl Link + 'a) -> Self {
        Self { link: Box::new(link), rest: Vec::new() }
    }

    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.link.write_all(bytes)?;
        self.link.flush()
    }

    /// Errors: no whole answer came in time, or the connection ended before.
    pub fn ask(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.say(bytes)?;
        self.answer()
    }

    /// The next answer.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in `{head:.80}`")))?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while self.rest.len() < end + length {
            self.more()?;
        }
        let body = String::from_utf8_lossy(&self.rest[end..end + length]).into_owned();
        self.rest.drain(..end + length);
        Ok(Answer { status, head, body })
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.link.read(&mut buffer)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection"));
        }
        self.rest.extend_from_slice(&buffer[..read]);
        if self.rest.len() > MAX_ANSWER { Err(io::Error::other("an answer without an end")) } else { Ok(()) }
    }

    /// How long until the server ends the connection; None: it does not within the time that the link waits.
    pub fn ends(&mut self) -> Option<Duration> {
        let since = Instant::now();
        loop {
            match self.more() {
                Ok(()) => self.rest.clear(),
                Err(error) if is_wait(&error) => return None,
                Err(_) => return Some(since.elapsed()),
            }
        }
    }
}

/// Whether it only takes longer.
pub fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// A connection that waits so long for bytes, and no longer.
pub fn connect(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn connect_control(path: &std::path::Path, patience: Duration) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// A connection from another address of this machine, which may not be there yet when this returns: nothing waits.
pub fn dial_from(source: Ipv4Addr, address: &str, receive: Option<usize>) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if let Some(bytes) = receive {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    bind(&socket, &SocketAddr::V4(SocketAddrV4::new(source, 0)))?;
    match connect(&socket, &address.parse::<SocketAddr>().unwrap()) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
