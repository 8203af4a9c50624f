//! The data folder that a command works on.

use super::Failure;
use crate::store::StoreError;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct DataFolder {
    /// Folder that everything is kept in
    #[arg(long = "data", value_name = "FOLDER", env = "QUOTAGATE_DATA", default_value = "./data", global = true)]
    pub(super) path: PathBuf,
}

impl DataFolder {
    /// A store that could not be worked on; `in_use` says what can be done while a server holds the folder.
    pub(super) fn failed(&self, error: &StoreError, in_use: &str) -> Failure {
        match error {
            StoreError::InUse { .. } => Failure::Unreadable(format!("{error}: {in_use}")),
            StoreError::NoStore(_) => {
                Failure::Unreadable(format!("{error}: name the folder that the server was given as `--data`"))
            }
            other => Failure::Unreadable(other.to_string()),
        }
    }
}
