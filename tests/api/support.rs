//! A server as a child process, and a client that says what it got.

#![allow(dead_code, reason = "each test binary uses its own part")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOPBACK: [&str; 2] = ["--listen", "127.0.0.1:0"];

pub struct Server {
    child: Child,
    pub address: String,
    folder: Arc<TempDir>,
    arguments: Vec<String>,
    /// What `ulimit` is told before each start.
    limit: Option<String>,
    agent: Agent,
    /// What the start printed to make the first credential with.
    pub setup: Option<String>,
    /// Goes with every request that has no credential of its own.
    pub key: Option<String>,
    /// What it has printed so far.
    printed: Arc<Mutex<String>>,
}

/// An answer, read in full.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Null where the body is no JSON.
    pub json: Value,
}

impl Server {
    /// On an empty folder; every account is one of the default tier.
    pub fn start() -> Self {
        Self::start_with(&["--unknown-accounts", "default_tier"])
    }

    /// The same, and its requests carry a key that may everything.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::bare_with(arguments).with_key()
    }

    /// The same, as a process that may have so many descriptors open.
    pub fn start_under(limit: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::launch_under(Some(limit), Arc::new(tempfile::tempdir().unwrap()), arguments, None).with_key()
    }

    fn with_key(mut self) -> Self {
        let made = self.set_up("/v1/api-keys", &json!({"name": "tests", "scopes": ["admin"]}));
        assert_eq!(made.status, 201, "{}", made.text);
        self.key = Some(made.json["secret"].as_str().unwrap().to_owned());
        self
    }

    /// Nobody has made a credential yet.
    pub fn bare() -> Self {
        Self::bare_with(&["--unknown-accounts", "default_tier"])
    }

    pub fn bare_with(arguments: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::launch(folder, arguments.iter().map(|&argument| argument.to_owned()).collect(), None)
    }

    /// Whether its requests carry no credential.
    pub fn is_bare(&self) -> bool {
        self.key.is_none()
    }

    /// Posts with the setup token.
    pub fn set_up(&self, path: &str, body: &Value) -> Reply {
        let token = format!("Bearer {}", self.setup.as_ref().unwrap());
        self.send("POST", path, &[("content-type", "application/json"), ("authorization", &token)], &body.to_string())
    }

    fn launch(folder: Arc<TempDir>, arguments: Vec<String>, key: Option<String>) -> Self {
        Self::launch_under(None, folder, arguments, key)
    }

    fn launch_under(limit: Option<&str>, folder: Arc<TempDir>, arguments: Vec<String>, key: Option<String>) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = command_under(limit, &folder.path().join("data"))
            .args(["--workers", "2"])
            .args(if arguments.iter().any(|argument| argument == "--listen") { &[][..] } else { &LOOPBACK })
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&printed);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(move |line| {
            let line = line.unwrap();
            copy.lock().unwrap().push_str(&format!("{line}\n"));
            line
        });
        let address = lines.find_map(|line| {
            let (_, base) = line.split_once(" is serving on ")?;
            // Tests speak to this machine alone.
            Some(base.split_once("://")?.1.replace("0.0.0.0", "127.0.0.1"))
        });
        let address = address.unwrap_or_else(|| {
            _ = child.kill();
            panic!("no start:\n{}", std::fs::read_to_string(folder.path().join("log")).unwrap());
        });
        let greeting: Vec<String> = lines.by_ref().take_while(|line| !line.contains("/v1/sessions")).collect();
        let setup = greeting.iter().find_map(|line| Some(line.split_once("T=")?.1.to_owned()));
        // What else it prints is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        let limit = limit.map(str::to_owned);
        Self { child, address, folder, arguments, limit, agent, setup, key, printed }
    }

    /// Stops in order, then starts on the same folder with other arguments.
    pub fn restart_with(mut self, arguments: &[&str]) -> Self {
        self.signal(Signal::TERM);
        assert!(self.ended().success(), "{}", self.log());
        Self::launch_under(
            self.limit.as_deref(),
            self.folder.clone(),
            arguments.iter().map(|&argument| argument.to_owned()).collect(),
            self.key.clone(),
        )
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Standard output, which nothing but the greeting goes to.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > until => panic!("the server does not end:\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Stops in order, then starts on the same folder.
    pub fn restart(self) -> Self {
        let arguments = self.arguments.clone();
        self.restart_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Another server on the folder of one that has ended.
    pub fn on_the_folder_of(ended: &Self) -> Self {
        Self::launch_under(ended.limit.as_deref(), ended.folder.clone(), ended.arguments.clone(), ended.key.clone())
    }

    /// Kills it and starts another one over the same folder, which is not told to accept the clock.
    #[cfg(feature = "manual-clock")]
    pub fn after_kill_without_accepting(mut self) -> Self {
        self.signal(Signal::KILL);
        self.ended();
        self.arguments.retain(|argument| argument != "--accept-clock");
        Self::launch(self.folder.clone(), self.arguments.clone(), self.key.clone())
    }

    /// Stops; gives the complaint of a start that is refused, and a server that was told to accept the clock.
    #[cfg(feature = "manual-clock")]
    pub fn restart_behind(mut self) -> (String, Self) {
        self.signal(Signal::TERM);
        assert!(self.ended().success(), "{}", self.log());
        let refused = serve_and_wait(&self.data(), &["--listen", "127.0.0.1:0"]);
        assert_eq!(refused.status.code(), Some(1));
        let mut arguments = self.arguments.clone();
        arguments.push("--accept-clock".to_owned());
        (
            String::from_utf8_lossy(&refused.stderr).into_owned(),
            Self::launch(self.folder.clone(), arguments, self.key.clone()),
        )
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// The answer to a decision, which is one.
    pub fn decide(&self, body: &Value) -> Value {
        let reply = self.post("/v1/decisions", body);
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json
    }

    /// None: the server is gone.
    pub fn try_decide(&self, body: &Value) -> Option<Value> {
        let headers = [("content-type", "application/json")];
        self.try_send("POST", "/v1/decisions", &headers, &body.to_string()).ok().map(|reply| reply.json)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.try_send(method, path, headers, body).unwrap()
    }

    fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = self.key.as_ref().filter(|_| !headers.iter().any(|(name, _)| *name == "authorization")) {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answered = match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => self.agent.run(request.body(()).unwrap()),
            _ => self.agent.run(request.body(body.as_bytes().to_vec()).unwrap()),
        };
        let mut response = answered?;
        let text = response.body_mut().read_to_string()?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status: response.status().as_u16(), headers: response.headers().clone(), text, json })
    }

    /// The header with its key, as a request has it.
    pub fn authorization(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.key.as_ref().unwrap())
    }

    /// Sends bytes as they are and reads until the server closes or has nothing more to say.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A timeout ends the reading as the end of the stream does.
        _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A problem with this status and code; gives its first field error's pointer.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["type"], format!("/docs/errors#{code}"));
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        self.json["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned()
    }
}

fn command(data: &Path) -> Command {
    command_under(None, data)
}

fn command_under(limit: Option<&str>, data: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_quotagate");
    let mut command = match limit {
        None => Command::new(program),
        Some(limit) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\""), program]);
            shell
        }
    };
    command.arg("serve").arg("--data").arg(data).env_remove("QUOTAGATE_CONFIG");
    command
}

/// Runs `quotagate serve` to its end.
pub fn serve_and_wait(data: &Path, arguments: &[&str]) -> Output {
    command(data).args(arguments).output().unwrap()
}
