//! A request to decide, as it is sent.

use crate::domain::ids::{AccountId, ReservationId, ResourceName};
use crate::domain::quantity::Amount;
use crate::engine::{Costs, Request, Reserve, Snapshot};
use crate::http::body::{escaped, object};
use crate::http::problem::{Place, Problem};
use crate::http::wire::{TtlMs, Units};
use serde::Deserialize;
use utoipa::ToSchema;

/// One request to decide: who, what, and what it costs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account": "acme", "resource": "MiniMax-M2", "tokens": 1200}))]
pub(crate) struct DecisionRequest {
    /// A main account or a sub-account. An unknown one is denied.
    account: AccountId,
    /// A model or endpoint of the active policy. An unknown one is denied, unless the policy says otherwise.
    resource: ResourceName,
    /// How many requests this stands for.
    #[serde(default)]
    #[schema(default = 1)]
    requests: Option<Amount>,
    /// Tokens, input and output together; where the output is not known yet, reserve a guess and settle it later.
    #[serde(default)]
    #[schema(default = 0)]
    tokens: Option<Amount>,
    /// Costs in the policy's own units, by name.
    #[serde(default)]
    units: Option<Units>,
    /// Asks for a reservation: it holds a concurrency slot and can be settled.
    #[serde(default, deserialize_with = "object")]
    reserve: Option<ReserveRequest>,
    /// The verdict only: nothing is charged, made or replayed.
    #[serde(default)]
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// What reservation is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReserveRequest {
    /// Your own name for it, unique within the main account: the same decision asked again under it is charged once.
    /// Do not take it from end users.
    #[serde(default)]
    id: Option<ReservationId>,
    /// Until it expires by itself; the policy's `reservation_ttl` where absent.
    #[serde(default)]
    ttl_ms: Option<TtlMs>,
}

impl DecisionRequest {
    pub(super) fn account(&self) -> &str {
        self.account.as_str()
    }

    /// What it costs.
    ///
    /// Errors: it names a unit that the active policy lacks.
    pub(super) fn costs(&mut self, snapshot: &Snapshot) -> Result<Costs, Problem> {
        let units = self.units.take().unwrap_or_default();
        known(&units, snapshot)?;
        let requests = self.requests.map_or(1, Amount::get);
        Ok(Costs::new(requests, self.tokens.map_or(0, Amount::get), units.0))
    }

    pub(super) fn to_engine<'a>(&'a self, costs: &'a Costs) -> Request<'a> {
        let reserve = self.reserve.as_ref().map(|reserve| Reserve {
            id: reserve.id.as_ref().map(ReservationId::as_str),
            ttl_ms: reserve.ttl_ms.map(|ttl| ttl.0),
        });
        Request {
            account: self.account.as_str(),
            resource: self.resource.as_str(),
            costs,
            reserve,
            dry_run: self.dry_run.unwrap_or_default(),
        }
    }
}

/// Errors: a unit that the active policy lacks.
pub(crate) fn known(units: &Units, snapshot: &Snapshot) -> Result<(), Problem> {
    match units.0.iter().find(|(unit, _)| !snapshot.knows_unit(unit.as_str())) {
        None => Ok(()),
        Some((unit, _)) => {
            let pointer = format!("/units/{}", escaped(unit.as_str()));
            let known: Vec<String> = snapshot.policy.units.iter().map(|unit| format!("`{}`", unit.id)).collect();
            let detail = format!("the active policy has no unit `{unit}`; it has {}", known.join(", "));
            Err(Problem::field(Place::Body, pointer, "unknown_unit", detail))
        }
    }
}
