//! The words of the limits page, in the languages it knows.

use super::super::grammar::duration_text;
use super::Labels;
use crate::domain::ids::Currency;
use crate::domain::policy::{Algorithm, ReachedBy, Share};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    Zh,
    En,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the page is not written in `{0}`: only in `zh` and `en`")]
pub struct UnknownLang(String);

impl Lang {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

impl FromStr for Lang {
    type Err = UnknownLang;
    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        match text {
            "zh" => Ok(Self::Zh),
            "en" => Ok(Self::En),
            _ => Err(UnknownLang(text.chars().take(40).flat_map(char::escape_debug).collect())),
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[derive(Clone, Copy)]
pub(super) struct Words(pub Lang);

impl Words {
    fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self.0 {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    pub(super) fn labels(self) -> Labels {
        Labels {
            tier: self.pick("等级", "Tier"),
            reached_by: self.pick("如何达到", "Reached by"),
            limit: self.pick("限制", "Limit"),
            counts: self.pick("计量", "Counts"),
            algorithm: self.pick("算法", "Algorithm"),
            resources: self.pick("资源", "Resources"),
            source: self.pick("来源", "Source"),
            pools: self.pick("容量池", "Pools"),
            raise_rules: self.pick("自动答复提额申请", "Answers to raise requests"),
        }
    }

    pub(super) fn unlisted_denied(self) -> String {
        self.pick("未列出的资源会被拒绝。", "Resources that are not listed are denied.").to_owned()
    }

    pub(super) fn unlisted_allowed(self) -> String {
        self.pick("未列出的资源不受限制。", "Resources that are not listed are allowed without limits.").to_owned()
    }

    pub(super) fn days_begin(self, offset: &str) -> String {
        match self.0 {
            Lang::Zh => format!("固定窗口按 UTC{offset} 的整点对齐，每日从该时区零点开始。"),
            Lang::En => {
                format!("Fixed windows of whole hours follow the clock of UTC{offset}, where days begin at midnight.")
            }
        }
    }

    pub(super) fn every_account(self) -> String {
        self.pick("每个账号", "every account").to_owned()
    }

    pub(super) fn operator_only(self) -> String {
        self.pick("由管理员设定", "set by an operator").to_owned()
    }

    /// All conditions, and how long the tier is kept after they are lost.
    pub(super) fn reached_by(self, rule: &ReachedBy, grace_ms: i64) -> String {
        let mut conditions = Vec::new();
        if let Some(thresholds) = &rule.net_paid_at_least {
            let or = self.pick(" 或 ", " or ");
            let any: Vec<String> = thresholds.iter().map(|(currency, n)| money(*n, currency)).collect();
            conditions.push(format!("{} {}", self.pick("净充值满", "net paid of at least"), any.join(or)));
        }
        if let Some(age) = rule.account_age_at_least_ms {
            let age = duration_text(age);
            conditions.push(match self.0 {
                Lang::Zh => format!("账号注册满 {age}"),
                Lang::En => format!("an account at least {age} old"),
            });
        }
        let all = conditions.join(self.pick("，且", ", and "));
        // Age is never lost, so only a payment condition has a grace worth telling.
        if grace_ms == 0 || rule.net_paid_at_least.is_none() {
            return all;
        }
        let grace = duration_text(grace_ms);
        match self.0 {
            Lang::Zh => format!("{all}（退款后保留 {grace}）"),
            Lang::En => format!("{all} (kept for {grace} after a refund)"),
        }
    }

    pub(super) fn share(self, share: Share) -> String {
        match share {
            Share::Group => self.pick("共用同一额度", "share one bucket"),
            Share::Resource => self.pick("各自独立计算", "a bucket each"),
        }
        .to_owned()
    }

    /// The name of a unit that has no title.
    pub(super) fn unit(self, id: &str) -> &str {
        match id {
            "requests" => self.pick("请求数", "requests"),
            "tokens" => self.pick("token 数", "tokens"),
            other => other,
        }
    }

    pub(super) fn slots(self) -> String {
        self.pick("同时进行的请求", "requests at once").to_owned()
    }

    pub(super) fn concurrency(self) -> String {
        self.pick("并发", "concurrency").to_owned()
    }

    pub(super) fn algorithm(self, algorithm: Algorithm) -> String {
        match algorithm {
            Algorithm::FixedWindow => self.pick("固定窗口", "fixed window"),
            Algorithm::SlidingWindow => self.pick("滑动窗口", "sliding window"),
            Algorithm::TokenBucket => self.pick("令牌桶", "token bucket"),
        }
        .to_owned()
    }

    pub(super) fn unlimited(self) -> String {
        self.pick("不限", "unlimited").to_owned()
    }

    pub(super) fn blocked(self) -> String {
        self.pick("不可用", "blocked").to_owned()
    }

    pub(super) fn per_window(self, units: &str, window_ms: i64) -> String {
        format!("{units} / {}", duration_text(window_ms))
    }

    pub(super) fn burst(self, units: &str) -> String {
        match self.0 {
            Lang::Zh => format!("（突发 {units}）"),
            Lang::En => format!("(burst {units})"),
        }
    }
}

/// Minor units as the currency is written: `CNY 0.01`, `JPY 500`.
pub(crate) fn money(minor: u64, currency: &Currency) -> String {
    let decimals = decimals(currency.as_str());
    let scale = 10_u64.pow(decimals);
    let whole = super::number_text(minor / scale);
    if decimals == 0 {
        return format!("{currency} {whole}");
    }
    format!("{currency} {whole}.{:0width$}", minor % scale, width = decimals as usize)
}

/// Source: ISO 4217 list one, column "minor unit". Metals and funds have none and are written whole.
fn decimals(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" | "XAG" | "XAU" | "XBA" | "XBB" | "XBC" | "XBD" | "XDR" | "XPD" | "XPT"
        | "XSU" | "XTS" | "XUA" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        let shown = |minor, code| money(minor, &Currency::parse(code).unwrap());

        assert_eq!(shown(1, "CNY"), "CNY 0.01");
        assert_eq!(shown(123_456, "USD"), "USD 1,234.56");
        assert_eq!(shown(500, "JPY"), "JPY 500");
        assert_eq!(shown(1_500, "KWD"), "KWD 1.500");
    }
}
