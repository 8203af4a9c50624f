use super::*;
use crate::policy::parse;

fn minimax() -> Policy {
    parse(include_str!("../../../policies/minimax.yaml")).unwrap().policy
}

fn ladder() -> Policy {
    parse(include_str!("../../../policies/ladder.yaml")).unwrap().policy
}

#[test]
fn the_page_of_minimax_in_chinese_reads_as_the_original() {
    let text = page(&minimax(), Lang::Zh).markdown();

    for line in [
        "# MiniMax 开放平台速率限制",
        "| 等级 | 如何达到 |",
        "| 免费用户 (`free`) | 每个账号 |",
        "| 充值用户 (`paid`) | 净充值满 CNY 0.01（退款后保留 30d） |",
        "## 文本 (`text.m2`)",
        "资源: `MiniMax-M2`, `MiniMax-M2-Stable` (共用同一额度)",
        "| 限制 | 计量 | 免费用户 | 充值用户 | 算法 |",
        "| 每分钟请求数 (`rpm`) | 请求数 | 20 / 1m | 500 / 1m | 滑动窗口 |",
        "| 每分钟 token 数（输入+输出） (`tpm`) | token 数 | 1,000,000 / 1m | 20,000,000 / 1m | 滑动窗口 |",
        "资源: `voice-cloning`",
        "| 最大并行运行任务数 (`conn`) | 同时进行的请求 | 3 | 20 | 并发 |",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }
}

#[test]
fn the_page_of_the_ladder_in_english_shows_every_kind_of_limit() {
    let text = page(&ladder(), Lang::En).markdown();

    for part in [
        "| Tier 2 (`tier-2`) | net paid of at least CNY 350.00 or USD 50.00, and an account at least 7d old (kept for 30d after a refund) |",
        "| Enterprise (`enterprise`) | set by an operator |",
        "(a bucket each)",
        "| 500 / 1m (burst 100) |",
        "| token bucket |",
        "| 200 / 1d | 10,000 / 1d | unlimited | unlimited | unlimited | fixed window |",
        "| blocked |",
        "Fixed windows of whole hours follow the clock of UTC+00:00",
        "| Requests at once (`conn`) | requests at once | 1 | 20 | 100 | 200 | 2,000 | concurrency |",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_title_falls_back_to_a_variant_then_english_then_any_then_the_id() {
    let titles = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("zh", "甲"), ("zh-Hant", "乙"), ("en", "A")], "甲"),
        (&[("zh-Hant", "乙"), ("en", "A")], "乙"),
        (&[("de", "B"), ("en-GB", "A")], "A"),
        (&[("de", "B"), ("fr", "C")], "B"),
        (&[], "id"),
    ];
    for (pairs, expected) in cases {
        assert_eq!(title(&titles(pairs), Lang::Zh, "id"), expected);
    }
}

#[test]
fn texts_cannot_break_out_of_a_table() {
    let text = include_str!("../../../policies/minimax.yaml").replace("zh: 免费用户", "zh: 'a | b <script> `c`'");
    let policy = parse(&text).unwrap().policy;

    let page = page(&policy, Lang::Zh).markdown();

    assert!(page.contains("| a \\| b \\<script\\> \\`c\\` (`free`) |"), "{page}");
}

#[test]
fn the_page_as_json_keeps_numbers_as_numbers() {
    let policy = ladder();

    let json = page(&policy, Lang::En).json(&policy);

    let rpm = &json["groups"][0]["limits"][0];
    assert_eq!(rpm["quotas"]["tier-3"], 10_000);
    assert_eq!(rpm["burst"]["tier-3"], 2_000);
    assert_eq!(rpm["adjustable"]["max"], 50_000);
    assert_eq!(rpm["window"], "1m");
    assert_eq!(json["groups"][2]["limits"][0]["quotas"]["free"], "blocked");
    assert_eq!(json["groups"][2]["limits"][1]["adjustable"], false);
    assert_eq!(json["content_hash"].as_str().map(str::len), Some(64));
}
