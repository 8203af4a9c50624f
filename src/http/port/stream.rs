//! The stream under the HTTP library: it reads and writes as the connection may, and ends as it should.

use super::admission::Permit;
use super::connection::{Connection, Gate, Side};
use super::linger::Lingering;
use super::patrol::{self, Joined};
use crate::http::problem::{Code, Problem};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// What carries the bytes.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Control(UnixStream),
}

macro_rules! each {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Plain($stream) => $call,
            Socket::Tls($stream) => $call,
            Socket::Control($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A connection's socket, with what its worker knows of it.
pub(crate) struct Stream {
    /// None once it lingers.
    socket: Option<Socket>,
    permit: Option<Permit>,
    connection: Joined,
    /// Something was answered that the caller may not have read, and the caller has not ended the connection.
    owes_reading: bool,
}

impl Stream {
    pub(super) fn new(socket: Socket, permit: Permit, connection: Joined) -> Self {
        Self { socket: Some(socket), permit: Some(permit), connection, owes_reading: false }
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    fn open(&mut self) -> io::Result<Pin<&mut Socket>> {
        if self.connection.is_cut() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Says so, and reads no more. What cannot be said at once is not said.
    fn refuse_head(&mut self, cx: &mut Context<'_>) {
        let now_ms = patrol::now_ms();
        if let Ok(mut socket) = self.open()
            && socket.as_mut().poll_write(cx, &HEAD_TOO_LONG).is_ready()
        {
            _ = socket.poll_flush(cx);
            self.owes_reading = true;
        }
        self.connection.end_with_answer(now_ms);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.connection.gate(patrol::now_ms()) {
            Gate::Open => {}
            Gate::Breathe => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Gate::Withheld => {
                this.connection.waits(Side::Read, cx.waker(), patrol::now_ms());
                return Poll::Pending;
            }
            Gate::Ended => return Poll::Ready(Ok(())),
            Gate::HeadTooLong => {
                this.refuse_head(cx);
                return Poll::Ready(Ok(()));
            }
            Gate::Cut => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
        let before = buf.filled().len();
        let portion = this.connection.portion();
        match read_some(this.open()?, cx, buf, portion) {
            Poll::Ready(Ok(())) => {
                let bytes = buf.filled().len() - before;
                if bytes == 0 {
                    this.owes_reading = false;
                }
                this.connection.has_read(bytes, patrol::now_ms());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                this.owes_reading = false;
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                this.connection.waits(Side::Read, cx.waker(), patrol::now_ms());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.open()?.poll_write(cx, buf) {
            Poll::Ready(Ok(bytes)) => {
                this.owes_reading = true;
                this.connection.has_written(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => {
                this.owes_reading = false;
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                this.connection.waits(Side::Write, cx.waker(), patrol::now_ms());
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.open()?.poll_flush(cx)?.is_pending() {
            this.connection.waits(Side::Write, cx.waker(), patrol::now_ms());
            return Poll::Pending;
        }
        this.connection.has_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.open()?.poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.owes_reading
            && !self.connection.is_cut()
            && let (Some(socket), Some(permit)) = (self.socket.take(), self.permit.take())
        {
            patrol::linger(Lingering::new(socket, permit, patrol::now_ms()));
        }
    }
}

/// Reads no more than so many bytes, however much room there is: the HTTP library doubles its buffer as it goes.
fn read_some(
    socket: Pin<&mut Socket>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    max: usize,
) -> Poll<io::Result<()>> {
    if buf.remaining() <= max {
        return socket.poll_read(cx, buf);
    }
    let mut some = ReadBuf::new(buf.initialize_unfilled_to(max));
    ready!(socket.poll_read(cx, &mut some))?;
    let bytes = some.filled().len();
    buf.advance(bytes);
    Poll::Ready(Ok(()))
}

/// What the door says of such a head when it is complete; here there is no request that it could answer.
static HEAD_TOO_LONG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let problem = Problem::new(Code::HeadersTooLarge, "the head of the request is longer than this server takes");
    let body = serde_json::to_vec(problem.body()).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
});
