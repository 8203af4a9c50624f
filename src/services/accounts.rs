//! Main accounts and sub-accounts: make, read, list, change, suspend, resume.
