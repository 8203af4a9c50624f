//! Facing a network: TLS, certificates that change while the server runs, and what is refused at the start.

use crate::support::{Server, serve_and_wait};
use crate::tls_client::{Certificate, Files, Secured};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const DECIDE: &str = r#"{"account": "a", "resource": "MiniMax-M2", "tokens": 100}"#;
const JSON: &str = "host: localhost\r\ncontent-type: application/json\r\n";

struct Secure {
    server: Server,
    files: Files,
    _folder: tempfile::TempDir,
}

impl Secure {
    fn start(certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path(), certificate);
        let mut arguments = vec!["--unknown-accounts", "default_tier"];
        // Its first key is made in plain HTTP.
        let server = Server::start_with(&arguments);
        arguments.extend(files.flags());
        let server = server.restart_with(&arguments);
        Self { server, files, _folder: folder }
    }

    fn headers(&self) -> String {
        format!("{}{JSON}", self.server.authorization())
    }

    fn decide(&self, connection: &mut Secured) -> Value {
        let (head, body) = connection.ask("POST", "/v1/decisions", &self.headers(), DECIDE);
        assert!(head.starts_with("http/1.1 200"), "{head}{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn connect(&self, trusted: &Certificate) -> std::io::Result<Secured> {
        Secured::connect(self.port(), trusted, &[])
    }

    /// Asks for the files to be read again, until the log has a line more with `word`.
    fn reload(&self, word: &str) {
        let lines = || self.server.log().lines().filter(|line| line.contains(word)).count();
        let before = lines();
        self.server.signal(Signal::HUP);
        let until = Instant::now() + Duration::from_secs(20);
        while lines() == before {
            assert!(Instant::now() < until, "{}", self.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_decision_is_answered_in_tls_and_in_nothing_else() {
    let certificate = Certificate::new();
    let secure = Secure::start(&certificate);

    let mut connection = secure.connect(&certificate).unwrap();
    assert_eq!(secure.decide(&mut connection)["decision"], "allow");
    let (head, _) = connection.ask("POST", "/v1/decisions", &secure.headers(), DECIDE);
    assert!(head.contains("strict-transport-security: max-age=31536000\r\n"), "{head}");

    let plain = secure.server.raw(format!("GET /healthz HTTP/1.1\r\n{JSON}\r\n").as_bytes());
    assert!(!plain.contains("HTTP/1"), "{plain}");
    assert!(secure.connect(&Certificate::new()).is_err(), "the client checks the certificate");
}

#[test]
fn http_1_1_is_spoken_and_whoever_wants_nothing_but_http_2_is_told_by_tls() {
    let certificate = Certificate::new();
    let secure = Secure::start(&certificate);
    let agreed = |protocols: &[&str]| Secured::connect(secure.port(), &certificate, protocols).map(|it| it.protocol());

    assert_eq!(agreed(&["h2", "http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&["http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert!(agreed(&["h2"]).is_err());
    assert_eq!(secure.decide(&mut secure.connect(&certificate).unwrap())["decision"], "allow");
}

#[test]
fn at_a_loopback_address_the_names_of_a_request_are_checked_in_tls_too() {
    let certificate = Certificate::new();
    let secure = Secure::start(&certificate);
    let port = secure.port();
    let mut connection = secure.connect(&certificate).unwrap();
    let mut ask = |headers: &str| connection.ask("GET", "/healthz", headers, "").0[9..12].to_owned();

    assert_eq!(ask("host: evil.example\r\n"), "421");
    assert_eq!(ask(&format!("host: localhost:{port}\r\norigin: https://localhost:{port}\r\n")), "200");
    assert_eq!(ask(&format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n")), "403");
    assert_eq!(ask("host: localhost\r\norigin: https://evil.example\r\n"), "403");
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_the_open_ones_go_on() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let secure = Secure::start(&first);
    let mut held = secure.connect(&first).unwrap();
    assert_eq!(secure.decide(&mut held)["limits"][0]["used"], 1);

    secure.files.write(&second);
    secure.reload("this certificate is shown");

    assert_eq!(secure.decide(&mut held)["limits"][0]["used"], 2);
    assert_eq!(secure.decide(&mut secure.connect(&second).unwrap())["limits"][0]["used"], 3);
    assert!(secure.connect(&first).is_err());
}

#[test]
fn files_that_are_broken_leave_the_present_certificate() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let secure = Secure::start(&first);

    std::fs::write(&secure.files.cert, &second.pem).unwrap();
    secure.reload("the present certificate stays");
    assert!(secure.server.log().contains("does not fit the certificate"), "{}", secure.server.log());
    std::fs::write(&secure.files.key, "words").unwrap();
    secure.reload("the present certificate stays");
    std::fs::remove_file(&secure.files.cert).unwrap();
    secure.reload("the present certificate stays");

    assert_eq!(secure.decide(&mut secure.connect(&first).unwrap())["decision"], "allow");
}

#[test]
fn a_certificate_that_has_ended_and_a_key_that_all_may_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::of(folder.path(), &Certificate::ending_in(2020));
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();

    let server = Server::bare_with(&files.flags());

    let log = server.log();
    assert!(log.contains("the certificate has expired") && log.contains("2020-01-01T00:00:00Z"), "{log}");
    assert!(log.contains("`chmod o-rwx") && log.contains("sha256="), "{log}");
}

/// What a start says that is refused.
#[track_caller]
fn refusal(data: &Path, arguments: &[&str]) -> String {
    let refused = serve_and_wait(data, arguments);
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    complaint
}

#[test]
fn a_network_is_not_served_in_plain_http_unless_that_is_said() {
    let folder = tempfile::tempdir().unwrap();

    let complaint = refusal(folder.path(), &["--listen", "0.0.0.0:0"]);

    assert!(complaint.contains("refusing plain HTTP on `0.0.0.0:0`"), "{complaint}");
    for way_out in ["`tls_cert` and `tls_key`", "`insecure_http`", "127.0.0.1"] {
        assert!(complaint.contains(way_out), "{complaint}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_network_asks_for_a_credential_from_the_first_start_on() {
    let server = Server::bare_with(&["--listen", "0.0.0.0:0", "--insecure-http"]);

    server.get("/v1/accounts").refused(401, "unauthorized");
    server.set_up("/v1/api-keys", &serde_json::json!({"scopes": ["admin"]})).is(201);
    server.get("/v1/accounts").refused(401, "unauthorized");
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let files = Files::of(folder.path(), &Certificate::new());
    let [cert_flag, cert, key_flag, key] = files.flags();
    let refused = |arguments: &[&str]| refusal(&data, &[&["--listen", "127.0.0.1:0"], arguments].concat());

    let one = refused(&[cert_flag, cert]);
    assert!(one.contains("`tls_cert` is set and `tls_key` is not"), "{one}");
    let both = refused(&[cert_flag, cert, key_flag, key, "--insecure-http"]);
    assert!(both.contains("`insecure_http` and `tls_cert` contradict each other"), "{both}");
    let swapped = refused(&[cert_flag, key, key_flag, cert]);
    assert!(swapped.contains(&format!("`{key}` has no certificate")), "{swapped}");
    let missing = refused(&[cert_flag, "none.pem", key_flag, key]);
    assert!(missing.contains("cannot read `none.pem`"), "{missing}");
    std::fs::write(&files.key, Certificate::new().key).unwrap();
    let other = refused(&files.flags());
    assert!(other.contains(&format!("the private key in `{key}` does not fit the certificate in `{cert}`")), "{other}");
    assert!(!data.exists(), "nothing was made");
}

/// A folder that has an owner, so that a network may be served.
fn with_owner(arguments: &[&str]) -> Server {
    let server = Server::start_with(&["--unknown-accounts", "default_tier"]);
    let owner = json!({"name": "alice", "role": "owner", "password": "correct horse battery"});
    assert_eq!(server.post("/v1/operators", &owner).status, 201);
    server.restart_with(arguments)
}

#[test]
fn a_network_is_served_in_tls_by_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let files = Files::of(folder.path(), &certificate);
    let server = with_owner(&[&["--listen", "0.0.0.0:0"][..], &files.flags()].concat());
    let mut connection = Secured::connect(server.port(), &certificate, &[]).unwrap();
    let mut ask = |path: &str, headers: &str| connection.ask("GET", path, headers, "").0[9..12].to_owned();

    assert_eq!(ask("/healthz", "host: limits.example\r\n"), "200");
    assert_eq!(ask("/healthz", "host: limits.example\r\norigin: https://limits.example\r\n"), "200");
    assert_eq!(ask("/healthz", "host: limits.example\r\norigin: https://evil.example\r\n"), "403");
    assert_eq!(ask("/v1/accounts", "host: limits.example\r\n"), "401");
}

#[test]
fn behind_a_proxy_pages_are_known_by_the_name_of_their_host() {
    for address in ["0.0.0.0:0", "127.0.0.1:0"] {
        let server = with_owner(&["--listen", address, "--insecure-http"]);
        let ask = |headers: &str| {
            let request = format!("GET /healthz HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
            server.raw(request.as_bytes())[9..12].to_owned()
        };

        assert_eq!(ask("host: limits.example\r\n"), "200");
        assert_eq!(ask("host: limits.example:8080\r\norigin: https://limits.example\r\n"), "200");
        assert_eq!(ask("host: limits.example\r\norigin: https://evil.example\r\n"), "403");
        let health = server.get("/healthz");
        assert_eq!(health.header("strict-transport-security"), "", "that is the proxy's to say");
    }
}
