//! The real server as a child process, and a client that says when it is gone.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Request;

const PATIENCE: Duration = Duration::from_secs(20);
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/policy.yaml");

/// A server that runs, or has just ended. Dropped, it is killed.
pub struct Server {
    child: Child,
    address: String,
    /// What it printed at the start.
    greeting: String,
    log: PathBuf,
    /// A key that may everything, kept beside the data folder.
    key: String,
}

impl Server {
    /// Starts on the folder and waits until it answers.
    pub fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::try_start(folder, environment).unwrap_or_else(|refused| panic!("no start: {}", refused.said))
    }

    /// The same of a folder that may be refused.
    pub fn try_start(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, Refused> {
        let (mut server, output) = Self::spawn(folder, environment);
        // What it prints is read on, so that it never waits for a reader.
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| _ = sender.send(line));
        });
        let until = Instant::now() + PATIENCE;
        while !server.greeting.contains("/v1/sessions") {
            let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                let status = server.wait(Duration::from_secs(1));
                server.kill();
                return Err(Refused { status, said: server.said() });
            };
            server.greeting += &(line + "\n");
        }
        let find = |mark| server.greeting.lines().find_map(|line| Some(line.split_once(mark)?.1.to_owned()));
        let (address, setup) = (find(" is serving on http://"), find("  T="));
        server.address = address.unwrap_or_else(|| panic!("no address: {}", server.greeting));
        server.set_up(&folder.join("key"), setup);
        Ok(server)
    }

    /// Starts on the folder and is killed after `patience`, wherever it is by then.
    pub fn start_and_die(folder: &Path, patience: Duration) {
        let (mut server, _output) = Self::spawn(folder, &[]);
        std::thread::sleep(patience);
        server.kill();
    }

    fn spawn(folder: &Path, environment: &[(&str, &str)]) -> (Self, ChildStdout) {
        let log = folder.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--flush-interval-ms", "20"]);
        command.args(["--unknown-accounts", "default_tier", "--log", "warn"]);
        command.arg("--data").arg(folder.join("data")).env_remove("QUOTAGATE_CONFIG");
        // Later starts find what the writers of tier quotas have made of it.
        if !folder.join("data").exists() {
            command.args(["--policy", POLICY]);
        }
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        (Self { child, address: String::new(), greeting: String::new(), log, key: String::new() }, output)
    }

    /// Makes a key where there is none, and takes the one that there is.
    fn set_up(&mut self, file: &Path, setup: Option<String>) {
        if let Some(token) = setup {
            self.key = token;
            let made = self.client().post("/v1/api-keys", json!({"scopes": ["admin"]})).unwrap();
            std::fs::write(file, made.json["secret"].as_str().unwrap()).unwrap();
        }
        self.key = std::fs::read_to_string(file).unwrap();
    }

    pub fn client(&self) -> Client {
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        Client { agent, address: self.address.clone(), key: self.key.clone() }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Stops it in order; whether it did.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::TERM);
        self.ended().success()
    }

    /// Waits for a failpoint to kill it; kills it and says false where none does.
    pub fn dies(&mut self) -> bool {
        let status = self.wait(Duration::from_secs(10));
        if status.is_none() {
            self.kill();
        }
        status.is_some_and(|status| status.signal() == Some(9))
    }

    /// Does something while the process stands still, so that its folder is what a kill would leave.
    #[cfg(feature = "manual-clock")]
    pub fn frozen<T>(&self, work: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            std::thread::yield_now();
        }
        let done = work();
        self.signal(Signal::CONT);
        done
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// All that it has said so far.
    pub fn said(&self) -> String {
        format!("{}{}", self.greeting, self.log())
    }

    fn signal(&self, signal: Signal) {
        // It may have died by itself.
        _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn ended(&mut self) -> ExitStatus {
        self.wait(PATIENCE).unwrap_or_else(|| {
            _ = self.child.kill();
            panic!("the server does not end:\n{}", self.log())
        })
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A server that ended before it answered, or did not begin to.
#[derive(Debug)]
pub struct Refused {
    /// None: it had to be killed.
    pub status: Option<ExitStatus>,
    pub said: String,
}

/// The server is gone, or was before it answered.
#[derive(Debug)]
pub struct Gone;

/// An answer, read in full.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub etag: String,
    pub location: String,
    /// The first answer again, for an idempotency key that was used before.
    pub replayed: bool,
    /// Null where the body is no JSON.
    pub json: Value,
    pub text: String,
}

/// A request that changes something.
#[derive(Debug, Clone, Default)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
    pub idempotency_key: Option<String>,
    pub if_match: Option<String>,
}

/// A client of one server, with connections of its own.
pub struct Client {
    agent: Agent,
    address: String,
    key: String,
}

impl Client {
    /// The same server, asked with another key or the token of a login.
    pub fn with_key(&self, key: &str) -> Self {
        Self { agent: self.agent.clone(), address: self.address.clone(), key: key.to_owned() }
    }

    pub fn send(&self, call: &Call) -> Result<Reply, Gone> {
        let mut request = Request::builder().method(call.method).uri(format!("http://{}{}", self.address, call.path));
        request = request.header("authorization", format!("Bearer {}", self.key));
        let given = [("idempotency-key", &call.idempotency_key), ("if-match", &call.if_match)];
        for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request = request.header(name, value);
        }
        // So the audit log says what came of it.
        if let Some(name) = &call.idempotency_key {
            request = request.header("x-request-id", name);
        }
        let answered = match call.method {
            "GET" => self.agent.run(request.body(()).unwrap()),
            _ => {
                let body = call.body.to_string().into_bytes();
                self.agent.run(request.header("content-type", "application/json").body(body).unwrap())
            }
        };
        let mut response = answered.map_err(|_| Gone)?;
        let text = response.body_mut().read_to_string().map_err(|_| Gone)?;
        let header = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        Ok(Reply {
            status: response.status().as_u16(),
            etag: header("etag"),
            location: header("location"),
            replayed: header("idempotent-replayed") == "true",
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        })
    }

    pub fn post(&self, path: &str, body: Value) -> Result<Reply, Gone> {
        self.send(&Call { method: "POST", path: path.to_owned(), body, ..Call::default() })
    }

    pub fn get(&self, path: &str) -> Result<Reply, Gone> {
        self.send(&Call { method: "GET", path: path.to_owned(), ..Call::default() })
    }

    /// Reads from a server that is there.
    #[track_caller]
    pub fn read(&self, path: &str) -> Value {
        let reply = self.get(path).unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.json);
        reply.json
    }

    /// All items of a list.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.read(&format!("{path}{joint}page_size=200{token}"));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => return items,
            }
        }
    }
}

/// Runs `quotagate verify` on the folder of a server that has ended.
pub fn verify(folder: &Path, round: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    let output = command.arg("verify").arg("--data").arg(folder.join("data")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{round}: {said}");
}
