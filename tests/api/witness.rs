//! A client that writes down every secret it comes by and every answer it gets, and finds the ones in the others.

use crate::billing_sources::files_under;
use crate::control::JSON;
use crate::support::{Reply, Server};
use rustix::process::Signal;
use serde_json::Value;
use std::cell::RefCell;
use std::io::Write;
use std::process::{Command, Stdio};

/// What stands in the place of a secret that was told as it should be.
const TOLD: &str = "(told once)";

/// Every secret that a test has made, each with what it is.
#[derive(Default)]
pub struct Secrets(RefCell<Vec<(String, String)>>);

impl Secrets {
    /// Gives the secret itself.
    pub fn add(&self, what: &str, secret: &str) -> String {
        assert!(secret.len() >= 12, "a short one would be found by chance: {secret}");
        self.0.borrow_mut().push((what.to_owned(), secret.to_owned()));
        secret.to_owned()
    }

    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Which of them stand in `bytes`: as they are, as hexadecimal digits, or as a list of bytes.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        let stands = |secret: &str| {
            let list = secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
            [secret, &hex::encode(secret), &list].iter().any(|form| text.contains(*form))
        };
        self.0.borrow().iter().filter(|(_, secret)| stands(secret)).map(|(what, _)| what.clone()).collect()
    }
}

pub struct Witness {
    pub server: Server,
    pub secrets: Secrets,
    /// Each with what was asked.
    answers: RefCell<Vec<(String, String)>>,
}

impl Witness {
    pub fn new(server: Server) -> Self {
        let witness = Self { server, secrets: Secrets::default(), answers: RefCell::default() };
        witness.secrets.add("the setup token", witness.server.setup.as_ref().unwrap());
        witness
    }

    fn write_down(&self, asked: &str, answer: String) {
        self.answers.borrow_mut().push((asked.to_owned(), answer));
    }

    /// Sends with any headers; the credential is one of them.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let reply = self.server.send(method, path, &[&[JSON], headers].concat(), body);
        self.write_down(&format!("{method} {path} {body}"), format!("{:?}\n{}", reply.headers, reply.text));
        reply
    }

    /// Sends bytes as they are.
    pub fn raw(&self, bytes: &str) {
        self.write_down(bytes, self.server.raw(bytes.as_bytes()));
    }

    pub fn ask(&self, secret: &str, method: &str, path: &str, body: Value) -> Reply {
        let headers = [("authorization", &*format!("Bearer {secret}")), ("if-match", "*")];
        self.send(method, path, &headers, &body.to_string())
    }

    /// Asks for what tells a secret, in this member of the answer, and gives it: that one place is as it should be.
    pub fn make(&self, by: &str, (path, member): (&str, &str), what: &str, body: Value) -> (String, Value) {
        let reply = self.ask(by, "POST", path, body);
        assert!((200..202).contains(&reply.status), "{what}: {}", reply.text);
        let secret = self.secrets.add(what, reply.json[member].as_str().unwrap());
        let mut answers = self.answers.borrow_mut();
        let answer = &mut answers.last_mut().unwrap().1;
        *answer = answer.replacen(&secret, TOLD, 1);
        (secret, reply.json)
    }

    /// Runs a command beside the server and gives what it printed.
    pub fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
            .args(arguments)
            .arg("--data")
            .arg(self.server.data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have no use for it and be gone.
        _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        self.write_down(&arguments.join(" "), String::from_utf8_lossy(&output.stderr).into_owned());
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        self.write_down(&arguments.join(" "), printed.clone());
        printed
    }

    /// Runs a command that prints a secret, alone.
    pub fn run_to_make(&self, arguments: &[&str], what: &str) -> String {
        let printed = self.run(arguments, "");
        let secret = self.secrets.add(what, printed.trim_end());
        self.answers.borrow_mut().last_mut().unwrap().1 = printed.replacen(&secret, TOLD, 1);
        secret
    }

    /// Stops the server in order; gives every place where a secret stands that it should not be in.
    pub fn leaks(&mut self) -> Vec<String> {
        self.server.signal(Signal::TERM);
        assert!(self.server.ended().success());
        let setup = self.server.setup.clone().unwrap_or_default();
        let mut places: Vec<(String, Vec<u8>)> =
            self.answers.borrow().iter().map(|(asked, answer)| (asked.clone(), answer.clone().into_bytes())).collect();
        let printed = self.server.printed();
        places.push(("standard output".to_owned(), printed.replacen(&setup, TOLD, 1).into_bytes()));
        let log = self.server.log();
        places.extend(log.lines().map(|line| (format!("standard error: {line}"), line.as_bytes().to_vec())));
        let files = files_under(&self.server.data());
        places.extend(files.iter().map(|file| (file.display().to_string(), std::fs::read(file).unwrap())));
        let found = places.iter().flat_map(|(place, bytes)| {
            self.secrets.found_in(bytes).into_iter().map(move |what| format!("{what} stands in: {place}"))
        });
        found.collect()
    }
}
