//! A journal segment taken apart and put together again, as somebody would who knows the format and has no scruples:
//! every checksum is right, and the chain too where it is computed anew.

#![allow(dead_code, reason = "each test binary uses its own part")]

use sha2::{Digest, Sha256};
use std::path::Path;

const HEADER: usize = 64;

pub struct Forged {
    header: Vec<u8>,
    pub entries: Vec<Entry>,
}

#[derive(Clone)]
pub struct Entry {
    pub seq: u64,
    pub prev: [u8; 32],
    pub payload: Vec<u8>,
}

impl Entry {
    pub fn hash(&self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.prev).chain_update(self.seq.to_be_bytes());
        hash.chain_update(&self.payload).finalize().into()
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

impl Forged {
    pub fn read(segment: &Path) -> Self {
        let bytes = std::fs::read(segment).unwrap();
        let (mut at, mut entries) = (HEADER, Vec::new());
        while at < bytes.len() {
            let count = u32::from_be_bytes(number(&bytes, at + 12));
            at += 20;
            for _ in 0..count {
                let len = u32::from_be_bytes(number(&bytes, at)) as usize;
                let (seq, prev) = (u64::from_be_bytes(number(&bytes, at + 8)), number(&bytes, at + 16));
                entries.push(Entry { seq, prev, payload: bytes[at + 48..at + 48 + len].to_vec() });
                at += 48 + len;
            }
        }
        Self { header: bytes[..HEADER].to_vec(), entries }
    }

    /// Each entry in a group of its own.
    pub fn write(&self, segment: &Path) {
        let mut bytes = self.header.clone();
        for entry in &self.entries {
            let tail = [&entry.seq.to_be_bytes()[..], &entry.prev, &entry.payload].concat();
            let mut body = (entry.payload.len() as u32).to_be_bytes().to_vec();
            body.extend_from_slice(&crc32c::crc32c(&tail).to_be_bytes());
            body.extend_from_slice(&tail);
            let head = [(body.len() as u32).to_be_bytes(), 1u32.to_be_bytes()].concat();
            bytes.extend_from_slice(b"\xF7QGGRP\r\n");
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&crc32c::crc32c(&[head, body.clone()].concat()).to_be_bytes());
            bytes.extend_from_slice(&body);
        }
        std::fs::write(segment, bytes).unwrap();
    }

    /// Another text in one entry, of the same length, and the chain computed anew from there on.
    pub fn rewrite(&mut self, seq: u64, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let index = self.entries.iter().position(|entry| entry.seq == seq).unwrap();
        let text = String::from_utf8(self.entries[index].payload.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        self.entries[index].payload = text.replace(from, to).into_bytes();
        for later in index + 1..self.entries.len() {
            self.entries[later].prev = self.entries[later - 1].hash();
        }
    }
}
