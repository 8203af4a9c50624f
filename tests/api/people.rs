//! Operators who log in.

use crate::control::JSON;
use crate::support::{Reply, Server};
use serde_json::{Value, json};

pub const PATH: &str = "/v1/operators";
pub const PASSWORD: &str = "correct horse battery";

/// A client with the token of a login.
pub struct As<'s>(pub &'s Server, pub String);

impl As<'_> {
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.1);
        let all = [&[JSON, ("authorization", &*authorization)], headers].concat();
        self.0.send(method, path, &all, body)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[], &body.to_string())
    }

    pub fn change(&self, method: &str, path: &str, body: Value) -> Reply {
        self.send(method, path, &[("if-match", "*")], &body.to_string())
    }

    pub fn make(&self, name: &str, role: &str) {
        self.post(PATH, json!({"name": name, "role": role, "password": PASSWORD})).is(201);
    }
}

pub fn try_login(server: &Server, name: &str, password: &str) -> Reply {
    server.post("/v1/sessions", &json!({"name": name, "password": password}))
}

pub fn login<'s>(server: &'s Server, name: &str) -> As<'s> {
    let token = try_login(server, name, PASSWORD).is(200).json["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("qs_") && token.len() == 37, "{token}");
    As(server, token)
}

/// The first operator, logged in.
pub fn owner(server: &Server) -> As<'_> {
    let alice = json!({"name": "alice", "role": "owner", "password": PASSWORD});
    let made = if server.is_bare() { server.set_up(PATH, &alice) } else { server.post(PATH, &alice) };
    made.is(201);
    login(server, "alice")
}
