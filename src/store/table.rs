//! The closed list of tables.

use super::StoreError;
use serde_json::Value;

macro_rules! tables {
    ($($variant:ident = $tag:literal, $name:literal;)*) => {
        /// A kind of record. The tag is the first byte of its stored keys and the name is what the journal says,
        /// so neither is ever changed or used again; a new table takes the next free tag.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Table { $($variant),* }

        impl Table {
            pub const ALL: &[Table] = &[$(Table::$variant),*];

            #[must_use]
            pub const fn tag(self) -> u8 {
                match self { $(Table::$variant => $tag),* }
            }

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Table::$variant => $name),* }
            }
        }
    };
}

tables! {
    Meta = 1, "meta";
    Accounts = 2, "accounts";
    SubAccounts = 3, "sub_accounts";
    Overrides = 4, "overrides";
    Clamps = 5, "clamps";
    Policies = 6, "policies";
    Activations = 7, "activations";
    Drafts = 8, "drafts";
    Schedules = 9, "schedules";
    Payments = 10, "payments";
    PaymentIds = 11, "payment_ids";
    PaymentEventIds = 12, "payment_event_ids";
    Operators = 13, "operators";
    Sessions = 14, "sessions";
    ApiKeys = 15, "api_keys";
    RaiseRequests = 16, "raise_requests";
    Secrets = 17, "secrets";
    Due = 18, "due";
    Index = 19, "index";
    Idempotency = 20, "idempotency";
    Approvals = 21, "approvals";
    Evidence = 22, "evidence";
}

impl Table {
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.tag() == tag)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.name() == name)
    }

    /// The schema in which this version writes the table's values.
    #[must_use]
    pub const fn schema(self) -> u16 {
        1
    }

    /// Brings a value of an older schema to [`Self::schema`], one version at a time.
    ///
    /// Errors: the schema is newer than this version knows.
    pub(crate) fn upcast(self, schema: u16, value: Value) -> Result<Value, StoreError> {
        if schema == self.schema() { Ok(value) } else { Err(StoreError::NewerRecord { table: self, schema }) }
    }
}

impl serde::Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Table {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is not a table")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_names_are_unique() {
        for table in Table::ALL {
            assert_eq!(Table::from_tag(table.tag()), Some(*table));
            assert_eq!(Table::from_name(table.name()), Some(*table));
        }
    }
}
