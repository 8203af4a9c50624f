//! The server that holds a folder, asked over its control socket.
//!
//! Each request has a connection of its own. Secrets go in bodies.

use super::Failure;
use crate::control_socket;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, IF_MATCH};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Pages of a list are as long as they get.
const PAGE: &str = "page_size=200";
const PATIENCE: Duration = Duration::from_secs(60);
/// For what reads the whole journal.
const LONG_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A server that answers at its control socket.
pub(super) struct Server {
    socket: PathBuf,
    runtime: Runtime,
}

/// What is asked of it.
pub(super) struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Option<Value>,
    patience: Duration,
}

/// An error as it is answered.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    detail: String,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    items: Vec<T>,
    next_page_token: Option<String>,
}

impl<'a> Ask<'a> {
    pub(super) fn post(path: &'a str, body: Value) -> Self {
        Self { body: Some(body), ..Self::act(path) }
    }

    /// Without a body.
    pub(super) fn act(path: &'a str) -> Self {
        Self { method: Method::POST, path, body: None, patience: PATIENCE }
    }

    /// Changes whatever is there.
    pub(super) fn patch(path: &'a str, body: Value) -> Self {
        Self { method: Method::PATCH, ..Self::post(path, body) }
    }

    /// Removes whatever is there.
    pub(super) fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::act(path) }
    }

    fn get(path: &'a str) -> Self {
        Self { method: Method::GET, ..Self::act(path) }
    }

    /// For what may take long.
    pub(super) fn patiently(self) -> Self {
        Self { patience: LONG_PATIENCE, ..self }
    }
}

impl Server {
    /// None: none listens there.
    ///
    /// Errors: this user may not connect, or the socket cannot be used.
    pub(super) fn of(data: &Path) -> Result<Option<Self>, Failure> {
        let socket = data.join(control_socket::NAME);
        match UnixStream::connect(&socket) {
            Ok(_) => {}
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let name = socket.display();
                let why = "run this as the user that the server runs as, or as root";
                return Err(Failure::Unreadable(format!("`{name}` is not for this user: {why}")));
            }
            Err(error) => return Err(unusable(&socket, &error)),
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unusable(&socket, &error))?;
        Ok(Some(Self { socket, runtime }))
    }

    /// Asks and gives what is answered.
    ///
    /// Errors: refused, as the command on the folder itself would be; or no answer that this version understands.
    pub(super) fn ask<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Failure> {
        let Ask { method, path, body, patience } = ask;
        let asked = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let lost = |why: &dyn std::fmt::Display| {
            let known = if method == Method::GET { "" } else { ", and it is not known whether it was done" };
            Failure::Unreadable(format!("the server at `{}` gave no answer: {why}{known}", self.socket.display()))
        };
        let request = request(method.clone(), path, body).map_err(|error| lost(&error))?;
        let answered = self.runtime.block_on(async {
            tokio::time::timeout(patience, exchange(&self.socket, request))
                .await
                .unwrap_or_else(|_| Err(format!("{} seconds have passed", patience.as_secs()).into()))
        });
        let (status, bytes) = answered.map_err(|error| lost(&error))?;
        let answer = match status.is_success() {
            true => serde_json::from_slice(&bytes).ok(),
            false => return Err(refusal(&asked, &bytes)),
        };
        answer.ok_or_else(|| other_version(&asked))
    }

    /// Everything on a list, page by page.
    pub(super) fn each<T: DeserializeOwned>(&self, path: &str, mut visit: impl FnMut(T)) -> Result<(), Failure> {
        let mut asked = format!("{path}?{PAGE}");
        loop {
            let page: Page<T> = self.ask(Ask::get(&asked))?;
            page.items.into_iter().for_each(&mut visit);
            match page.next_page_token {
                Some(token) => asked = format!("{path}?{PAGE}&page_token={}", segment(&token)),
                None => return Ok(()),
            }
        }
    }
}

/// Something that was given to the command, as one part of a path.
pub(super) fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// No server listens: there is no socket, or one that a killed server left, or the path is too long for one.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput | NotADirectory)
}

fn unusable(socket: &Path, error: &io::Error) -> Failure {
    Failure::Unreadable(format!("cannot use the control socket `{}`: {error}", socket.display()))
}

fn request(method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().uri(path).header(HOST, "localhost").header(CONNECTION, "close");
    if matches!(method, Method::PATCH | Method::DELETE) {
        request = request.header(IF_MATCH, "*");
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(|body| body.to_string()).unwrap_or_default();
    request.method(method).body(Full::new(Bytes::from(bytes)))
}

/// One request on a connection of its own.
async fn exchange(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?;
    connection.abort();
    Ok((status, body.to_bytes()))
}

/// What was refused, in the words of the command on the folder itself.
fn refusal(asked: &str, bytes: &[u8]) -> Failure {
    let Ok(Problem { code, detail, errors }) = serde_json::from_slice(bytes) else { return other_version(asked) };
    match code.as_str() {
        "no_such_path" | "method_not_allowed" => other_version(asked),
        "internal" | "journal_damaged" | "read_only" | "uncertain" | "busy" | "backup_running" => {
            Failure::Unreadable(detail)
        }
        _ => Failure::Refused(match errors.as_slice() {
            [] => detail,
            [only] => only.detail.clone(),
            [first, rest @ ..] => format!("{}, and {} more", first.detail, rest.len()),
        }),
    }
}

fn other_version(asked: &str) -> Failure {
    let own = env!("CARGO_PKG_VERSION");
    Failure::Unreadable(format!(
        "the server that runs answers `{asked}` in a way that this command, of version {own}, does not know: use the \
         command of the server's version"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// What a server that answers with these bytes is taken for.
    fn answered(answer: &'static str) -> Result<Value, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(control_socket::NAME)).unwrap();
        let server = std::thread::spawn(move || {
            // The first connection looks only whether somebody is there.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let asked = Server::of(folder.path()).unwrap().unwrap().ask(Ask::post("/v1/x", Value::Null));
        server.join().unwrap();
        asked
    }

    #[test]
    fn an_answer_that_is_not_understood_is_told_as_such() {
        let other = [
            "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nnothing",
            "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"code\": \"no_such_path\", \"detail\": \"\"}",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>",
        ];
        for answer in other {
            let error = answered(answer).unwrap_err().to_string();
            assert!(error.contains("`POST /v1/x`") && error.contains("of the server's version"), "{error}");
        }
        for broken in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "SSH-2.0-x\r\n"] {
            let error = answered(broken).unwrap_err();
            assert!(matches!(&error, Failure::Unreadable(why) if why.contains("not known whether")), "{error}");
        }
        assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap(), serde_json::json!({}));
    }

    #[test]
    fn nothing_is_asked_where_nobody_listens() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Server::of(folder.path()).unwrap().is_none());

        drop(UnixListener::bind(folder.path().join(control_socket::NAME)).unwrap());

        assert!(Server::of(folder.path()).unwrap().is_none());
        assert!(Server::of(&folder.path().join("a".repeat(200))).unwrap().is_none());
    }

    #[test]
    fn what_is_given_stays_one_part_of_a_path() {
        assert_eq!(segment("key_1"), "key_1");
        assert_eq!(segment("a/b c?d+e"), "a%2Fb%20c%3Fd%2Be");
    }
}
