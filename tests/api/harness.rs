//! The real server in a process of its own, with a clock that the test moves, and a client of a few lines.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const MINUTE_MS: u64 = 60_000;

/// A server over a folder of its own, with the built-in policy active.
pub struct Server {
    child: Child,
    address: String,
    folder: TempDir,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, address) = spawn(&folder);
        Self { child, address, folder }
    }

    /// Kills it and starts another one over the same folder.
    pub fn after_kill(self) -> Self {
        self.again(|child| child.kill().unwrap())
    }

    /// Stops it in order and starts another one over the same folder.
    pub fn after_stop(self) -> Self {
        self.again(|child| {
            let process = rustix::process::Pid::from_child(child);
            rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        })
    }

    fn again(mut self, end: impl FnOnce(&mut Child)) -> Self {
        end(&mut self.child);
        self.child.wait().unwrap();
        let (child, address) = spawn(&self.folder);
        self.child = child;
        self.address = address;
        self
    }

    pub fn advance_ms(&self, ms: u64) {
        self.post("/test/clock", json!({"advance_ms": ms})).is(200);
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &[], Some(body))
    }

    /// With the entity tag of what is changed.
    pub fn on(&self, etag: &str, method: &str, path: &str, body: Value) -> Answer {
        self.call(method, path, &[("if-match", etag)], Some(body))
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if !body.is_empty() {
            request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    /// The present entity tag of what is at a path.
    pub fn tag(&self, path: &str) -> String {
        self.get(path).is(200).header("etag").to_owned()
    }

    /// Decides and gives the answer.
    pub fn decide(&self, account: &str, resource: &str, tokens: u64) -> Value {
        self.post("/v1/decisions", json!({"account": account, "resource": resource, "tokens": tokens})).is(200).body
    }

    /// How many of `tries` requests are allowed; where slots are limited, each is settled at once.
    pub fn allowed(&self, account: &str, resource: &str, tries: usize) -> usize {
        (0..tries).filter(|_| self.decide_and_settle(account, resource)).count()
    }

    fn decide_and_settle(&self, account: &str, resource: &str) -> bool {
        let body = json!({"account": account, "resource": resource, "reserve": {}});
        let decided = self.post("/v1/decisions", body).is(200).body;
        if let Some(handle) = decided["reservation"]["handle"].as_str() {
            self.post(&format!("/v1/reservations/{handle}/settle"), json!({})).is(200);
        }
        decided["decision"] == "allow"
    }

    /// With a body that has nothing but the id.
    pub fn create(&self, id: &str) {
        self.post("/v1/accounts", json!({"id": id})).is(201);
    }

    /// Sets the tier of an account for good.
    pub fn pin(&self, id: &str, tier: &str) {
        let path = format!("/v1/accounts/{id}");
        let body = json!({"tier": tier, "reason": "test"});
        self.on(&self.tag(&path), "PUT", &format!("{path}/tier"), body).is(200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts the server on a free port and waits until it says which.
fn spawn(folder: &TempDir) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--flush-interval-ms", "5", "--workers", "2", "--data"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().expect("the server starts").unwrap();
    let address = first.split("http://").nth(1).expect("the first line names the address").to_owned();
    // Reads on, so that the server can write.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            status: status.expect("an answer has a status"),
            headers,
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    /// Checks the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Checks that it is this problem.
    #[track_caller]
    pub fn is_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self
    }

    /// The value of a header, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn etag(&self) -> &str {
        self.header("etag")
    }
}
